// `POST /v1/messages`, what goes out: blocks of thinking, text and calls, whole or as Anthropic's events.

import DMSGeneration
import DMSText

/// A message in the making.
struct Message: WireAnswer {
  private let served: ServedModel
  private let request: MessagesRequest
  private let id = "msg_" + hexadecimal(.random(in: 0...(.max)))
  private var choice: ChatChoice
  private var end: ScheduledAnswer.End?
  /// The block that is open: its place, and what it is.
  private var (block, kind): (Int, Kind?) = (-1, nil)

  private enum Kind { case thinking, text, call }

  init(_ request: MessagesRequest, _ served: ServedModel) {
    self.served = served
    self.request = request
    choice = ChatChoice(request.prompt, offersTools: request.offersTools, callsMany: request.callsMany)
  }

  private mutating func take(_ event: ScheduledAnswer.Event) -> [ChatChoice.Part] {
    let parts = choice.take(event)
    if case .end(let end) = event {
      self.end = end
      if choice.endsWithItsText {
        let (text, ids) = choice.conversation(after: request.prompt)
        served.replies.remember(text, ids)
      }
    }
    return parts
  }

  private var usage: JSON {
    let cached = end?.cachedTokens ?? 0
    return .object([
      "input_tokens": .integer(request.prompt.prompt.ids.count - cached), "cache_read_input_tokens": .integer(cached),
      "cache_creation_input_tokens": 0, "output_tokens": .integer(end?.tokens ?? 0),
    ])
  }

  /// Why it ended, and the stop sequence that was met.
  private var stop: (reason: JSON, sequence: JSON) {
    guard let end else { return (.null, .null) }
    if !choice.calls.isEmpty { return ("tool_use", .null) }
    switch end.reason {
    case .stop where end.endID != nil: return ("end_turn", .null)
    case .stop: return ("stop_sequence", request.onlyStop.map { .string($0) } ?? .null)
    default: return ("max_tokens", .null)
    }
  }

  private func message(_ content: [JSON]) -> JSONObject {
    [
      "id": .string(id), "type": "message", "role": "assistant", "model": .string(served.name),
      "content": .array(content), "stop_reason": stop.reason, "stop_sequence": stop.sequence, "usage": usage,
    ]
  }

  /// Waits for the answer.
  mutating func whole(_ answers: [ScheduledAnswer]) async throws -> JSON {
    try await forEachEvent(of: answers, beat: nil) { happening in
      if case .event(_, let event) = happening { _ = take(event) }
    }
    var content: [JSON] = []
    if !choice.thinking.isEmpty {
      content.append(.object(["type": "thinking", "thinking": .string(choice.thinking), "signature": ""]))
    }
    if !choice.content.isEmpty { content.append(.object(["type": "text", "text": .string(choice.content)])) }
    for call in choice.calls {
      let input = (try? JSON(parsing: call.arguments)) ?? .object([:])
      content.append(
        .object(["type": "tool_use", "id": .string(call.id), "name": .string(call.name), "input": input]))
    }
    return .object(message(content))
  }

  /// Sends events until the answer has ended.
  mutating func stream(_ answers: [ScheduledAnswer], to events: EventWriter) async throws {
    try await events.send(.object(["type": "message_start", "message": .object(message([]))]), name: "message_start")
    try await forEachEvent(of: answers, beat: EventWriter.beat) { happening in
      guard case .event(_, let event) = happening else { return try await ping(events) }
      for part in take(event) { try await send(part, events) }
    }
    try await close(events)
    try await events.send(
      .object([
        "type": "message_delta", "delta": .object(["stop_reason": stop.reason, "stop_sequence": stop.sequence]),
        "usage": usage,
      ]), name: "message_delta")
    try await events.send(.object(["type": "message_stop"]), name: "message_stop")
  }

  func sendFailure(_ error: APIError, to events: EventWriter) async throws {
    try await events.send(error.anthropic, name: "error")
  }

  private func ping(_ events: EventWriter) async throws {
    try await events.send(.object(["type": "ping"]), name: "ping")
  }

  private mutating func send(_ part: ChatChoice.Part, _ events: EventWriter) async throws {
    switch part {
    case .thinking(let text):
      try await open(.thinking, .object(["type": "thinking", "thinking": "", "signature": ""]), events)
      try await delta(.object(["type": "thinking_delta", "thinking": .string(text)]), events)
    case .text(let text):
      try await open(.text, .object(["type": "text", "text": ""]), events)
      try await delta(.object(["type": "text_delta", "text": .string(text)]), events)
    case .call(_, let call):
      // Each call is a block of its own.
      try await close(events)
      let block: JSONObject = [
        "type": "tool_use", "id": .string(call.id), "name": .string(call.name), "input": .object([:]),
      ]
      try await open(.call, .object(block), events)
      try await delta(.object(["type": "input_json_delta", "partial_json": .string(call.arguments)]), events)
    }
  }

  private mutating func open(_ kind: Kind, _ block: JSON, _ events: EventWriter) async throws {
    guard self.kind != kind else { return }
    try await close(events)
    self.kind = kind
    self.block += 1
    try await events.send(
      .object(["type": "content_block_start", "index": .integer(self.block), "content_block": block]),
      name: "content_block_start")
  }

  private func delta(_ delta: JSON, _ events: EventWriter) async throws {
    try await events.send(
      .object(["type": "content_block_delta", "index": .integer(block), "delta": delta]), name: "content_block_delta")
  }

  private mutating func close(_ events: EventWriter) async throws {
    guard kind != nil else { return }
    kind = nil
    try await events.send(
      .object(["type": "content_block_stop", "index": .integer(block)]), name: "content_block_stop")
  }
}

extension APIError {
  /// Anthropic's error object.
  var anthropic: JSON {
    let kind =
      switch status.code {
      case 400, 413: "invalid_request_error"
      case 401: "authentication_error"
      case 404: "not_found_error"
      case 429: "rate_limit_error"
      case 503: "overloaded_error"
      default: "api_error"
      }
    return .object(["type": "error", "error": .object(["type": .string(kind), "message": .string(message)])])
  }
}
