// Anthropic's form of a chat, over the wire.

import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText
import Foundation
import Testing

@testable import DMSServer

private let question = "The value of fox1 is 18. The value of fox2 is 25. What is fox2?"

struct MessageTests {
  private func body(_ fields: JSONObject = [:]) -> JSONObject {
    var body = fields
    body["messages"] = .array([.object(["role": "user", "content": .string(question)])])
    if body["max_tokens"] == nil { body["max_tokens"] = 200 }
    return body
  }

  @Test func aMessageSaysWhatAChatSays() async throws {
    try await withServer { client in
      let chat = try await client.chat(question, ["temperature": 0])
      let reply = try await client.post(
        "/v1/messages", body(["temperature": 0, "model": "m"]), ["anthropic-version: 2023-06-01"])
      #expect(reply.status == 200, "\(reply.body)")
      let content = reply.json["content"]?.array ?? []
      let expected = chat.json["choices"]?.array?.first?["message"]
      #expect(content.first { $0["type"] == "thinking" }?["thinking"] == expected?["reasoning_content"])
      #expect(content.first { $0["type"] == "text" }?["text"] == expected?["content"])
      #expect(reply.json["type"] == "message" && reply.json["stop_reason"] == "end_turn")
      let usage = reply.json["usage"]
      let read = (usage?["input_tokens"]?.integer ?? 0) + (usage?["cache_read_input_tokens"]?.integer ?? 0)
      #expect(read == chat.json["usage"]?["prompt_tokens"]?.integer)
      #expect(usage?["output_tokens"] == chat.json["usage"]?["completion_tokens"])
      let counted = try await client.post("/v1/messages/count_tokens", body(["max_tokens": .null]))
      #expect(counted.json["input_tokens"]?.integer == read)
    }
  }

  @Test func aStreamIsTheSameInBlocks() async throws {
    try await withServer { client in
      let whole = try await client.post("/v1/messages", body(["temperature": 0]))
      let reply = try await client.post("/v1/messages", body(["temperature": 0, "stream": true]))
      let lines = reply.body.components(separatedBy: "\n\n").filter { $0.hasPrefix("event: ") }
      let events: [(String, JSON)] = try lines.map { line in
        let parts = line.components(separatedBy: "\ndata: ")
        return (String(parts[0].dropFirst(7)), try JSON(parsing: parts[1]))
      }
      #expect(events.allSatisfy { $1["type"]?.string == $0 })
      #expect(events.first?.0 == "message_start" && events.last?.0 == "message_stop")
      // Blocks are opened, filled and closed one after the other.
      var (open, blocks): (Int?, [String]) = (nil, [])
      for (name, event) in events {
        switch name {
        case "content_block_start":
          #expect(open == nil && event["index"]?.integer == blocks.count)
          open = blocks.count
          blocks.append("")
        case "content_block_delta":
          #expect(event["index"]?.integer == open)
          let delta = event["delta"]
          blocks[blocks.count - 1] += delta?["text"]?.string ?? delta?["thinking"]?.string ?? ""
        case "content_block_stop":
          #expect(event["index"]?.integer == open)
          open = nil
        default: break
        }
      }
      let expected = (whole.json["content"]?.array ?? []).map { $0["text"]?.string ?? $0["thinking"]?.string ?? "" }
      #expect(blocks == expected && open == nil)
      let last = events.first { $0.0 == "message_delta" }?.1
      #expect(last?["delta"]?["stop_reason"] == whole.json["stop_reason"])
      #expect(last?["usage"]?["output_tokens"] == whole.json["usage"]?["output_tokens"])
    }
  }

  @Test func whatStopsItIsSaid() async throws {
    try await withServer { client in
      let cut = try await client.post("/v1/messages", body(["max_tokens": 3]))
      #expect(cut.json["stop_reason"] == "max_tokens")
      let all = try await client.post("/v1/messages", body(["temperature": 0]))
      let thought = all.json["content"]?.array?.first?["thinking"]?.string ?? ""
      let stop = String(thought.dropFirst(10).prefix(4))
      try #require(stop.count == 4)
      let stopped = try await client.post(
        "/v1/messages", body(["temperature": 0, "stop_sequences": .array([.string(stop)])]))
      #expect(stopped.json["stop_reason"] == "stop_sequence" && stopped.json["stop_sequence"]?.string == stop)
    }
  }

  @Test func blocksBecomeMessages() async throws {
    let tool = JSON.object(["name": "f", "input_schema": .object(["type": "object"])])
    let use = JSON.object(["type": "tool_use", "id": "t", "name": "f", "input": .object(["x": 1])])
    let result = JSON.object([
      "type": "tool_result", "tool_use_id": "t", "content": .array([.object(["type": "text", "text": "7"])]),
    ])
    let json = JSON.object([
      "max_tokens": 5, "system": .array([.object(["type": "text", "text": "Be brief."])]), "tools": .array([tool]),
      "messages": .array([
        .object(["role": "user", "content": .array([.object(["type": "text", "text": "Hi"])])]),
        .object(["role": "assistant", "content": .array([.object(["type": "text", "text": "Well."]), use])]),
        .object(["role": "user", "content": .array([result])]),
      ]),
    ])
    let request = try MessagesRequest(json, Tiny.served(), isLenient: false)
    #expect(
      request.prompt.text
        == "<|system|>Be brief.<|end|><|user|>Hi<|end|><|assistant|>Well.<|end|><|tool|>7<|end|><|assistant|><think>")
    #expect(request.offersTools)
  }

  @Test func errorsHaveAnthropicsForm() async throws {
    var options = ServerOptions()
    options.apiKeys = ["key"]
    try await withServer(options) { client in
      let cases: [(JSONObject, Int, String)] = [
        (["max_tokens": 0], 400, "invalid_request_error"),
        (["max_tokens": 5, "frob": 1], 400, "invalid_request_error"),
        (["max_tokens": 5, "tool_choice": .object(["type": "any"])], 400, "invalid_request_error"),
        (["max_tokens": 5, "tools": .array([1])], 400, "invalid_request_error"),
        (["max_tokens": 5, "system": 7], 400, "invalid_request_error"),
        (["max_tokens": 5, "thinking": .object(["type": "x"])], 400, "invalid_request_error"),
      ]
      for (fields, status, kind) in cases {
        let reply = try await client.post("/v1/messages", body(fields), ["x-api-key: key"])
        #expect(reply.status == status && reply.json["type"] == "error", "\(fields) \(reply.body)")
        #expect(reply.json["error"]?["type"]?.string == kind)
      }
      let stranger = try await client.post("/v1/messages", body())
      #expect(stranger.status == 401 && stranger.json["error"]?["type"] == "authentication_error")
    }
  }

  @Test func propertiesAndSlots() async throws {
    try await withServer { client in
      let properties = try await client.get("/props").json
      #expect(properties["total_slots"] == 8 && properties["default_generation_settings"]?["n_ctx"] == 1000)
      #expect(properties["chat_template"]?.string?.isEmpty == false)
      let slots = try await client.get("/slots").json.array ?? []
      #expect(slots.count == 8 && slots.allSatisfy { $0["is_processing"] == false })
    }
  }
}
