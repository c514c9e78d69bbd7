// `POST /v1/chat/completions`, what goes out: whole, or as events while it comes.

import DMSGeneration
import DMSText
import Hummingbird

/// An answer to a chat, in the making.
struct ChatCompletion: WireAnswer {
  private let served: ServedModel
  private let delivery: Delivery
  private let id = "chatcmpl-" + hexadecimal(.random(in: 0...(.max)))
  private let created = secondsSince1970()
  private let prompt: ChatPrompt
  private let scored: Bool
  private let writer: LogprobWriter
  private var choices: [ChatChoice]
  private var usage: Usage

  init(_ request: ChatRequest, _ served: ServedModel) {
    self.served = served
    delivery = request.delivery
    prompt = request.prompt
    scored = request.requests[0].scores != nil
    writer = LogprobWriter(tokenizer: served.model.tokenizer)
    choices = request.requests.map { _ in
      ChatChoice(request.prompt, offersTools: request.offersTools, callsMany: request.callsMany)
    }
    usage = Usage(promptTokens: request.prompt.prompt.ids.count)
  }

  /// The pieces of an event; what the choice took, at its end.
  private mutating func take(_ event: ScheduledAnswer.Event, choice index: Int) -> [ChatChoice.Part] {
    let parts = choices[index].take(event)
    if case .end(let end) = event {
      usage.add(end)
      if choices[index].endsWithItsText {
        let (text, ids) = choices[index].conversation(after: prompt)
        served.replies.remember(text, ids)
      }
    }
    return parts
  }

  // MARK: Whole

  /// Waits for all choices.
  mutating func whole(_ answers: [ScheduledAnswer]) async throws -> JSON {
    try await forEachEvent(of: answers, beat: nil) { happening in
      if case .event(let index, let event) = happening { _ = take(event, choice: index) }
    }
    return .members([
      "id": .string(id), "object": "chat.completion", "created": .integer(created), "model": .string(served.name),
      "system_fingerprint": .string(served.fingerprint), "choices": .array(choices.indices.map(choice)),
      "usage": usage.json,
    ])
  }

  private func choice(_ index: Int) -> JSON {
    let choice = choices[index]
    let isNothing = choice.content.isEmpty && !choice.calls.isEmpty
    var message = JSONObject(["role": "assistant", "content": isNothing ? .null : .string(choice.content)])
    if !choice.thinking.isEmpty { message["reasoning_content"] = .string(choice.thinking) }
    if !choice.calls.isEmpty { message["tool_calls"] = .array(choice.calls.map { $0.json() }) }
    return .members([
      "index": .integer(index), "message": .object(message), "logprobs": logprobs(choice.scores),
      "finish_reason": choice.finish.map { .string($0) } ?? .null,
    ])
  }

  private func logprobs(_ scores: [TokenScore]) -> JSON {
    scored ? .members(["content": .array(scores.map(writer.chat)), "refusal": .null]) : .null
  }

  // MARK: As events

  /// Sends events until all choices have ended.
  mutating func stream(_ answers: [ScheduledAnswer], to events: EventWriter) async throws {
    for index in choices.indices {
      try await events.send(chunk(index, delta: ["role": "assistant", "content": ""]))
    }
    try await forEachEvent(of: answers, beat: EventWriter.beat) { happening in
      guard case .event(let index, let event) = happening else { return try await events.beat() }
      if case .reading(let count) = event { return try await tell(count, events) }
      var pending: [TokenScore] = []
      if case .token(let token) = event { pending += [token.score].compactMap { $0 } }
      for part in take(event, choice: index) {
        try await events.send(chunk(index, delta: delta(part), scores: pending))
        pending = []
      }
      // Half a character has a score and no text.
      if !pending.isEmpty { try await events.send(chunk(index, delta: JSONObject(), scores: pending)) }
      if let reason = choices[index].finish {
        try await events.send(chunk(index, delta: JSONObject(), reason: reason))
      }
    }
    if delivery.includesUsage {
      var last = frame()
      last["choices"] = .array([])
      last["usage"] = usage.json
      try await events.send(.object(last))
    }
    try await events.done()
  }

  private func delta(_ part: ChatChoice.Part) -> JSONObject {
    switch part {
    case .thinking(let text): ["reasoning_content": .string(text)]
    case .text(let text): ["content": .string(text)]
    case .call(let index, let call): ["tool_calls": .array([call.json(index)])]
    }
  }

  private func tell(_ count: Int, _ events: EventWriter) async throws {
    let total = prompt.prompt.ids.count
    guard delivery.tellsProgress else { return try await events.comment("read \(count) of \(total) tokens") }
    var progress = frame()
    progress["choices"] = .array([])
    progress["prompt_progress"] = .members(["total": .integer(total), "processed": .integer(count)])
    try await events.send(.object(progress))
  }

  private func frame() -> JSONObject {
    JSONObject([
      "id": .string(id), "object": "chat.completion.chunk", "created": .integer(created), "model": .string(served.name),
      "system_fingerprint": .string(served.fingerprint),
    ])
  }

  private func chunk(_ index: Int, delta: JSONObject, scores: [TokenScore] = [], reason: String? = nil) -> JSON {
    var chunk = frame()
    chunk["choices"] = .array([
      .members([
        "index": .integer(index), "delta": .object(delta), "logprobs": scores.isEmpty ? .null : logprobs(scores),
        "finish_reason": reason.map { .string($0) } ?? .null,
      ])
    ])
    if delivery.includesUsage { chunk["usage"] = .null }
    return .object(chunk)
  }
}
