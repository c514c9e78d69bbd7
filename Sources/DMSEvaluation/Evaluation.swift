// Problems of several tasks given to a model: generated answers as one batch, choices one after another, for reading a prompt
// keeps a machine busy by itself. An answer depends on its problem, sample and seed alone, so shards and interruptions change
// nothing. Where records go is not known here.

import DMSCache
import DMSGeneration
import DMSModel
import DMSPlatform
import DMSText

/// Problems of several tasks, to be given to models.
public struct Evaluation: Sendable {
  /// How answers are generated.
  public struct Options: Sendable {
    /// How tokens are chosen, whatever a model's makers wish; greedy. The seed comes from `seed`.
    public var sampling = SamplingOptions()
    /// Seed of all random numbers.
    public var seed: UInt64 = 1000
    /// Answers to each problem.
    public var samples = 1
    /// The most tokens of an answer, where the task gives more.
    public var maxTokens: Int?
    /// The part of all answers that is wanted.
    public var shard = Shard()

    /// One greedy answer to each problem.
    public init() {}
  }

  /// A part of all answers: every `count`th, from the `number`th on, counted from 1.
  public struct Shard: Sendable, Equatable, CustomStringConvertible {
    let (number, count): (Int, Int)

    /// The whole.
    public init() { (number, count) = (1, 1) }

    /// Reads `2/4`; `nil` for what is no part.
    public init?(_ text: String) {
      let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
      guard parts.count == 2, let number = parts[0], let count = parts[1], number >= 1, number <= count,
        count <= 1_000_000
      else { return nil }
      (self.number, self.count) = (number, count)
    }

    /// As it is read.
    public var description: String { "\(number)/\(count)" }
  }

  /// A task with its problems.
  public struct Part: Sendable {
    /// The task.
    public let task: any EvaluationTask
    /// Its problems, in their order.
    public let problems: [TaskProblem]

    /// Whether there are problems whose choices are weighed.
    public var hasChoices: Bool {
      problems.contains { if case .choices = $0.question { true } else { false } }
    }
  }

  /// The tasks with their problems.
  public let parts: [Part]
  /// How answers are generated.
  public let options: Options

  /// Makes or reads the problems.
  /// - Throws: `InputError` for data that cannot be used.
  public init(_ tasks: [any EvaluationTask], _ choice: TaskChoice, _ options: Options) throws {
    parts = try tasks.map { Part(task: $0, problems: try $0.problems(choice)) }
    self.options = options
  }

  private init(_ parts: [Part], _ options: Options) { (self.parts, self.options) = (parts, options) }

  /// The same problems, to be answered in another way.
  public func asked(with options: Options) -> Evaluation { Evaluation(parts, options) }

  /// One answer of this shard.
  private struct Job {
    let task: any EvaluationTask
    let problem: TaskProblem
    let (place, sample): (Int, Int)
    /// Of the problem, among those of all tasks.
    let number: Int

    func key(_ model: String) -> EvaluationRecord.Key {
      .init(model: model, task: task.name, place: place, sample: sample)
    }
    /// Choices are weighed once: there is nothing to draw.
    var isChoice: Bool { if case .choices = problem.question { true } else { false } }
  }

  /// Answers of all shards.
  private var allJobs: [Job] {
    var (jobs, number) = ([Job](), 0)
    for part in parts {
      for (place, problem) in part.problems.enumerated() {
        for sample in 0..<options.samples {
          let job = Job(task: part.task, problem: problem, place: place, sample: sample, number: number)
          if sample > 0, job.isChoice { break }
          jobs.append(job)
        }
        number += 1
      }
    }
    return jobs
  }

  private var jobs: [Job] {
    allJobs.enumerated().filter { $0.offset % options.shard.count == options.shard.number - 1 }.map(\.element)
  }

  /// Answers of all shards to all problems.
  public var count: Int { allJobs.count }

  /// The most tokens that any answer may have.
  public var longestAnswer: Int { parts.flatMap(\.problems).map(maxTokens).max() ?? 0 }

  /// The records that this shard has of a model, in their order.
  public func keys(_ model: String) -> [EvaluationRecord.Key] { jobs.map { $0.key(model) } }

  /// The tokens that a context needs for every prompt and answer of all shards.
  ///
  /// - Parameter context: the most that there is.
  /// - Throws: `InputError` for a prompt that does not fit, and for messages that a template refuses.
  public func tokensNeeded(by model: LanguageModel, context: Int) throws -> Int {
    try allJobs.reduce(1) { most, job in
      guard job.sample == 0 else { return most }
      let tokens: Int
      switch job.problem.question {
      case .choices(let choices, _):
        tokens =
          try choices.map { try ContinuedText(job.problem.prompt.text, $0, model.tokenizer).ids.count }.max() ?? 0
      case .answer: tokens = try job.problem.prompt.ready(for: model).ids.count
      }
      guard tokens <= context else {
        throw InputError(
          "the prompt of \(job.task.name) \(job.problem.id) has \(tokens) tokens, and the context \(context)",
          remedy: "raise --context, or give shorter problems")
      }
      return max(most, min(context, tokens + maxTokens(job.problem)))
    }
  }

  private func maxTokens(_ problem: TaskProblem) -> Int {
    if case .answer(_, let most) = problem.question { min(options.maxTokens ?? most, most) } else { 0 }
  }

  /// Gives a model its problems.
  ///
  /// - Parameters:
  ///   - name: what the model is called in the records.
  ///   - engine: of this model; answers are generated `engine.batch` at once.
  ///   - done: records that there are already.
  ///   - onRecord: receives each record when its answer is complete and judged, in whatever order.
  /// - Throws: `InputError`; what `onRecord` throws; `CancellationError`, and answers that are not complete are given up.
  public func run(
    _ model: LanguageModel, named name: String, on engine: Engine, done: Set<EvaluationRecord.Key> = [],
    isCancelled: () -> Bool = { false }, onRecord: (EvaluationRecord) throws -> Void
  ) throws {
    let jobs = jobs.filter { !done.contains($0.key(name)) }
    for job in jobs where job.isChoice {
      if isCancelled() { throw CancellationError() }
      try onRecord(choose(job, model, name, engine, isCancelled))
    }
    let asked = jobs.filter { !$0.isChoice }
    // By number, when the prompt was taken and whether it has begun the reasoning.
    var (next, begun) = (0, [(time: ContinuousClock.Instant, isInsideThinking: Bool)]())
    try model.answerAll(
      {
        guard next < asked.count else { return nil }
        defer { next += 1 }
        let prompt = try asked[next].problem.prompt.ready(for: model)
        begun.append((.now, prompt.insideThinking))
        // Also where one chain alone is left to do: what it shares and holds is the same then.
        return LanguageModel.BatchPrompt(
          prompt, answerOptions(asked[next], model), chainGroup: options.samples > 1 ? asked[next].number : nil)
      }, on: engine, isCancelled: isCancelled
    ) { number, answer in
      var record = newRecord(asked[number], name)
      record.seed = answerOptions(asked[number], model).sampling.seed
      record.promptTokens = answer.promptTokens
      record.tokens = answer.generation.ids.count
      record.output = answer.text
      record.isInsideThinking = begun[number].isInsideThinking
      (record.reason, record.ledger) = (answer.generation.reason, answer.ledger)
      record.seconds = (ContinuousClock.now - begun[number].time) / .seconds(1)
      record.promptSeconds = answer.promptTime / .seconds(1)
      record.decodeSeconds = answer.generation.time / .seconds(1)
      record.sharedBytes = answer.sharedBytes ?? 0
      record.ownBytes = answer.sharedBytes == nil ? answer.ledger.bytesHeld : answer.ledger.bytesPrivate
      try record.judge(by: asked[number].task)
      try onRecord(record)
    }
  }

  private func answerOptions(_ job: Job, _ model: LanguageModel) -> AnswerOptions {
    var answer = AnswerOptions(model)
    answer.sampling = options.sampling
    answer.sampling.seed = RandomNumbers.seed(options.seed, Int(truncatingIfNeeded: StableHash.of(job.task.name)))
    answer.sequence = job.place << 20 + job.sample
    answer.maxTokens = maxTokens(job.problem)
    if !job.problem.prompt.isMessage(to: model) { answer.stops += job.problem.prompt.stops }
    return answer
  }

  private func newRecord(_ job: Job, _ name: String) -> EvaluationRecord {
    var record = EvaluationRecord(job.key(name), problem: job.problem.id)
    record.promptHash = StableHash.digits(job.problem.prompt.hash)
    record.references = job.problem.references
    return record
  }

  private func choose(
    _ job: Job, _ model: LanguageModel, _ name: String, _ engine: Engine, _ isCancelled: () -> Bool
  ) throws -> EvaluationRecord {
    guard case .choices(let choices, _) = job.problem.question else { preconditionFailure("a problem with choices") }
    let clock = ContinuousClock.now
    let score = try ChoiceScore(
      choices, after: job.problem.prompt.text, tokenizer: model.tokenizer, on: engine, isCancelled: isCancelled)
    var record = newRecord(job, name)
    record.promptTokens = score.tokens
    (record.logLikelihoods, record.choiceBytes) = (score.logLikelihoods, score.bytes)
    (record.ledger, record.seconds) = (score.ledger, (ContinuousClock.now - clock) / .seconds(1))
    (record.decodeSeconds, record.ownBytes) = (record.seconds, score.ledger.bytesHeld)
    try record.judge(by: job.task)
    return record
  }
}

extension TaskPrompt {
  /// Whether a model is given the message, not the text.
  func isMessage(to model: LanguageModel) -> Bool { message != nil && model.template != nil }

  /// Tokens for a model to go on from.
  func ready(for model: LanguageModel) throws -> LanguageModel.Prompt {
    guard let message, model.template != nil else { return LanguageModel.Prompt(ids: model.ids(raw: text)) }
    var prompt = try model.prompt([ChatMessage(role: "user", content: message)])
    // There is no second turn to come back to.
    prompt.stable = nil
    prompt.ids += model.tokenizer.encode(opening, addSpecialTokens: false, parseSpecial: false)
    return prompt
  }

  var hash: UInt64 {
    StableHash.of([message ?? "", opening, text, stops.joined(separator: "\0")].joined(separator: "\0"))
  }
}

extension TaskReader {
  /// Counts as a model reads.
  public init(_ model: LanguageModel) {
    tokens = { model.tokenizer.encode($0, addSpecialTokens: false, parseSpecial: false).count }
    promptTokens = { try $0.ready(for: model).ids.count }
  }
}
