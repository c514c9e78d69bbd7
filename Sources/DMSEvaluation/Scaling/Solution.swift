// One problem, many chains, one answer: chains go on from a prompt that is read once, and what most of them say is the answer.

import DMSGeneration
import DMSModel
import DMSPlatform

/// A problem in its own words, whose answer nobody has.
public struct OpenProblem: EvaluationTask {
  /// As reports name it.
  public let name = "problem"
  private let text: String
  private let asksForBox: Bool

  /// - Parameter asksForBox: whether the answer is asked for in `\boxed{}`, as models that reason about mathematics are asked.
  public init(_ text: String, asksForBox: Bool = false) { (self.text, self.asksForBox) = (text, asksForBox) }

  /// The one problem. Nothing is right: there is nothing to compare with.
  public func problems(_ choice: TaskChoice) -> [TaskProblem] {
    [
      TaskProblem(
        id: "0", prompt: TaskPrompt(message: text + (asksForBox ? MathTask.request : "")),
        question: .answer(references: [], maxTokens: MathTask.mostTokens))
    ]
  }

  /// What the last box after the reasoning holds; without a box, all that stands there. `nil` where that is nothing.
  public func answer(in output: String) -> String? {
    guard let text = AnswerText.afterReasoning(output) else { return nil }
    let answer = AnswerText.boxed(text) ?? AnswerText.trimmed(text)
    return answer.isEmpty ? nil : answer
  }

  /// A vote of answers that mean the same.
  public var combination: ChainCombination { .sameMathematics }
}

/// What chains made of a problem.
public struct Solution: Sendable {
  /// A chain that came to its end.
  public struct Chain: Sendable {
    /// Counted from 0; the random numbers are of this number.
    public let number: Int
    /// What it answers; `nil` for no answer.
    public let answer: String?
    /// All that the model wrote.
    public let output: String
    /// Why it ended; `context`: the memory budget.
    public let reason: FinishReason
    /// Tokens that were generated.
    public let tokens: Int
    /// Keys that were read, the mean over layers and KV heads.
    public let reads: Double
  }

  /// In the order of their numbers.
  public private(set) var chains: [Chain] = []
  /// Chains that were begun and not finished, when there was no more time or nothing more to read.
  public private(set) var unfinished = 0
  /// Keys that all chains have read, unfinished ones too.
  public private(set) var reads = 0.0
  /// The most bytes of pages that all held at a time.
  public private(set) var peakBytes = 0
  /// The largest sum of live tokens of all at a time, the mean over layers and KV heads.
  public private(set) var peakTokens = 0.0
  /// From the beginning to the end.
  public private(set) var seconds = 0.0
  /// The answers, counted.
  public private(set) var vote = Vote([], same: ==)

  /// How far the chains are.
  public struct Progress: Sendable {
    /// Chains that are under way, and that have ended.
    public let (running, ended): (Int, Int)
    /// Tokens that all have generated.
    public let tokens: Int
    /// Bytes of pages that are held.
    public let bytes: Int
  }

  /// Runs a plan's chains.
  ///
  /// - Parameters:
  ///   - options: how tokens are chosen; length and numbers of chains are the plan's.
  ///   - engine: of this model, with a batch of all chains and the plan's bytes as its `cacheLimit`.
  ///   - isCancelled: asked before each step; chains that have ended vote all the same.
  /// - Throws: `InputError` for a problem that does not fit the memory, and for numbers that are not finite.
  public init(
    _ problem: OpenProblem, _ plan: ChainPlan, _ options: AnswerOptions, _ model: LanguageModel, on engine: Engine,
    isCancelled: () -> Bool = { false }, onStep: @escaping (Progress) -> Void = { _ in }
  ) throws {
    let start = ContinuousClock.now
    let prompt = try problem.problems(TaskChoice())[0].prompt.ready(for: model)
    var (begun, ended, endedTokens, endedReads) = (0, [Chain](), 0, 0.0)
    var (reads, peakBytes, peakTokens) = (0.0, 0, 0.0)
    var isSpent = false
    do {
      try model.answerAll(
        {
          guard begun < plan.chains else { return nil }
          defer { begun += 1 }
          var own = options
          (own.sequence, own.maxTokens) = (begun, plan.tokens)
          return LanguageModel.BatchPrompt(prompt, own, chainGroup: 0)
        }, on: engine, isCancelled: { isSpent || isCancelled() },
        onStep: { step in
          (reads, peakBytes) = (endedReads + step.reads, max(peakBytes, step.bytes))
          peakTokens = max(peakTokens, step.liveTokens)
          // What the next step reads is what is live now, and the new tokens.
          isSpent = reads + step.liveTokens + Double(step.sequences) > plan.budget.reads ?? .infinity
          onStep(
            Progress(
              running: step.sequences, ended: ended.count, tokens: endedTokens + step.tokens, bytes: step.bytes))
        }
      ) { number, answer in
        let chain = Chain(
          number: number, answer: problem.answer(in: (prompt.insideThinking ? "<think>" : "") + answer.text),
          output: answer.text, reason: answer.generation.reason, tokens: answer.generation.ids.count,
          reads: answer.ledger.tokensRead)
        ended.append(chain)
        (endedTokens, endedReads) = (endedTokens + chain.tokens, endedReads + chain.reads)
      }
    } catch is CancellationError {}
    chains = ended.sorted { $0.number < $1.number }
    unfinished = begun - chains.count
    (self.reads, self.peakBytes, self.peakTokens) = (max(reads, endedReads), peakBytes, peakTokens)
    if case .vote(let same) = problem.combination.rule { vote = Vote(chains.map(\.answer), same: same) }
    seconds = (ContinuousClock.now - start) / .seconds(1)
  }
}

extension OpenProblem {
  /// Tokens of the prompt that a model is given.
  public func tokens(for model: LanguageModel) throws -> Int {
    try problems(TaskChoice())[0].prompt.ready(for: model).ids.count
  }
}
