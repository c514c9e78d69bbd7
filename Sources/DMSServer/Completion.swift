// `POST /v1/completions`, what goes out. With `echo` and `logprobs` it says what the model thought of a text, which is what
// evaluations by log-likelihood ask for.

import DMSGeneration
import DMSText

/// Completions in the making.
struct Completion: WireAnswer {
  private let served: ServedModel
  private let delivery: Delivery
  private let id = "cmpl-" + hexadecimal(.random(in: 0...(.max)))
  private let created = secondsSince1970()
  private var choices: [Choice] = []
  private var usage: Usage

  /// What one choice has come to since something was last said of it.
  private struct Choice {
    var text = ""
    /// `nil` where nobody asked for it.
    var logprobs: LogprobLists?
    var reason: FinishReason?
  }

  init(_ request: CompletionRequest, _ served: ServedModel) {
    self.served = served
    delivery = request.delivery
    let writer = LogprobWriter(tokenizer: served.model.tokenizer)
    var promptTokens = 0
    for (index, one) in request.requests.enumerated() {
      let echo = request.echoes?[index / request.count]
      if index % request.count == 0 { promptTokens += one.prompt.ids.count }
      var choice = Choice(text: echo?.text ?? "")
      if one.scores != nil {
        choice.logprobs = LogprobLists(writer)
        if let first = echo?.ids.first { choice.logprobs?.append(first: first) }
      }
      choices.append(choice)
    }
    usage = Usage(promptTokens: promptTokens)
  }

  /// Waits for all choices.
  mutating func whole(_ answers: [ScheduledAnswer]) async throws -> JSON {
    try await forEachEvent(of: answers, beat: nil) { happening in
      if case .event(let index, let event) = happening { take(event, choice: index) }
    }
    var object = frame()
    object["choices"] = .array(choices.indices.map(choice))
    object["usage"] = usage.json
    return .object(object)
  }

  /// Sends events until all choices have ended.
  mutating func stream(_ answers: [ScheduledAnswer], to events: EventWriter) async throws {
    try await forEachEvent(of: answers, beat: EventWriter.beat) { happening in
      guard case .event(let index, let event) = happening else { return try await events.beat() }
      take(event, choice: index)
      switch event {
      case .reading(let count): return try await events.comment("read \(count) tokens")
      case .prompt: return
      case .token, .end: break
      }
      let isSilent = choices[index].text.isEmpty && choices[index].logprobs?.isEmpty ?? true
      guard !isSilent || choices[index].reason != nil else { return }
      var object = frame()
      object["choices"] = .array([choice(index)])
      if delivery.includesUsage { object["usage"] = .null }
      try await events.send(.object(object))
      choices[index].text = ""
      choices[index].logprobs?.removeAll()
    }
    if delivery.includesUsage {
      var object = frame()
      object["choices"] = .array([])
      object["usage"] = usage.json
      try await events.send(.object(object))
    }
    try await events.done()
  }

  private mutating func take(_ event: ScheduledAnswer.Event, choice index: Int) {
    switch event {
    case .reading: break
    case .prompt(let scores): for score in scores { choices[index].logprobs?.append(score) }
    case .token(let token):
      choices[index].text += token.text
      if let score = token.score { choices[index].logprobs?.append(score) }
    case .end(let end):
      choices[index].text += end.text
      // It was chosen, so it has a probability, though no text.
      if let score = end.endScore { choices[index].logprobs?.append(score) }
      choices[index].reason = end.reason
      usage.add(end)
    }
  }

  private func frame() -> JSONObject {
    [
      "id": .string(id), "object": "text_completion", "created": .integer(created), "model": .string(served.name),
      "system_fingerprint": .string(served.fingerprint),
    ]
  }

  private func choice(_ index: Int) -> JSON {
    .object([
      "index": .integer(index), "text": .string(choices[index].text),
      "logprobs": choices[index].logprobs?.json ?? .null,
      "finish_reason": choices[index].reason.map { .string($0.openAI) } ?? .null,
    ])
  }
}

/// The older form of log-probabilities: lists, an element a token. Only the first token of a text has none.
struct LogprobLists {
  private let writer: LogprobWriter
  private var decoder: TokenDecoder
  /// Characters before the next token.
  private var offset = 0
  private var (tokens, own, top, offsets): ([JSON], [JSON], [JSON], [JSON]) = ([], [], [], [])

  init(_ writer: LogprobWriter) {
    self.writer = writer
    decoder = TokenDecoder(writer.tokenizer, skippingSpecial: true)
  }

  var isEmpty: Bool { tokens.isEmpty }

  /// The token of which nothing can be said.
  mutating func append(first id: Int) { append(id, .null, .null) }

  mutating func append(_ score: TokenScore) {
    var top = JSONObject()
    // The token's own number stands among the others in any case, and no other takes its name.
    let name = writer.text(score.token.id)
    top[name] = writer.number(score.token.logProbability)
    for entry in score.top where entry.id != score.token.id {
      let text = writer.text(entry.id)
      top[top[text] == nil ? text : "token_id:\(entry.id)"] = writer.number(entry.logProbability)
    }
    append(score.token.id, writer.number(score.token.logProbability), .object(top))
  }

  private mutating func append(_ id: Int, _ own: JSON, _ top: JSON) {
    tokens.append(.string(writer.text(id)))
    self.own.append(own)
    self.top.append(top)
    offsets.append(.integer(offset))
    offset += decoder.append(id).unicodeScalars.count
  }

  /// Forgets what was said; the next token goes on where the last one ended.
  mutating func removeAll() { (tokens, own, top, offsets) = ([], [], [], []) }

  var json: JSON {
    .object([
      "tokens": .array(tokens), "token_logprobs": .array(own), "top_logprobs": .array(top),
      "text_offset": .array(offsets),
    ])
  }
}
