// From a prompt to an answer's text, piece by piece: the one loop that commands, evaluations and embedding programs share. End of
// text, vocabulary, sampling and stop strings come with the model, unless options say otherwise.

import DMSCache
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText

/// How an answer is generated.
public struct AnswerOptions: Sendable {
  /// How each token is chosen.
  public var sampling: SamplingOptions
  /// The answer ends before any of these texts.
  public var stops: [String]
  /// The most tokens of the answer; `nil` leaves it to `maxLength` and the context.
  public var maxTokens: Int?
  /// The most tokens of prompt and answer together, where `maxTokens` does not say.
  public var maxLength: Int?
  /// Which of several answers to a prompt this is: each draws random numbers of its own.
  public var sequence = 0

  func limit(after prompt: Int) -> Int { maxTokens ?? maxLength.map { max(0, $0 - prompt) } ?? .max }

  /// Tokens of a prompt of so many and the longest answer; `nil` for an answer of any length.
  public func length(after prompt: Int) -> Int? {
    let (length, isTooLong) = prompt.addingReportingOverflow(limit(after: prompt))
    return isTooLong ? nil : length
  }

  /// What the makers of a model want.
  public init(_ model: LanguageModel) {
    sampling = SamplingOptions(model.generation)
    stops = model.generation.stopStrings
    maxTokens = model.generation.maxNewTokens
    maxLength = model.generation.maxLength
  }
}

/// What a model said.
public struct Answer: Sendable {
  /// As it was generated, thinking and its tags included; no end-of-text token, nothing of a stop string.
  public var text = ""
  /// The thinking alone, without its tags; empty for models that do not think.
  public var thinking = ""
  /// The answer without the thinking.
  public var content = ""
  /// Tokens of the prompt that had to be read; the others were in the cache.
  public var promptTokens = 0
  /// Time of reading the prompt.
  public var promptTime = Duration.zero
  /// Ids of the answer, why it ended, and the time of its decode steps.
  public var generation = Generation()
  /// The session's account afterwards.
  public var ledger = Ledger()
  /// Bytes of the prompt's pages where several answers share them; `ledger.bytesPrivate` is then what this one has beside.
  public var sharedBytes: Int?
}

extension LanguageModel {
  /// Answers a message, in a conversation that begins and ends with it: the whole library in a line.
  ///
  /// ```swift
  /// let machine = try Machine()
  /// print(try LanguageModel(path: "Qwen3-8B-DMS-8x", on: machine).answer("Why is the sky blue?", on: machine).content)
  /// ```
  /// A model without a chat template goes on with the text instead.
  /// - Throws: `InputError`, as its parts.
  public func answer(_ message: String, on machine: Machine) throws -> Answer {
    let prompt =
      template == nil
      ? Prompt(ids: ids(raw: message)) : try self.prompt([ChatMessage(role: "user", content: message)])
    return try answer(prompt, in: Session(Engine(decoder, on: machine)))
  }

  /// Answers a prompt in a session, which keeps of its past what the prompt begins with.
  ///
  /// - Parameters:
  ///   - session: on an engine of this model.
  ///   - onText: receives the answer's text, as it can be shown.
  ///   - isCancelled: asked often enough to stop within a second, while the prompt is read as well: the reason is then
  ///     `cancelled`.
  /// - Throws: `InputError`, as `Session`; what `onText` throws.
  public func answer(
    _ prompt: Prompt, in session: Session, _ options: AnswerOptions? = nil,
    onText: (String) throws -> Void = { _ in }, isCancelled: () -> Bool = { false }
  ) throws -> Answer {
    let options = options ?? AnswerOptions(self)
    var answer = Answer()
    do {
      answer.promptTime = try ContinuousClock().measure {
        answer.promptTokens = try session.resume(prompt.ids, stable: prompt.stable, isCancelled: isCancelled)
      }
    } catch is CancellationError {
      answer.generation.reason = .cancelled
      answer.ledger = session.cache.ledger
      return answer
    }
    var sampler = Sampler(
      options.sampling, vocabulary: decoder.configuration.vocabulary, sequence: options.sequence)
    var text = AnswerText(self, prompt, options)
    func show(_ piece: String) throws { if !piece.isEmpty { try onText(piece) } }
    answer.generation = try session.generate(
      &sampler, eosIDs: eosIDs, maxTokens: options.limit(after: prompt.ids.count), isCancelled: isCancelled
    ) { id in
      try show(text.append(id))
      return !text.isStopped
    }
    try show(text.finish(endedBy: answer.generation.endID))
    (answer.text, answer.thinking, answer.content) = (text.whole, text.thinking, text.content)
    answer.ledger = session.cache.ledger
    return answer
  }
}

/// An answer's text while it grows, thinking and answer apart.
struct AnswerText {
  private(set) var whole = ""
  private(set) var thinking = ""
  private(set) var content = ""
  private var stream: TextStream
  private var splitter: ThinkingSplitter

  init(_ model: LanguageModel, _ prompt: LanguageModel.Prompt, _ options: AnswerOptions) {
    stream = TextStream(model.tokenizer, stops: options.stops)
    splitter = ThinkingSplitter(insideThinking: prompt.insideThinking)
  }

  /// Whether a stop string was met.
  var isStopped: Bool { stream.isStopped }

  /// The text that can be shown after one more token.
  mutating func append(_ id: Int) -> String { take(stream.append(id)) }

  /// What was held back, at the end.
  mutating func finish(endedBy id: Int?) -> String {
    let piece = take(stream.finish(endedBy: id))
    take(splitter.finish())
    return piece
  }

  private mutating func take(_ piece: String) -> String {
    whole += piece
    take(splitter.append(piece))
    return piece
  }

  private mutating func take(_ parts: [ThinkingSplitter.Part]) {
    for part in parts {
      switch part {
      case .thinking(let text): thinking += text
      case .answer(let text): content += text
      }
    }
  }
}
