// Many prompts, answered together: as many sequences decode in a step as the engine takes, and where one ends, the next prompt
// takes its place. An answer is the one that its prompt gets alone, whatever its neighbours. Where prompts come from and where
// answers go is not known here.

import DMSCache
import DMSModel
import DMSPlatform

extension LanguageModel {
  /// A prompt of a batch.
  public struct BatchPrompt: Sendable {
    /// What is answered.
    public var prompt: Prompt
    /// How; its `sequence` says which random numbers are drawn.
    public var options: AnswerOptions

    /// A prompt with its options.
    public init(_ prompt: Prompt, _ options: AnswerOptions) {
      self.prompt = prompt
      self.options = options
    }
  }

  /// Answers prompts, each in a cache of its own, up to `engine.batch` of them in a step.
  ///
  /// - Parameters:
  ///   - next: gives the next prompt; `nil`: there are no more.
  ///   - engine: of this model.
  ///   - isCancelled: asked before each step; answers that are not complete are given up.
  ///   - onAnswer: receives each answer when it is complete, with its prompt's number, counted from 0.
  /// - Throws: `InputError` for a prompt that does not fit, lack of memory and numbers that are not finite; what `next` and
  ///   `onAnswer` throw; `CancellationError`.
  public func answerAll(
    _ next: () throws -> BatchPrompt?, on engine: Engine, isCancelled: () -> Bool = { false },
    onAnswer: (_ number: Int, Answer) throws -> Void
  ) throws {
    var chains: [Chain] = []
    var (count, isLast) = (0, false)
    while true {
      while !isLast, chains.count < engine.batch {
        if isCancelled() { throw CancellationError() }
        guard let prompt = try next() else {
          isLast = true
          break
        }
        var chain = try Chain(self, prompt, number: count, on: engine, isCancelled)
        count += 1
        if chain.take(engine.logits(), self) { chains.append(chain) } else { try onAnswer(chain.number, chain.answer) }
      }
      guard !chains.isEmpty else { return }
      if isCancelled() { throw CancellationError() }
      try engine.decode(chains.map(\.last), in: chains.map(\.cache))
      var goOn: [Chain] = []
      for (index, var chain) in chains.enumerated() {
        if chain.take(engine.logits(index), self) {
          goOn.append(chain)
        } else {
          try onAnswer(chain.number, chain.answer)
        }
      }
      chains = goOn
    }
  }
}

/// A sequence of a batch.
private struct Chain {
  let number: Int
  let cache: SequenceCache
  private let prompt: LanguageModel.BatchPrompt
  private let limit: Int
  private var sampler: Sampler
  private var text: AnswerText
  private var generation = Generation()

  /// Reads the prompt; its logits are the engine's.
  init(
    _ model: LanguageModel, _ prompt: LanguageModel.BatchPrompt, number: Int, on engine: Engine,
    _ isCancelled: () -> Bool
  ) throws {
    guard !prompt.prompt.ids.isEmpty else { throw InputError("a prompt has no tokens", remedy: "write something") }
    self.number = number
    self.prompt = prompt
    limit = prompt.options.limit(after: prompt.prompt.ids.count)
    cache = try engine.makeCache()
    sampler = Sampler(
      prompt.options.sampling, vocabulary: model.decoder.configuration.vocabulary, sequence: prompt.options.sequence)
    sampler.note(prompt.prompt.ids)
    text = AnswerText(model, prompt.prompt, prompt.options)
    try engine.prefill(prompt.prompt.ids, into: cache, isCancelled: isCancelled)
  }

  /// The token that was chosen last.
  var last: Int { generation.ids.last ?? 0 }

  /// Chooses a token, or ends the answer, by the rules of `Session.generate`.
  ///
  /// - Returns: whether the token is to be read.
  mutating func take(_ logits: UnsafeBufferPointer<Float>, _ model: LanguageModel) -> Bool {
    guard generation.ids.count < limit else { return end(.length) }
    let id = sampler.next(logits, position: prompt.prompt.ids.count + generation.ids.count)
    if model.eosIDs.contains(id) {
      generation.endID = id
      return end(.stop)
    }
    generation.ids.append(id)
    sampler.chose(id)
    _ = text.append(id)
    if text.isStopped { return end(.stop) }
    if generation.ids.count >= limit { return end(.length) }
    return cache.tokensSeen < cache.capacity ? true : end(.context)
  }

  private mutating func end(_ reason: FinishReason) -> Bool {
    generation.reason = reason
    _ = text.finish(endedBy: generation.endID)
    return false
  }

  /// What was said.
  var answer: Answer {
    var answer = Answer()
    (answer.text, answer.thinking, answer.content) = (text.whole, text.thinking, text.content)
    answer.promptTokens = prompt.prompt.ids.count
    answer.generation = generation
    answer.ledger = cache.ledger
    return answer
  }
}
