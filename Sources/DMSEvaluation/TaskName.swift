// The tasks by their names, as commands and the files of runs write them: the one list of what there is.

import DMSPlatform

/// A task by its name, and the files that it is read from.
public struct TaskName: Sendable, Equatable {
  /// How a task gets its problems.
  private enum Source: Sendable {
    case madeUp(SyntheticTask)
    /// Hidden in a file's text, or in noise.
    case haystack(@Sendable (String?) throws -> any EvaluationTask)
    /// In a file, with other files of examples or without.
    case file(@Sendable (String) throws -> any EvaluationTask)
    case fileWithExamples(@Sendable (String, String?) throws -> any EvaluationTask)
  }

  private static var sources: [(name: String, source: Source)] {
    [
      ("aime24", .file { MathTask(name: "aime24", path: $0) }),
      ("math500", .file { MathTask(name: "math500", path: $0) }), ("gpqa", .file { GPQA(path: $0) }),
      ("livecodebench", .file { try LiveCodeBench(path: $0) }),
      ("gsm8k", .fileWithExamples { GSM8K(path: $0, examples: $1) }),
      ("mmlu", .fileWithExamples { MMLU(path: $0, examples: $1) }), ("hellaswag", .file { HellaSwag(path: $0) }),
      ("needle", .haystack { try Needle(path: $0) }),
      ("variable-tracking", .haystack { try VariableTracking(path: $0) }),
    ] + SyntheticTask.allCases.map { ($0.rawValue, .madeUp($0)) }
  }

  /// How the answers of several chains become one, by a task's name; letter by letter for a task that is not in the list.
  public static func combination(of name: String) -> ChainCombination {
    switch name {
    case "aime24", "math500": .sameMathematics
    case "livecodebench": .anyRight
    default: .sameText
    }
  }

  /// All names.
  public static var all: [String] { sources.map(\.name) }

  /// The task's name.
  public let name: String
  /// The file of its problems, or of the text that facts are hidden in.
  public let file: String?
  /// The file of its examples.
  public var examples: String?
  private let source: Source

  /// Reads `NAME` or `NAME=FILE`.
  /// - Throws: `InputError` for a name that no task has, and for a file that is missing or too much.
  public init(_ text: String) throws {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard let known = Self.sources.first(where: { $0.name == parts[0] }) else {
      throw InputError("no task is named so", at: parts[0], remedy: "use one of \(Self.all.joined(separator: ", "))")
    }
    (name, source) = (known.name, known.source)
    file = parts.count > 1 && !parts[1].isEmpty ? parts[1] : nil
    switch source {
    case .madeUp:
      guard parts.count == 1 else { throw InputError("a task without a file", at: name, remedy: "give \(name) alone") }
    case .file, .fileWithExamples:
      guard file != nil else {
        throw InputError("a task whose problems are in a file", at: name, remedy: "give \(name)=FILE")
      }
    case .haystack:
      guard parts.count == 1 || file != nil else { throw InputError("no file", at: name, remedy: "give \(name)=FILE") }
    }
  }

  /// The task itself.
  /// - Throws: `InputError` for a file that cannot be used.
  public func task() throws -> any EvaluationTask {
    switch source {
    case .madeUp(let task): MadeUpTask(task)
    case .haystack(let make): try make(file)
    case .file(let make): try make(file ?? "")
    case .fileWithExamples(let make): try make(file ?? "", examples)
    }
  }

  /// Whether problems are made up, so many and of such a size as is asked for.
  public var isMadeUp: Bool {
    switch source {
    case .madeUp, .haystack: true
    case .file, .fileWithExamples: false
    }
  }

  /// What judges answers of the task: the task, with its problems where those are needed.
  public func judge() throws -> any EvaluationTask {
    // Text that facts are hidden in judges nothing.
    if case .haystack(let make) = source { return try make(nil) }
    return try task()
  }

  /// Whether the task takes a file of examples.
  public var takesExamples: Bool { if case .fileWithExamples = source { true } else { false } }

  /// Whether both name the same files.
  public static func == (left: TaskName, right: TaskName) -> Bool {
    (left.name, left.file, left.examples) == (right.name, right.file, right.examples)
  }
}
