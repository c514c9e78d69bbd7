// GSM8K (Cobbe et al., 2021): word problems, answered in writing. The last number counts.

import DMSPlatform

/// GSM8K: word problems whose answer is a number.
public struct GSM8K: EvaluationTask {
  /// As reports name it.
  public let name = "gsm8k"
  private let (path, examples): (String, String?)

  /// The problems of a file: JSONL of `question`, and `answer` that ends in `#### n`.
  ///
  /// - Parameter examples: a file of the same form whose first five problems, solved, stand before a question to a model
  ///   without a chat template. Without one they are the first five other problems.
  public init(path: String, examples: String? = nil) { (self.path, self.examples) = (path, examples) }

  private struct Entry {
    let (id, question, answer, number): (String, String, String, String)
    var asked: String { "Question: \(question)\nAnswer:" }

    init(_ record: DataRecord, place: Int) throws {
      (question, answer) = (try record.string("question"), try record.string("answer"))
      guard let mark = answer.ranges(of: "####").last,
        let number = AnswerScore.lastNumber(in: String(answer[mark.upperBound...]))
      else { throw record.missing("answer", "a text that ends in #### and a number") }
      self.number = number
      id = record.id("id", place: place)
    }

    static func all(of path: String) throws -> [Entry] {
      try DataRecord.all(of: path).enumerated().map { try Entry($1, place: $0) }
    }
  }

  /// The file's first problems, in its order.
  public func problems(_ choice: TaskChoice) throws -> [TaskProblem] {
    let entries = try Entry.all(of: path)
    let sources = try examples.map(Entry.all) ?? entries
    return choice.part(of: entries).map { entry in
      let others = sources.lazy.filter { $0.question != entry.question }.prefix(SolvedExamples.count)
      return TaskProblem(
        id: entry.id,
        prompt: TaskPrompt(
          message: entry.question + MathTask.request,
          text: others.map { "\($0.asked) \($0.answer)\n\n" }.joined() + entry.asked, stops: ["Question:"]),
        question: .answer(references: [entry.number], maxTokens: 2048))
    }
  }

  /// The last number after the reasoning.
  public func answer(in output: String) -> String? {
    AnswerText.afterReasoning(output).flatMap(AnswerScore.lastNumber)
  }
}
