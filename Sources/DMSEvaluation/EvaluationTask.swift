// What a task is to whoever runs it: problems, and a judgement of outputs. Where problems come from is the tasks' own matter.

/// A set of problems with their judgement. A program may bring its own.
public protocol EvaluationTask: Sendable {
  /// As reports name it.
  var name: String { get }
  /// The problems, always the same ones for the same choice.
  /// - Throws: `InputError` for data that cannot be read or is of another form.
  func problems(_ choice: TaskChoice) throws -> [TaskProblem]
  /// How much of a generated answer is right, 0 to 1. Not asked for problems with choices.
  func share(right output: String, of problem: TaskProblem) -> Double
}

/// Which problems of a task are wanted.
public struct TaskChoice: Sendable {
  /// Problems at most.
  public var limit = 100
  /// Seed that made-up problems are made from.
  public var seed: UInt64 = 1000
  /// Range of made-up prompts' sizes, roughly in tokens.
  public var size = 100...1900

  /// A hundred problems.
  public init() {}
}

/// A problem as a model is given it.
public struct TaskProblem: Sendable, Equatable {
  /// What is asked of the model.
  public enum Question: Sendable, Equatable {
    /// Which of the continuations is likeliest; `right` is the place of the right one.
    case choices([String], right: Int)
    /// A generated answer of `maxTokens` at most; `references` are what it is compared with.
    case answer(references: [String], maxTokens: Int)
  }

  /// What stands before the continuation or the answer.
  public let prompt: String
  /// What is asked.
  public let question: Question

  /// A problem of its parts.
  public init(prompt: String, question: Question) {
    self.prompt = prompt
    self.question = question
  }

  /// What a generated answer is compared with; none for choices.
  public var references: [String] {
    if case .answer(let references, _) = question { references } else { [] }
  }
}
