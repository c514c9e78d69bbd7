// Problems given to a model one by one, each into a fresh cache, answered greedily: what it gets right, and what memory that
// took. Several models are given the same problems, so that they can be compared pair by pair.

import DMSCache
import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText

/// Problems given to a model one by one, each into a fresh cache, answered greedily: what it gets right, and what
/// memory that took.
public struct TaskEvaluation: Sendable {
  /// Which problems are given: `problems` of each task, made from a seed.
  public struct Problems: Sendable {
    /// Tasks that the problems are of.
    public var tasks = SyntheticTask.questions
    /// Problems of each task.
    public var problems = 100
    /// Seed that the problems are made from; the same one makes the same problems.
    public var seed: UInt64 = 1000
    /// Range of the prompts' sizes, roughly in tokens.
    public var size = 100...1900

    /// A hundred of each task that asks a question.
    public init() {}

    /// The problems, task by task.
    public var all: [Problem] {
      tasks.flatMap { task in
        (0..<problems).map { index in
          var random = RandomStream(seed: RandomNumbers.seed(seed ^ 0x517E, index))
          return task.problem(seed: seed, index: index, size: Int.random(in: size, using: &random))
        }
      }
    }
  }

  /// What became of a problem.
  public struct Record: Sendable {
    /// The problem that was given.
    public let problem: Problem
    /// What the model wrote, its reasoning included.
    public let response: String
    /// Whether what stands after the reasoning is the problem's answer.
    public var isRight: Bool { SyntheticTask.answer(in: response) == problem.answer }
    /// The account of the cache at the end of prompt and response.
    public let ledger: Ledger
  }

  /// The problems that were answered, in their order; fewer than were given after a cancellation.
  public private(set) var records: [Record] = []
  /// Longer than any right answer.
  private static let longestAnswer = 400

  /// Gives a model its problems.
  ///
  /// - Parameters:
  ///   - machine: what the model runs on.
  ///   - progress: receives the share of the problems that is done.
  ///   - isCancelled: asked between steps; what was found until then is the result.
  /// - Throws: `InputError` for a model without a chat template.
  public init(
    _ problems: [Problem], by model: LanguageModel, on machine: Machine, options: Engine.Options,
    progress: ((Double) -> Void)? = nil, isCancelled: () -> Bool = { false }
  ) throws {
    let engine = try Engine(model.decoder, on: machine, options)
    for (index, problem) in problems.enumerated() {
      guard let record = try Self.answer(problem, model, engine, isCancelled) else { return }
      records.append(record)
      progress?(Double(index + 1) / Double(problems.count))
    }
  }

  /// Greedy, whatever the model's makers wish. `nil` if it was cancelled.
  private static func answer(
    _ problem: Problem, _ model: LanguageModel, _ engine: Engine, _ isCancelled: () -> Bool
  ) throws -> Record? {
    var prompt = try model.prompt([ChatMessage(role: "user", content: problem.prompt)])
    prompt.stable = nil
    var options = AnswerOptions(model)
    options.sampling = SamplingOptions()
    options.maxTokens = longestAnswer
    let answer = try model.answer(prompt, in: Session(engine), options, isCancelled: isCancelled)
    guard answer.generation.reason != .cancelled else { return nil }
    return Record(problem: problem, response: answer.text, ledger: answer.ledger)
  }
}

/// A share of n, with its 95 % interval.
public struct Proportion: Sendable, Equatable {
  /// Share of hits.
  public let value: Double
  /// Lower end of the interval.
  public let low: Double
  /// Upper end of the interval.
  public let high: Double

  /// The share of hits with Wilson's interval (1927).
  public init(_ hits: Int, of count: Int) {
    let (n, z) = (Double(max(1, count)), 1.96)
    value = Double(hits) / n
    let middle = (value + z * z / (2 * n)) / (1 + z * z / n)
    let half = z * (value * (1 - value) / n + z * z / (4 * n * n)).squareRoot() / (1 + z * z / n)
    (low, high) = (max(0, middle - half), min(1, middle + half))
  }
}

/// How much more often one model is right than another, on the same problems, with the 95 % interval.
public struct PairedDifference: Sendable, Equatable {
  /// Difference of the shares that are right.
  public let value: Double
  /// Lower end of the interval.
  public let low: Double
  /// Upper end of the interval.
  public let high: Double

  /// The difference between two models' records of the same problems. Of pairs that disagree, b one way and c the
  /// other: (b − c) / n, with the deviation of the mean of the pairs' differences.
  public init(_ records: [TaskEvaluation.Record], against others: [TaskEvaluation.Record]) {
    let differences = zip(records, others).map { ($0.isRight ? 1.0 : 0) - ($1.isRight ? 1 : 0) }
    let n = Double(max(1, differences.count))
    let mean = differences.reduce(0, +) / n
    let variance = differences.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / max(1, n - 1)
    let half = 1.96 * (variance / n).squareRoot()
    (value, low, high) = (mean, mean - half, mean + half)
  }
}
