// Calls in a model's text, however it comes in pieces; and conversations that come back as text.

import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText
import Foundation
import Testing

@testable import DMSServer

struct ToolCallTests {
  /// Text and calls, without their ids.
  private func parts(_ pieces: [String]) -> (text: String, calls: [[String]]) {
    var splitter = ToolCallSplitter()
    var (text, calls) = ("", [[String]]())
    for part in pieces.flatMap({ splitter.append($0) }) + splitter.finish() {
      switch part {
      case .text(let some): text += some
      case .call(let call): calls.append([call.name, call.arguments])
      }
    }
    return (text, calls)
  }

  @Test(
    arguments: [
      ("No call.", "No call.", []),
      (#"<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>"#, "", [["f", #"{"x":1}"#]]),
      (
        "I look.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool_call>{\"name\":\"g\"}</tool_call>\n",
        "I look.\n", [["f", "{}"], ["g", "{}"]]
      ),
      (#"<tool_call>{"name": "f", "arguments": "{\"x\": 2}"}</tool_call>"#, "", [["f", #"{"x": 2}"#]]),
      ("a < b <tool and <tool_call", "a < b <tool and <tool_call", []),
      ("<tool_call>no object</tool_call>", "<tool_call>no object</tool_call>", []),
      (#"<tool_call>{"name": "f", "argu"#, #"<tool_call>{"name": "f", "argu"#, []),
      (#"<tool_call>{"name": "f"}"#, "", [["f", "{}"]]),
    ] as [(String, String, [[String]])])
  func callsAreFoundHoweverTextIsCut(text: String, shown: String, calls: [[String]]) {
    for size in 1...7 {
      let characters = Array(text)
      let pieces = stride(from: 0, to: characters.count, by: size).map {
        String(characters[$0..<min($0 + size, characters.count)])
      }
      let found = parts(pieces)
      #expect(found.text == shown && found.calls == calls, "\(size): \(found)")
    }
  }

  @Test func toolsGoToTheTemplateAndArgumentsAreOpened() throws {
    let call = JSON.object(["type": "function", "function": .object(["name": "f", "arguments": #"{"x":1}"#])])
    let message = try ChatMessage(JSONObject(["role": "assistant", "tool_calls": .array([call])])).withOpenArguments
    #expect(message.members["tool_calls"]?.array?.first?["function"]?["arguments"] == .object(["x": 1]))
    let wrong = try ChatMessage(JSONObject(["role": "assistant", "tool_calls": .array([7])])).withOpenArguments
    #expect(wrong.members["tool_calls"] == .array([7]))
  }

  @Test func toolsThatAreNoneAreRefused() async throws {
    let tool = JSON.object(["type": "function", "function": .object(["name": "f"])])
    try await withServer { client in
      let cases: [(JSONObject, Int)] = [
        (["tools": .array([tool])], 200), (["tools": .array([tool]), "tool_choice": "none"], 200),
        (["tools": .array([tool]), "tool_choice": "auto", "parallel_tool_calls": false], 200),
        (["tools": .array([tool]), "tool_choice": "required"], 400), (["tools": .array([7])], 400),
        (["tools": .array([.object(["type": "web_search"])])], 400), (["tool_choice": "auto"], 400),
        (["tools": .array([])], 200), (["tool_choice": "none"], 200),
      ]
      for (fields, status) in cases {
        var fields = fields
        fields["max_tokens"] = 2
        let reply = try await client.chat("Hi", fields)
        #expect(reply.status == status, "\(fields)")
      }
    }
  }

  @Test func whatTheModelSaidIsTheTokensThatItSaid() throws {
    let tokenizer = try Tiny.model.get().tokenizer
    let memory = ReplyMemory(most: 2)
    let prompt = "<|user|>Hi<|end|><|assistant|><think>"
    // Not as the tokenizer would cut it.
    let said = Array("What is fox2?").flatMap { tokenizer.encode(String($0), addSpecialTokens: false) }
    let begun = tokenizer.encode(prompt, addSpecialTokens: false) + said
    memory.remember(prompt + "What is fox2?", begun)
    let rest = "<|end|><|user|>More"
    let whole = prompt + "What is fox2?" + rest
    let ids = memory.ids(whole, tokenizer)
    #expect(ids == begun + tokenizer.encode(rest, addSpecialTokens: false))
    #expect(ids != tokenizer.encode(whole, addSpecialTokens: false))
    // Where the text goes on within a word, it is another text.
    let other = prompt + "What is fox2?s"
    #expect(memory.ids(other, tokenizer) == tokenizer.encode(other, addSpecialTokens: false))
    // Two are kept.
    memory.remember("a", [1])
    memory.remember("b", [2])
    #expect(memory.ids(whole, tokenizer) == tokenizer.encode(whole, addSpecialTokens: false))
  }

  @Test func aConversationIsNotReadAgain() async throws {
    try await withServer { client in
      var messages: [JSON] = [.object(["role": "user", "content": "The value of fox1 is 18. What is fox1?"])]
      var body: JSONObject = [
        "max_tokens": 8, "temperature": 0, "chat_template_kwargs": .object(["enable_thinking": false]),
      ]
      body["messages"] = .array(messages)
      let first = try await client.post("/v1/chat/completions", body)
      let message = first.json["choices"]?.array?.first?["message"]
      // As the template writes it back: with what it thought, if it did.
      let text = "<think>" + (message?["reasoning_content"]?.string ?? "")
      messages += [
        .object(["role": "assistant", "content": .string(text)]), .object(["role": "user", "content": "And now?"]),
      ]
      body["messages"] = .array(messages)
      let second = try await client.post("/v1/chat/completions", body)
      let cached = second.json["usage"]?["prompt_tokens_details"]?["cached_tokens"]?.integer ?? 0
      let seen = first.json["usage"]?["dms"]?["tokens_seen"]?.integer ?? -1
      #expect(cached == seen, "\(first.body) \(second.body)")
    }
  }
}
