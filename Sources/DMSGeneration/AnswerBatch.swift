// Many prompts, answered together: as many sequences decode in a step as the engine takes, and where one ends, the next prompt
// takes its place. An answer is the one that its prompt gets alone, whatever its neighbours. Where prompts come from and where
// answers go is not known here.

import DMSCache
import DMSKernels
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

  /// What a batch may take, and who watches it.
  public struct BatchControl {
    /// Bytes of pages that all sequences of the engine may hold at any time. Chains that would take more end as where the context
    /// ends, the newest first; a prompt that would is an error. A step is taken to need a page of every layer and KV head for each
    /// sequence, which is the most that it can.
    public var mostBytes: Int?
    /// Told how far the batch is when prompts were read, and after each step.
    public var onStep: ((BatchStep) -> Void)?

    /// All memory that there is, and nobody who watches.
    public init(mostBytes: Int? = nil, onStep: ((BatchStep) -> Void)? = nil) {
      (self.mostBytes, self.onStep) = (mostBytes, onStep)
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

  /// Answers prompts, each in a cache of its own, up to `engine.batch` of them in a step.
  ///
  /// - Parameters:
  ///   - next: gives the next prompt; `nil`: there are no more.
  ///   - engine: of this model.
  ///   - control: limits, and who watches.
  ///   - isCancelled: asked before each step; answers that are not complete are given up.
  ///   - onAnswer: receives each answer when it is complete, with its prompt's number, counted from 0.
  /// - Throws: `InputError` for a prompt that does not fit, lack of memory and numbers that are not finite; what `next` and
  ///   `onAnswer` throw; `CancellationError`.
  public func answerAll(
    _ next: () throws -> BatchPrompt?, on engine: Engine, _ control: BatchControl = BatchControl(),
    isCancelled: () -> Bool = { false }, onAnswer: (_ number: Int, Answer) throws -> Void
  ) throws {
    let room = CacheRoom(engine, control.mostBytes)
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
        let read = try shared ?? ReadPrompt(prompt, on: engine, room, isCancelled)
        if prompt.chainGroup != nil { shared = read }
        var chain = try Chain(self, prompt, number: count, after: read)
        count += 1
        let goesOn = read.logits.withUnsafeBufferPointer { chain.take($0, self) }
        if goesOn { chains.append(chain) } else { try onAnswer(chain.number, chain.answer) }
      }
      while !chains.isEmpty, !room.allowsStep(of: chains.count) {
        var chain = chains.removeLast()
        _ = chain.end(.context)
        try onAnswer(chain.number, chain.answer)
      }
      control.onStep?(Self.step(chains, after: chains, engine))
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
      control.onStep?(Self.step(goOn, after: chains, engine))
      chains = goOn
    }
  }

  private static func step(_ goOn: [Chain], after all: [Chain], _ engine: Engine) -> BatchStep {
    var step = BatchStep()
    for chain in goOn {
      step.tokens += chain.tokens
      step.reads += chain.cache.ledger.tokensRead
    }
    for chain in all { step.liveTokens += chain.cache.ledger.liveTokens }
    (step.sequences, step.bytes) = (goOn.count, engine.cacheBytesHeld)
    return step
  }
}

/// Whether what comes next has room in the memory that there may be.
private struct CacheRoom {
  private let engine: Engine
  private let most: Int?
  var isLimited: Bool { most != nil }
  /// A page of every layer and KV head.
  private let pages: Int

  init(_ engine: Engine, _ most: Int?) {
    (self.engine, self.most) = (engine, most)
    let shape = engine.decoder.configuration
    pages = shape.layers * shape.kvHeads * KVLayout(headDim: shape.headDim, type: engine.kvType).pageBytes
  }

  /// A token of each sequence takes one page of every head at most.
  func allowsStep(of sequences: Int) -> Bool { most.map { engine.cacheBytesHeld + sequences * pages <= $0 } ?? true }

  /// The tokens of a call that fit, whatever is forgotten of them; as many as wanted, or few.
  /// - Throws: `InputError` where not even few do.
  func tokens(_ wanted: Int) throws -> Int {
    guard let most else { return wanted }
    let size = KVLayout.slotsPerPage
    let free = (most - engine.cacheBytesHeld) / pages
    // Slots that pages begin with may be free: a page more than tokens need is the most.
    guard free >= 2 else {
      throw InputError(
        "the prompt holds \(byteCount(engine.cacheBytesHeld)), and a part more would be beyond the \(byteCount(most)) that it may",
        remedy: "raise the memory budget, or shorten the prompt")
    }
    return min(wanted, (free - 1) * size)
  }
}

/// A prompt that was read.
private struct ReadPrompt {
  let group: Int?
  let cache: SequenceCache
  /// After its last token.
  let logits: [Float]
  let time: Duration

  /// The tokens of a call of the engine, where memory is not short.
  private static let chunk = 512

  init(
    _ prompt: LanguageModel.BatchPrompt, on engine: Engine, _ room: CacheRoom, _ isCancelled: () -> Bool
  ) throws {
    let ids = prompt.prompt.ids
    guard !ids.isEmpty else { throw InputError("a prompt has no tokens", remedy: "write something") }
    let cache = try engine.makeCache(length: prompt.options.length(after: ids.count))
    time = try ContinuousClock().measure {
      guard room.isLimited else { return try engine.prefill(ids, into: cache, isCancelled: isCancelled) }
      while cache.tokensSeen < ids.count {
        let count = try room.tokens(min(Self.chunk, ids.count - cache.tokensSeen))
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
