// Chats over the wire: what clients get is what the library says, whole or in pieces, and every mistake has its name.

import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText
import Foundation
import Testing

@testable import DMSServer

private let question = "The value of fox1 is 18. The value of fox2 is 25. What is fox2?"

/// What the library says to the question.
private func answer(maxTokens: Int? = nil) throws -> Answer {
  let model = try Tiny.model.get()
  var options = AnswerOptions(model)
  options.maxTokens = maxTokens
  var prompt = try model.prompt([ChatMessage(role: "user", content: question)])
  prompt.stable = nil
  var engine = Engine.Options()
  (engine.chunk, engine.context) = (64, 1000)
  return try model.answer(prompt, in: Session(Engine(model.decoder, on: Machine(threads: 1), engine)), options)
}

struct ChatTests {
  @Test func aChatIsAnsweredWhole() async throws {
    let expected = try answer()
    try await withServer { client in
      let reply = try await client.chat(question, ["model": "anything"])
      #expect(reply.status == 200)
      #expect(reply.headers["content-type"] == "application/json")
      let choice = reply.json["choices"]?.array?.first
      #expect(choice?["message"]?["content"]?.string == expected.content)
      #expect(choice?["message"]?["reasoning_content"]?.string ?? "" == expected.thinking)
      #expect(choice?["finish_reason"] == "stop")
      #expect(reply.json["object"] == "chat.completion" && reply.json["model"] == "tiny")
      let usage = reply.json["usage"]
      #expect(usage?["prompt_tokens"]?.integer == expected.promptTokens)
      #expect(usage?["completion_tokens"]?.integer == expected.generation.ids.count)
      #expect(usage?["dms"]?["tokens_seen"]?.integer == expected.ledger.tokensSeen)
      #expect(usage?["dms"]?["bytes_held"]?.integer == expected.ledger.bytesHeld)
    }
  }

  @Test func aStreamSaysTheSameInPieces() async throws {
    let expected = try answer()
    try await withServer { client in
      let reply = try await client.chat(question, ["stream": true, "stream_options": .object(["include_usage": true])])
      #expect(reply.status == 200)
      #expect(reply.headers["content-type"] == "text/event-stream")
      #expect(reply.events.last == "[DONE]")
      let chunks = reply.chunks
      let deltas = chunks.compactMap { $0["choices"]?.array?.first?["delta"] }
      #expect(deltas.first?["role"] == "assistant")
      #expect(deltas.compactMap { $0["content"]?.string }.joined() == expected.content)
      #expect(deltas.compactMap { $0["reasoning_content"]?.string }.joined() == expected.thinking)
      #expect(deltas.count > 5)
      #expect(Set(chunks.compactMap { $0["id"]?.string }).count == 1)
      // Usage comes last, alone; before it is null.
      #expect(chunks.last?["choices"] == .array([]))
      #expect(chunks.last?["usage"]?["completion_tokens"]?.integer == expected.generation.ids.count)
      #expect(chunks.dropLast().allSatisfy { $0["usage"] == .null })
      #expect(chunks.dropLast().last?["choices"]?.array?.first?["finish_reason"] == "stop")
      let plain = try await client.chat(question, ["stream": true])
      #expect(plain.chunks.allSatisfy { $0["usage"] == nil })
    }
  }

  @Test func lengthsStopsAndParts() async throws {
    let expected = try answer(maxTokens: 5)
    try await withServer { client in
      for name in ["max_tokens", "max_completion_tokens"] {
        let reply = try await client.chat(question, [name: 5])
        let choice = reply.json["choices"]?.array?.first
        #expect(choice?["finish_reason"] == "length")
        #expect(choice?["message"]?["reasoning_content"]?.string ?? "" == expected.thinking)
        #expect(reply.json["usage"]?["completion_tokens"] == 5)
      }
      let whole = try answer().text
      let stop = String(whole.dropFirst(12).prefix(5))
      let stopped = try await client.chat(question, ["stop": .array([.string(stop), "never said"]), "stream": true])
      let said = stopped.chunks.compactMap { $0["choices"]?.array?.first?["delta"] }
        .map { ($0["reasoning_content"]?.string ?? "") + ($0["content"]?.string ?? "") }.joined()
      #expect(!said.contains(stop))
      let parts = JSONObject([
        "messages": .array([
          .object([
            "role": "user",
            "content": .array([
              .object(["type": "text", "text": .string(String(question.prefix(10)))]),
              .object(["type": "text", "text": .string(String(question.dropFirst(10)))]),
            ]),
          ])
        ])
      ])
      let reply = try await client.post("/v1/chat/completions", parts)
      #expect(reply.json["choices"]?.array?.first?["message"]?["content"]?.string == (try answer().content))
    }
  }

  @Test func choicesAreManyAndSeedsRepeat() async throws {
    try await withServer { client in
      let fields: JSONObject = ["n": 3, "temperature": 2, "seed": 7, "max_tokens": 12]
      let first = try await client.chat(question, fields)
      let again = try await client.chat(question, fields)
      func texts(_ reply: Reply) -> [String] {
        (reply.json["choices"]?.array ?? []).map {
          ($0["message"]?["reasoning_content"]?.string ?? "") + "|" + ($0["message"]?["content"]?.string ?? "")
        }
      }
      #expect(texts(first).count == 3 && Set(texts(first)).count > 1)
      #expect(texts(first) == texts(again))
      #expect(first.json["choices"]?.array?.map { $0["index"] } == [0, 1, 2])
      var other = fields
      other["seed"] = 8
      #expect(texts(try await client.chat(question, other)) != texts(first))
      var streamed = fields
      streamed["stream"] = true
      var pieces = ["", "", ""]
      for chunk in try await client.chat(question, streamed).chunks {
        guard let choice = chunk["choices"]?.array?.first, let index = choice["index"]?.integer else { continue }
        pieces[index] +=
          (choice["delta"]?["reasoning_content"]?.string ?? "") + (choice["delta"]?["content"]?.string ?? "")
      }
      #expect(pieces == texts(first).map { $0.replacing("|", with: "") })
    }
  }

  @Test func logprobsAreOfTheTokensThatCame() async throws {
    try await withServer { client in
      let reply = try await client.chat(
        question, ["logprobs": true, "top_logprobs": 3, "max_tokens": 8, "temperature": 0])
      let content = reply.json["choices"]?.array?.first?["logprobs"]?["content"]?.array ?? []
      #expect(content.count == 8)
      for entry in content {
        let top = entry["top_logprobs"]?.array ?? []
        #expect(top.count == 3)
        #expect(top.first?["logprob"] == entry["logprob"] && top.first?["token"] == entry["token"])
        #expect((entry["logprob"]?.double ?? 1) <= 0)
        #expect(entry["bytes"]?.array?.isEmpty == false)
      }
      let streamed = try await client.chat(
        question, ["logprobs": true, "top_logprobs": 3, "max_tokens": 8, "temperature": 0, "stream": true])
      let pieces = streamed.chunks.flatMap { $0["choices"]?.array?.first?["logprobs"]?["content"]?.array ?? [] }
      #expect(pieces == content)
    }
  }

  @Test func biasAndPenaltiesAreHonoured() async throws {
    let model = try Tiny.model.get()
    try await withServer { client in
      let id = model.tokenizer.encode("7", addSpecialTokens: false).last ?? 0
      let biased = try await client.chat(question, ["logit_bias": .object([String(id): 100]), "max_tokens": 4])
      let choice = biased.json["choices"]?.array?.first?["message"]
      let text = (choice?["reasoning_content"]?.string ?? "") + (choice?["content"]?.string ?? "")
      #expect(text == "7777")
      // A hundred times as likely as all others, until it was said fifty times.
      for penalty in ["frequency_penalty", "presence_penalty"] {
        let reply = try await client.chat(
          question, ["logit_bias": .object([String(id): 100]), penalty: 2, "max_tokens": 100])
        let said = reply.json["choices"]?.array?.first?["message"]?["reasoning_content"]?.string ?? ""
        let isSevens = said == String(repeating: "7", count: 100)
        #expect(isSevens == (penalty == "presence_penalty") && said.hasPrefix("7777"))
      }
    }
  }

  @Test func aRequestMayKeepEverything() async throws {
    let text = (0..<12).map { "The value of fox\($0) is \($0 * 7 + 11)." }.joined(separator: " ") + " What is fox2?"
    try await withServer { client in
      let dense = try await client.chat(text, ["dms_cache": .object(["policy": "dense"]), "max_tokens": 20])
      let sparse = try await client.chat(text, ["dms_cache": .object(["policy": "dms"]), "max_tokens": 20])
      let capped = try await client.chat(text, ["dms_cache": .object(["budget": "70"]), "max_tokens": 20])
      func live(_ reply: Reply) -> Double { reply.json["usage"]?["dms"]?["live_tokens"]?.double ?? -1 }
      #expect(live(dense) == dense.json["usage"]?["dms"]?["tokens_seen"]?.double)
      #expect(live(sparse) < live(dense))
      #expect(live(capped) <= 70)
      let below = try await client.chat(text, ["dms_cache": .object(["budget": "3"])])
      #expect(below.status == 400 && below.body.contains("window"))
    }
  }
}
