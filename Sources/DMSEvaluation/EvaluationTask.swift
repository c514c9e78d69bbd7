// What a task is to whoever runs it: problems, what an output answers, and a judgement. Where problems come from is the tasks'
// own matter; models, files of records and terminals are not known here.

/// A set of problems with their judgement. A program may bring its own.
public protocol EvaluationTask: Sendable {
  /// As reports name it.
  var name: String { get }
  /// The problems, always the same ones for the same choice.
  /// - Throws: `InputError` for data that cannot be read or is of another form.
  func problems(_ choice: TaskChoice) throws -> [TaskProblem]
  /// What an output answers, reasoning and all taken off; `nil` for no answer. Not asked for problems with choices.
  func answer(in output: String) -> String?
  /// How much of an answer is right, 0 to 1.
  /// - Parameter references: the problem's.
  /// - Throws: `InputError` where judging needs something that the machine lacks.
  func share(right answer: String, references: [String]) throws -> Double
  /// How the answers of several chains to a problem become one.
  var combination: ChainCombination { get }
}

extension EvaluationTask {
  /// A vote of answers that are equal letter by letter.
  public var combination: ChainCombination { .sameText }
  /// What stands after the reasoning.
  public func answer(in output: String) -> String? { AnswerText.afterReasoning(output).map(AnswerText.trimmed) }
  /// Whether the answer is one of the references, letter by letter.
  public func share(right answer: String, references: [String]) throws -> Double {
    references.contains(answer) ? 1 : 0
  }
}

/// Which problems of a task are wanted.
public struct TaskChoice: Sendable {
  /// The most problems of a task; `nil`: all that its file has.
  public var limit: Int?
  /// How many problems are made up, of tasks that make them up.
  public var problems = 100
  /// Seed that problems are made up from, and that the order of options is drawn from.
  public var seed: UInt64 = 1000
  /// Range of made-up prompts' sizes in tokens: a prompt and its answer have that many at most, or roughly so many, as the
  /// task says.
  public var size = 100...1900
  /// Who will read the prompts.
  public var reader = TaskReader()

  /// A hundred made-up problems, or a whole file.
  public init() {}

  /// How many problems are to be made up.
  var madeUp: Int { min(problems, limit ?? .max) }

  /// The part of a file's problems that is wanted.
  func part<Element>(of all: [Element]) -> ArraySlice<Element> { all.prefix(limit ?? .max) }
}

/// How the tokens of texts are counted that have a size.
public struct TaskReader: Sendable {
  /// Tokens of a text.
  public var tokens: @Sendable (String) -> Int = { $0.utf8.count / 4 + 1 }
  /// Tokens of a prompt, with what a chat template puts around it.
  public var promptTokens: @Sendable (TaskPrompt) throws -> Int = { $0.text.utf8.count / 4 + 1 }

  /// Counts four bytes as a token.
  public init() {}
}

/// What a model is given to answer, in a form for each kind of model.
public struct TaskPrompt: Sendable, Equatable {
  /// What a user says to a model that converses; `nil`: all models go on with `text`.
  public let message: String?
  /// What the answer begins with, written for the model that converses.
  public let opening: String
  /// What a model without a chat template goes on with.
  public let text: String
  /// Where a text that goes on ends.
  public let stops: [String]

  /// A text that every model goes on with.
  public init(text: String) {
    (message, opening, stops) = (nil, "", [])
    self.text = text
  }

  /// A message to a model that converses, and a text for one that does not: without one, the message and the opening.
  public init(message: String, opening: String = "", text: String? = nil, stops: [String] = []) {
    self.message = message
    self.opening = opening
    self.text = text ?? message + opening
    self.stops = stops
  }
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

  /// Tells it from others of its task.
  public let id: String
  /// What stands before the continuation or the answer.
  public let prompt: TaskPrompt
  /// What is asked.
  public let question: Question

  /// A problem of its parts.
  public init(id: String, prompt: TaskPrompt, question: Question) {
    self.id = id
    self.prompt = prompt
    self.question = question
  }

  /// What an answer is compared with; of choices, the letter of the right one.
  public var references: [String] {
    switch question {
    case .choices(_, let right): [AnswerText.letter(right)]
    case .answer(let references, _): references
    }
  }
}
