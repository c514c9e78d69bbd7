// Completions over the wire, and what evaluations by log-likelihood need of them: places, nulls, numbers that are equal.

import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText
import Foundation
import Testing

@testable import DMSServer

private let shared = URL(filePath: repository).deletingLastPathComponent().appending(path: "shared/data/http").path

struct CompletionTests {
  @Test func promptsComeInFourForms() async throws {
    let text = "The value of fox1 is 18."
    let ids = try Tiny.model.get().ids(raw: text)
    let list = JSON.array(ids.map { .integer($0) })
    try await withServer { client in
      func texts(_ prompt: JSON) async throws -> [String] {
        let reply = try await client.post("/v1/completions", ["prompt": prompt, "max_tokens": 9, "temperature": 0])
        #expect(reply.status == 200, "\(reply.body)")
        #expect(reply.json["object"] == "text_completion")
        let choices = reply.json["choices"]?.array ?? []
        #expect(choices.map { $0["index"]?.integer } == Array(choices.indices))
        return choices.compactMap { $0["text"]?.string }
      }
      let one = try await texts(.string(text))
      #expect(one.count == 1 && !one[0].isEmpty)
      #expect(try await texts(list) == one)
      #expect(
        try await texts(.array([.string(text), .string("Other"), list])).enumerated().allSatisfy {
          $0 == 1 || $1 == one[0]
        })
      #expect(try await texts(.array([list, list])) == one + one)
      for wrong in [JSON.null, "", .array([]), .array([.array([])]), .array([1, "x"]), 7, .array([.integer(1 << 40)])] {
        #expect(try await client.post("/v1/completions", ["prompt": wrong]).status == 400)
      }
      for (name, value) in [("best_of", 3), ("suffix", "x"), ("logprobs", 99), ("frob", 1)] as [(String, JSON)] {
        let reply = try await client.post("/v1/completions", ["prompt": "x", name: value])
        #expect(reply.status == 400 && reply.json["error"]?["param"]?.string == name)
      }
    }
  }

  @Test func logLikelihoodsAreInTheirPlaces() async throws {
    let model = try Tiny.model.get()
    let prompts = ["The value of fox1 is 18.", "What is fox2? It is é25.", "x"].map { model.ids(raw: $0) }
    try await withServer { client in
      let reply = try await client.post(
        "/v1/completions",
        [
          "prompt": .array(prompts.map { .array($0.map { .integer($0) }) }), "max_tokens": 1, "logprobs": 1,
          "echo": true,
          "temperature": 0, "seed": 1234, "model": "m",
        ])
      #expect(reply.status == 200, "\(reply.body)")
      let choices = reply.json["choices"]?.array ?? []
      #expect(choices.count == 3)
      for (ids, choice) in zip(prompts, choices) {
        let own = choice["logprobs"]?["token_logprobs"]?.array ?? []
        let top = choice["logprobs"]?["top_logprobs"]?.array ?? []
        let tokens = choice["logprobs"]?["tokens"]?.array ?? []
        // One generated token follows the prompt, whatever it is.
        #expect(own.count == ids.count + 1 && top.count == own.count && tokens.count == own.count)
        #expect(own.first == .null && top.first == .null)
        for (own, top) in zip(own.dropFirst(), top.dropFirst()) {
          let numbers = top.object?.members.compactMap { $0.value.double } ?? []
          #expect(own.double.map(numbers.contains) == true)
          #expect((1...2).contains(numbers.count))
        }
        // The generated token is the likeliest.
        #expect(own.last?.double == top.last?.object?.members.compactMap { $0.value.double }.max())
        #expect(choice["text"]?.string?.hasPrefix(model.tokenizer.decode(ids, skippingSpecial: true)) == true)
      }
      #expect(reply.json["usage"]?["prompt_tokens"]?.integer == prompts.reduce(0) { $0 + $1.count })
      // The numbers are the model's, computed here in double precision from the same logits.
      let engine = try Engine(model.decoder, on: Machine(threads: 1), Engine.Options())
      let cache = try engine.makeCache()
      var expected: [Double] = []
      let ids = prompts[0]
      try engine.prefill(ids, into: cache) { rows, logits in
        for row in 0..<rows where expected.count < ids.count - 1 {
          let values = logits[(row * 640)..<((row + 1) * 640)].map(Double.init)
          let largest = values.max() ?? 0
          let sum = values.reduce(0) { $0 + exp($1 - largest) }
          expected.append(values[ids[expected.count + 1]] - largest - log(sum))
        }
      }
      let found = (choices.first?["logprobs"]?["token_logprobs"]?.array ?? []).compactMap(\.double).prefix(
        expected.count)
      for (found, expected) in zip(found, expected) { #expect(abs(found - expected) < 1e-5) }
      #expect(found.count == expected.count)
    }
  }

  @Test func offsetsCountCharacters() async throws {
    try await withServer { client in
      let text = "Größe 7"
      let reply = try await client.post(
        "/v1/completions", ["prompt": .string(text), "max_tokens": 3, "logprobs": 0, "echo": true, "temperature": 0])
      let lists = reply.json["choices"]?.array?.first?["logprobs"]
      let offsets = lists?["text_offset"]?.array?.compactMap(\.integer) ?? []
      #expect(offsets.first == 0 && offsets == offsets.sorted())
      #expect(offsets.count == lists?["tokens"]?.array?.count)
      #expect(offsets.contains(text.unicodeScalars.count))
      #expect(lists?["top_logprobs"]?.array?.dropFirst().allSatisfy { $0.object?.keys.count == 1 } == true)
    }
  }

  @Test func aStreamSaysTheSame() async throws {
    try await withServer { client in
      let body: JSONObject = [
        "prompt": "The value of fox1 is", "max_tokens": 12, "logprobs": 2, "echo": true, "temperature": 0,
      ]
      let whole = try await client.post("/v1/completions", body)
      var streaming = body
      streaming["stream"] = true
      streaming["stream_options"] = .object(["include_usage": true])
      let reply = try await client.post("/v1/completions", streaming)
      let choices = reply.chunks.compactMap { $0["choices"]?.array?.first }
      let expected = whole.json["choices"]?.array?.first
      #expect(choices.compactMap { $0["text"]?.string }.joined() == expected?["text"]?.string)
      for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        let joined = choices.flatMap { $0["logprobs"]?[name]?.array ?? [] }
        #expect(joined == expected?["logprobs"]?[name]?.array)
      }
      #expect(choices.last?["finish_reason"] == expected?["finish_reason"])
      #expect(reply.chunks.last?["usage"]?["prompt_tokens"] == whole.json["usage"]?["prompt_tokens"])
      #expect(reply.events.last == "[DONE]")
    }
  }

  @Test(.enabled(if: FileManager.default.fileExists(atPath: shared), "needs ../shared/data"))
  func requestsOfRealClientsAreAnswered() async throws {
    let lines = try String(contentsOfFile: shared + "/client-requests.jsonl", encoding: .utf8).split(separator: "\n")
    #expect(lines.count > 30)
    try await withServer(ServerOptions(), Tiny.served(context: 4096)) { client in
      for line in lines {
        let request = try JSON(parsing: String(line))
        guard let path = request["path"]?.string, let body = request["body"]?.object else { continue }
        var headers: [String] = []
        for (name, value) in request["headers"]?.object?.members ?? JSONObject().members {
          if !["content-length", "host", "connection"].contains(name.lowercased()) {
            headers.append("\(name): \(value.string ?? "")")
          }
        }
        let reply = try await client.post(path, body, headers)
        #expect(reply.status == 200, "\(reply.body.prefix(300))")
        let choices = reply.json["choices"]?.array ?? []
        #expect(choices.map { $0["index"]?.integer } == Array(choices.indices))
        guard body["echo"]?.bool == true, let prompts = body["prompt"]?.array else { continue }
        for (prompt, choice) in zip(prompts, choices) {
          #expect(choice["logprobs"]?["token_logprobs"]?.array?.count == (prompt.array?.count ?? 0) + 1)
        }
      }
    }
  }

  @Test func tokensOfATextAndBack() async throws {
    let model = try Tiny.model.get()
    try await withServer { client in
      let text = "What is fox2? Größe"
      let ids = model.tokenizer.encode(text, addSpecialTokens: false)
      for name in ["content", "prompt"] {
        let reply = try await client.post("/tokenize", [name: .string(text), "add_special_tokens": false])
        #expect(reply.json["tokens"]?.array?.compactMap(\.integer) == ids)
        #expect(reply.json["count"]?.integer == ids.count && reply.json["max_model_len"] == 1000)
      }
      let back = try await client.post("/detokenize", ["tokens": .array(ids.map { .integer($0) })])
      #expect(back.json["content"]?.string == text && back.json["prompt"]?.string == text)
      let messages = JSON.array([.object(["role": "user", "content": .string(text)])])
      let prompt = try model.prompt([ChatMessage(role: "user", content: text)])
      let rendered = try await client.post("/apply-template", ["messages": messages])
      #expect(model.tokenizer.encode(rendered.json["prompt"]?.string ?? "", addSpecialTokens: false) == prompt.ids)
      let chat = try await client.post("/tokenize", ["messages": messages])
      #expect(chat.json["tokens"]?.array?.compactMap(\.integer) == prompt.ids)
      let pieces = try await client.post("/tokenize", ["content": .string(text), "with_pieces": true])
      #expect(pieces.json["tokens"]?.array?.compactMap { $0["id"]?.integer } == ids)
      let names = try await client.post("/tokenize", ["prompt": .string(text), "return_token_strs": true])
      #expect(names.json["token_strs"]?.array?.count == names.json["count"]?.integer)
      let info = try await client.get("/tokenizer_info")
      #expect(info.json["chat_template"]?.string?.isEmpty == false && info.json["eos_token"]?.string?.isEmpty == false)
      for (path, body) in [
        ("/tokenize", [:]), ("/tokenize", ["content": "x", "messages": messages]),
        ("/detokenize", ["tokens": .array([-1])]),
        ("/detokenize", ["tokens": .array(["x"])]), ("/apply-template", [:]),
        ("/tokenize", ["content": "x", "frob": 1]),
      ] as [(String, JSONObject)] {
        #expect(try await client.post(path, body).status == 400)
      }
    }
  }

  @Test func metricsArePrometheusText() async throws {
    try await withServer(ServerOptions(), Tiny.served(limit: 100 << 20)) { client in
      _ = try await client.chat("What is fox2?", ["max_tokens": 5])
      // The answer ends a moment before the account of it is published.
      while client.served.scheduler.status.completed < 1 { try await Task.sleep(for: .milliseconds(1)) }
      let page = try await client.get("/metrics")
      #expect(page.headers["content-type"]?.hasPrefix("text/plain; version=0.0.4") == true)
      var values: [String: Double] = [:]
      for line in page.body.split(separator: "\n") where !line.hasPrefix("#") {
        let parts = line.split(separator: " ")
        #expect(parts.count == 2)
        values[String(parts[0])] = Double(parts[1])
      }
      for name in ["llamacpp:tokens_predicted_total", "vllm:generation_tokens_total"] { #expect(values[name] == 5) }
      #expect(values["dms:requests_completed_total"] == 1)
      #expect(values["vllm:num_requests_running"] == 0)
      #expect(values["dms:cache_limit_bytes"] == Double(100 << 20))
      #expect(values.values.allSatisfy { $0.isFinite })
    }
  }
}
