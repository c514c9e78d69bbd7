// The server around the answers: errors with their names, keys, limits, hanging up, coming and going.

import DMSGeneration
import DMSKernels
import DMSPlatform
import DMSText
import Foundation
import Synchronization
import Testing

@testable import DMSServer

struct ServerTests {
  @Test func errorsHaveOpenAIsForm() async throws {
    try await withServer { client in
      let cases: [(String, Int, String?)] = [
        ("", 400, nil), ("[]", 400, nil), ("{", 400, nil), ("{}", 400, "messages"),
        (#"{"messages":[]}"#, 400, "messages"), (#"{"messages":[{"content":"x"}]}"#, 400, "messages[0]"),
        (#"{"messages":[{"role":"user","content":7}]}"#, 400, "messages[0].content"),
        (#"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#, 400, "messages[0].content[0]"),
        (#"{"messages":[{"role":"user","content":"x"}],"temperature":"hot"}"#, 400, "temperature"),
        (#"{"messages":[{"role":"user","content":"x"}],"top_p":1.5}"#, 400, "top_p"),
        (#"{"messages":[{"role":"user","content":"x"}],"n":0}"#, 400, "n"),
        (#"{"messages":[{"role":"user","content":"x"}],"max_tokens":-1}"#, 400, "max_tokens"),
        (
          #"{"messages":[{"role":"user","content":"x"}],"max_tokens":1,"max_completion_tokens":2}"#, 400,
          "max_completion_tokens"
        ),
        (#"{"messages":[{"role":"user","content":"x"}],"top_logprobs":2}"#, 400, "top_logprobs"),
        (#"{"messages":[{"role":"user","content":"x"}],"logit_bias":{"x":1}}"#, 400, "logit_bias"),
        (#"{"messages":[{"role":"user","content":"x"}],"stop":[1]}"#, 400, "stop"),
        (#"{"messages":[{"role":"user","content":"x"}],"stream_options":{}}"#, 400, "stream_options"),
        (#"{"messages":[{"role":"user","content":"x"}],"frobnicate":1}"#, 400, "frobnicate"),
        (
          #"{"messages":[{"role":"user","content":"x"}],"stream":true,"stream_options":{"frob":1}}"#, 400,
          "stream_options.frob"
        ),
        (#"{"messages":[{"role":"user","content":"x"}],"dms_cache":{"policy":"lru"}}"#, 400, "dms_cache"),
        (
          #"{"messages":[{"role":"user","content":"x"}],"chat_template_kwargs":{"x":1}}"#, 400, "chat_template_kwargs.x"
        ),
      ]
      for (body, status, parameter) in cases {
        let reply = try await client.post("/v1/chat/completions", body)
        #expect(reply.status == status, "\(body)")
        let error = reply.json["error"]
        #expect(error?["message"]?.string?.isEmpty == false, "\(body)")
        #expect(error?["type"] == "invalid_request_error", "\(body)")
        #expect(error?["param"]?.string == parameter, "\(body) \(reply.body)")
      }
      let lost = try await client.get("/v1/nothing")
      #expect(lost.status == 404 && lost.json["error"]?["code"] == "not_found")
    }
  }

  @Test func aPromptThatIsTooLongIsCountedAndRefused() async throws {
    try await withServer(ServerOptions(), Tiny.served(context: 100)) { client in
      let reply = try await client.chat(String(repeating: "many words ", count: 100))
      #expect(reply.status == 400)
      #expect(reply.json["error"]?["code"] == "context_length_exceeded")
      #expect(reply.json["error"]?["message"]?.string?.contains("100 tokens") == true)
    }
    try await withServer(ServerOptions(), Tiny.served(limit: 40_000)) { client in
      let reply = try await client.chat("Hello, you there, what is the news?")
      #expect(reply.status == 400)
      #expect(reply.json["error"]?["code"] == "cache_memory_exceeded")
    }
  }

  @Test func lenienceIsSaidInAHeader() async throws {
    var options = ServerOptions()
    options.isLenient = true
    try await withServer(options) { client in
      let reply = try await client.chat("Hi", ["frobnicate": 1, "max_tokens": 2])
      #expect(reply.status == 200)
      #expect(reply.headers["x-dms-warning"]?.contains("frobnicate") == true)
    }
  }

  @Test func keysAreAskedFor() async throws {
    var options = ServerOptions()
    options.apiKeys = ["first", "second"]
    try await withServer(options) { client in
      #expect(try await client.get("/health").status == 200)
      for headers in [[], ["Authorization: Bearer wrong"], ["Authorization: Bearer "], ["x-api-key: firs"]] {
        let reply = try await client.get("/v1/models", headers)
        #expect(reply.status == 401 && reply.json["error"]?["code"] == "invalid_api_key")
      }
      for header in ["Authorization: Bearer first", "authorization: bearer second", "X-API-Key: second"] {
        #expect(try await client.get("/v1/models", [header]).status == 200)
      }
    }
  }

  @Test func modelsAreListed() async throws {
    try await withServer { client in
      let list = try await client.get("/v1/models")
      #expect(list.json["data"]?.array?.first?["id"] == "tiny")
      #expect(list.json["data"]?.array?.first?["max_model_len"] == 1000)
      #expect(try await client.get("/v1/models/tiny").json["id"] == "tiny")
      #expect(try await client.get("/v1/models/other").status == 404)
    }
  }

  @Test func bodiesAreBounded() async throws {
    var options = ServerOptions()
    options.mostBodyBytes = 1000
    try await withServer(options) { client in
      let reply = try await client.chat(String(repeating: "x", count: 2000))
      #expect(reply.status == 413 && reply.json["error"]?["code"] == "body_too_large")
      // A length that is only claimed.
      let claimed = try await client.raw(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n"
          + String(repeating: "x", count: 5000))
      #expect(claimed.status == 413)
      let headers = try await client.raw(
        "GET /health HTTP/1.1\r\nHost: x\r\nX: " + String(repeating: "x", count: 200_000) + "\r\n\r\n")
      #expect(headers.status == 400)
      #expect(try await client.get("/health").status == 200)
    }
  }

  @Test(arguments: [true, false]) func whoHangsUpIsForgotten(streams: Bool) async throws {
    var scheduling = Scheduler.Options()
    scheduling.prefixBytes = 0
    try await withServer(ServerOptions(), Tiny.served(scheduling)) { client in
      let body =
        #"{"messages":[{"role":"user","content":"Hi"}],"temperature":3,"max_tokens":900,"logit_bias":{"614":-100},"stream":\#(streams)}"#
      let request =
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.utf8.count)\r\n\r\n" + body
      for round in 1...3 {
        let connection = try Connection(client.port)
        connection.write(request)
        if streams { _ = connection.read(10) }
        // It has begun, or is over by now.
        while true {
          let status = client.served.scheduler.status
          if status.running + status.completed + status.cancelled >= round { break }
          try await Task.sleep(for: .milliseconds(1))
        }
        withExtendedLifetime(connection) {}
      }
      // The connections are closed: nobody is left, long before 900 tokens.
      while client.served.scheduler.status.running > 0 { try await Task.sleep(for: .milliseconds(1)) }
      #expect(client.served.scheduler.status.cancelled > 0)
      #expect(client.served.scheduler.status.bytesHeld == 0)
    }
  }

  @Test func moreThanWaitIsTooMany() async throws {
    var scheduling = Scheduler.Options()
    scheduling.queue = 1
    try await withServer(ServerOptions(), Tiny.served(batch: 1, scheduling)) { client in
      let statuses = try await withThrowingTaskGroup(of: Reply.self) { group in
        for _ in 0..<12 { group.addTask { try await client.chat("Hi", ["max_tokens": 60, "temperature": 2]) } }
        var replies: [Reply] = []
        for try await reply in group { replies.append(reply) }
        return replies
      }
      let refused = statuses.filter { $0.status == 429 }
      #expect(!refused.isEmpty && refused.allSatisfy { $0.headers["retry-after"] != nil })
      #expect(statuses.allSatisfy { $0.status == 200 || $0.status == 429 })
    }
  }

  @Test func whileLoadingItSaysSo() async throws {
    let gate = DispatchSemaphore(value: 0)
    let served = try Tiny.served()
    var options = ServerOptions()
    options.port = 0
    let server = Server(options) {
      gate.wait()
      return served
    }
    let (ports, port) = AsyncStream.makeStream(of: Int.self)
    let task = Task { try await server.run(until: []) { port.yield($0) } }
    var listening = ports.makeAsyncIterator()
    let client = Client(port: try #require(await listening.next()), served: served)
    let health = try await client.get("/health")
    #expect(health.status == 503 && health.headers["retry-after"] != nil)
    #expect(try await client.chat("Hi").status == 503)
    gate.signal()
    while try await client.get("/health").status == 503 { try await Task.sleep(for: .milliseconds(5)) }
    #expect(try await client.chat("Hi", ["max_tokens": 1]).status == 200)
    task.cancel()
    _ = try? await task.value
  }

  @Test func whatCannotBeLoadedEndsTheServer() async throws {
    var options = ServerOptions()
    options.port = 0
    let server = Server(options) { throw InputError("no such model") }
    await #expect(throws: InputError.self) { try await server.run(until: []) { _ in } }
  }

  @Test func anAddressThatIsTakenIsNamed() async throws {
    try await withServer { client in
      var options = ServerOptions()
      options.port = client.port
      let served = client.served
      await #expect {
        try await Server(options) { served }.run(until: []) { _ in }
      } throws: { error in
        "\(error)".contains("127.0.0.1:\(client.port)")
      }
    }
  }
}
