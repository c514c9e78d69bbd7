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
    /// Prompts of one number that come one after another are the same tokens: those are read once, and all answers go on from
    /// them, sharing their pages. `nil`: a prompt that is read for itself.
    public var chainGroup: Int?

    /// A prompt with its options.
    public init(_ prompt: Prompt, _ options: AnswerOptions, chainGroup: Int? = nil) {
      self.prompt = prompt
      self.options = options
      self.chainGroup = chainGroup
    }
  }

  /// How far a batch is.
  public struct BatchStep: Sendable {
    /// Sequences that go on.
    public var sequences = 0
    /// Tokens that they have generated.
    public var tokens = 0
    /// Keys that they have read, the mean over layers and KV heads of each, summed.
    public var reads = 0.0
    /// Live tokens of all that took part in the step, the mean over layers and KV heads of each, summed.
    public var liveTokens = 0.0
    /// Bytes of pages that were held after the step, each page counted once.
    public var bytes = 0
  }

  /// Answers prompts, each in a cache of its own, up to `engine.batch` of them in a step. Where the engine's `cacheLimit` has no
  /// room for a step, the newest answers end as where a context does.
  ///
  /// - Parameters:
  ///   - next: gives the next prompt; `nil`: there are no more.
  ///   - engine: of this model.
  ///   - isCancelled: asked before each step; answers that are not complete are given up.
  ///   - onStep: told how far the batch is when prompts were read, and after each step.
  ///   - onAnswer: receives each answer when it is complete, with its prompt's number, counted from 0.
  /// - Throws: `InputError` for a prompt that does not fit, lack of memory and numbers that are not finite; what `next` and
  ///   `onAnswer` throw; `CancellationError`.
  public func answerAll(
    _ next: () throws -> BatchPrompt?, on engine: Engine, isCancelled: () -> Bool = { false },
    onStep: ((BatchStep) -> Void)? = nil, onAnswer: (_ number: Int, Answer) throws -> Void
  ) throws {
    var chains: [Chain] = []
    var shared: ReadPrompt?
    var (count, isLast) = (0, false)
    while true {
      while !isLast, chains.count < engine.batch {
        if isCancelled() { throw CancellationError() }
        guard let prompt = try next() else {
          isLast = true
          shared = nil
          break
        }
        let isShared = prompt.chainGroup != nil && prompt.chainGroup == shared?.group
        // Before the next prompt takes memory, the one before it gives back what no chain needs.
        if !isShared { shared = nil }
        let read = try shared ?? ReadPrompt(prompt, on: engine, isCancelled)
        if prompt.chainGroup != nil { shared = read }
        var chain = try Chain(self, prompt, number: count, after: read)
        count += 1
        let goesOn = read.logits.withUnsafeBufferPointer { chain.take($0, self) }
        if goesOn { chains.append(chain) } else { try onAnswer(chain.number, chain.answer) }
      }
      while !chains.isEmpty, engine.shortage(tokens: 1, in: chains.map(\.cache)) > 0 {
        var chain = chains.removeLast()
        _ = chain.end(.context)
        try onAnswer(chain.number, chain.answer)
      }
      onStep?(Self.step(chains, after: chains, engine))
      guard !chains.isEmpty else {
        // Where memory has ended all chains there may be prompts left.
        if isLast { return } else { continue }
      }
      if isCancelled() { throw CancellationError() }
      let time = try ContinuousClock().measure { try engine.decode(chains.map(\.last), in: chains.map(\.cache)) }
      let share = time / chains.count
      var goOn: [Chain] = []
      for (index, var chain) in chains.enumerated() {
        chain.decodeTime += share
        if chain.take(engine.logits(index), self) {
          goOn.append(chain)
        } else {
          try onAnswer(chain.number, chain.answer)
        }
      }
      onStep?(Self.step(goOn, after: chains, engine))
      chains = goOn
    }
  }

  private static func step(_ goOn: [Chain], after all: [Chain], _ engine: Engine) -> BatchStep {
    var step = BatchStep()
    for chain in goOn {
      step.tokens += chain.tokens
      step.reads += chain.cache.tokensRead
    }
    for chain in all { step.liveTokens += chain.cache.liveTokens }
    (step.sequences, step.bytes) = (goOn.count, engine.cacheBytesHeld)
    return step
  }
}

/// A prompt that was read.
private struct ReadPrompt {
  let group: Int?
  let cache: SequenceCache
  /// After its last token.
  let logits: [Float]
  let time: Duration

  init(_ prompt: LanguageModel.BatchPrompt, on engine: Engine, _ isCancelled: () -> Bool) throws {
    let ids = prompt.prompt.ids
    guard !ids.isEmpty else { throw InputError("a prompt has no tokens", remedy: "write something") }
    let cache = try engine.makeCache(length: prompt.options.length(after: ids.count))
    time = try ContinuousClock().measure {
      guard engine.cacheLimit != nil else { return try engine.prefill(ids, into: cache, isCancelled: isCancelled) }
      while cache.tokensSeen < ids.count {
        // A call is taken to keep all of its tokens: where few are left of the limit, it is made of fewer.
        var count = min(engine.chunk, ids.count - cache.tokensSeen)
        while count > 1, engine.shortage(tokens: count, in: [cache]) > 0 { count /= 2 }
        let part = Array(ids[cache.tokensSeen..<cache.tokensSeen + count])
        try engine.prefill(part, into: cache, isCancelled: isCancelled)
      }
    }
    self.cache = cache
    group = prompt.chainGroup
    logits = Array(engine.logits())
  }
}

/// A sequence of a batch.
private struct Chain {
  let number: Int
  let cache: SequenceCache
  /// Of a chain that shares its prompt, the prompt's cache: while it lives, which pages are the chain's own does not depend on
  /// how long other chains are.
  private let shared: SequenceCache?
  private let promptTime: Duration
  /// The chain's share of the steps that it took part in.
  var decodeTime = Duration.zero
  private let prompt: LanguageModel.BatchPrompt
  private let limit: Int
  private var sampler: Sampler
  private var text: AnswerText
  private var generation = Generation()

  init(_ model: LanguageModel, _ prompt: LanguageModel.BatchPrompt, number: Int, after read: ReadPrompt) throws {
    self.number = number
    self.prompt = prompt
    limit = prompt.options.limit(after: prompt.prompt.ids.count)
    (cache, shared) = read.group == nil ? (read.cache, nil) : (try read.cache.fork(), read.cache)
    promptTime = read.time
    sampler = Sampler(
      prompt.options.sampling, vocabulary: model.decoder.configuration.vocabulary, sequence: prompt.options.sequence)
    sampler.note(prompt.prompt.ids)
    text = AnswerText(model, prompt.prompt, prompt.options)
  }

  /// Tokens that were chosen.
  var tokens: Int { generation.ids.count }
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

  /// - Returns: that nothing more is to be read.
  mutating func end(_ reason: FinishReason) -> Bool {
    generation.reason = reason
    _ = text.finish(endedBy: generation.endID)
    return false
  }

  /// What was said.
  var answer: Answer {
    var answer = Answer()
    (answer.text, answer.thinking, answer.content) = (text.whole, text.thinking, text.content)
    answer.promptTokens = prompt.prompt.ids.count
    answer.promptTime = promptTime
    answer.generation = generation
    answer.generation.time = decodeTime
    answer.ledger = cache.ledger
    answer.sharedBytes = shared?.ledger.bytesHeld
    return answer
  }
}
