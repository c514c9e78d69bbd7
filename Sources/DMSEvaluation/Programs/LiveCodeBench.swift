// LiveCodeBench (Jain et al., 2024): programs to write in Python, judged by running them on tests.

import DMSPlatform
import DMSText

/// LiveCodeBench: a program that passes all tests of its problem. Judging runs what the model wrote, in a sandbox.
public struct LiveCodeBench: EvaluationTask {
  /// As reports name it.
  public let name = "livecodebench"
  private let entries: [Entry]
  private let byID: [String: Entry]
  private let sandbox: Sandbox

  /// The problems of a file: JSONL of `question_content`, `starter_code`, `public_test_cases`, `private_test_cases`, and
  /// `metadata` with `func_name`.
  /// - Throws: `InputError` for a file that cannot be used, and where no sandbox can be made: bubblewrap and python3 are needed.
  public init(path: String) throws { try self.init(path: path, Sandbox.Limits()) }

  init(path: String, _ limits: Sandbox.Limits) throws {
    sandbox = try Sandbox(limits)
    entries = try DataRecord.all(of: path).enumerated().map { try Entry($1, place: $0) }
    byID = Dictionary(entries.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// A problem is solved if any of the programs is right.
  public var combination: ChainCombination { .anyRight }

  private struct Entry: Sendable {
    let (id, question, starter, place): (String, String, String, String)
    /// The function to call; `nil`: the program reads its input and prints.
    let function: String?
    let packed: [String]

    init(_ record: DataRecord, place: Int) throws {
      self.place = record.place
      id = record.id("question_id", "id", place: place)
      question = try record.string("question_content")
      starter = record.json["starter_code"]?.string ?? ""
      let metadata = try record.json["metadata"].map { data in
        try data.string.map { try JSON(parsing: $0, source: record.place) } ?? data
      }
      function = metadata?["func_name"]?.string
      packed = [try record.string("public_test_cases"), record.json["private_test_cases"]?.string ?? ""].filter {
        !$0.isEmpty
      }
      // The small one tells at once whether the file is of the right form.
      guard try !PackedTests.read(packed[0], at: record.place).isEmpty || packed.count > 1 else {
        throw record.missing("public_test_cases", "a list of tests")
      }
    }

    func tests() throws -> [ProgramTest] { try packed.flatMap { try PackedTests.read($0, at: place) } }

    /// As LiveCodeBench's own harness asks.
    var prompt: String {
      let form =
        starter.isEmpty
        ? "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the "
          + "sample inputs). Enclose your code within delimiters as follows. Ensure that when the python program runs, it "
          + "reads the inputs, runs the algorithm and writes output to STDOUT.\n```python\n# YOUR CODE HERE\n```"
        : "You will use the following starter code to write the solution to the problem and enclose your code within "
          + "delimiters.\n```python\n\(starter)\n```"
      return "### Question:\n\(question)\n\n### Format: \(form)\n\n"
        + "### Answer: (use the provided format with backticks)\n\n"
    }
  }

  /// The file's first problems, in its order.
  public func problems(_ choice: TaskChoice) -> [TaskProblem] {
    choice.part(of: entries).map { entry in
      TaskProblem(
        id: entry.id, prompt: TaskPrompt(message: entry.prompt),
        question: .answer(references: [entry.id], maxTokens: MathTask.mostTokens))
    }
  }

  /// The program between the last two lines of backticks after the reasoning.
  public func answer(in output: String) -> String? {
    guard let text = AnswerText.afterReasoning(output) else { return nil }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    let fences = lines.indices.filter { lines[$0].contains("```") }.suffix(2)
    guard let first = fences.first, let last = fences.last, first < last else { return nil }
    return lines[(first + 1)..<last].joined(separator: "\n")
  }

  /// Whether the program passes all tests.
  /// - Parameter references: the problem's id.
  public func share(right answer: String, references: [String]) throws -> Double {
    guard let id = references.first, let entry = byID[id] else {
      throw InputError(
        "no problem is named \(quoted(references.first ?? ""))", at: name, remedy: "give the file it is from")
    }
    for test in try entry.tests() where try !passes(answer, test, entry.function) { return 0 }
    return 1
  }

  private func passes(_ program: String, _ test: ProgramTest, _ function: String?) throws -> Bool {
    let outcome = try sandbox.run(
      program, driver: Self.driver, function.map { [$0] } ?? [], input: Array(test.input.utf8))
    guard case .ended(let code, let bytes) = outcome, code == 0, let output = String(validating: bytes, as: UTF8.self)
    else { return false }
    guard function != nil else { return Self.areSame(output, test.output) }
    guard let own = try? JSON(parsing: output), let expected = try? JSON(parsing: test.output) else { return false }
    return Self.areSame(own, expected)
  }

  /// Word by word; numbers may be written in several ways.
  static func areSame(_ output: String, _ expected: String) -> Bool {
    let own = output.split(whereSeparator: \.isWhitespace)
    let others = expected.split(whereSeparator: \.isWhitespace)
    return own.count == others.count
      && zip(own, others).allSatisfy { word, other in
        if word == other { return true }
        guard let number = Double(word), let otherNumber = Double(other) else { return false }
        return number == otherNumber && abs(number) < 0x1p53
      }
  }

  private static func areSame(_ own: JSON, _ expected: JSON) -> Bool {
    switch (own, expected) {
    case (.array(let own), .array(let others)):
      own.count == others.count && zip(own, others).allSatisfy { areSame($0, $1) }
    case (.object(let own), .object(let others)):
      own.keys.count == others.keys.count
        && own.members.allSatisfy { key, value in others[key].map { areSame(value, $0) } ?? false }
    default: own == expected || (own.double != nil && own.double == expected.double)
    }
  }

  /// Has what LiveCodeBench's harness has imported before a program, and calls a function or runs the whole.
  private static let driver = """
    import json, sys
    prelude = "import string, re, datetime, collections, heapq, bisect, copy, math, random, statistics, itertools, functools, "
    prelude += "operator, io, sys, json, typing\\n"
    for name in ("string re datetime collections heapq bisect copy math random statistics itertools functools operator io "
                 "typing").split():
        prelude += "from " + name + " import *\\n"
    sys.setrecursionlimit(50000)
    program = open("/task/program.py", encoding="utf-8").read()
    if len(sys.argv) == 1:
        sys.argv = ["program.py"]
        exec(compile(prelude + program, "program.py", "exec"), {"__name__": "__main__"})
    else:
        name, answers = sys.argv[1], sys.stdout
        sys.argv, sys.stdout = ["program.py"], sys.stderr
        arguments = [json.loads(line) for line in sys.stdin.read().split("\\n") if line.strip()]
        names = {"__name__": "program"}
        exec(compile(prelude + program, "program.py", "exec"), names)
        function = getattr(names["Solution"](), name) if "Solution" in names else names[name]
        json.dump(function(*arguments), answers)
        answers.flush()
    """
}
