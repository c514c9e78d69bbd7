// AIME 24 and MATH-500 (Lightman et al., 2023): problems whose answer stands in \boxed{} and is compared as mathematics.

/// AIME 24, MATH-500: problems whose answer is an expression.
public struct MathTask: EvaluationTask {
  /// As reports name it.
  public let name: String
  private let path: String
  /// What DeepSeek-R1's makers ask for.
  static let request = "\nPlease reason step by step, and put your final answer within \\boxed{}."
  /// The most that models which reason are given.
  static let mostTokens = 32_768

  /// The problems of a file: JSONL of `problem` and `answer`.
  /// - Parameter name: as reports name it.
  public init(name: String, path: String) { (self.name, self.path) = (name, path) }

  /// The file's first problems, in its order.
  public func problems(_ choice: TaskChoice) throws -> [TaskProblem] {
    try choice.part(of: DataRecord.all(of: path)).enumerated().map { place, record in
      TaskProblem(
        id: record.id("unique_id", "id", place: place),
        prompt: TaskPrompt(message: try record.string("problem") + Self.request),
        question: .answer(references: [try record.word("answer")], maxTokens: Self.mostTokens))
    }
  }

  /// What the last box after the reasoning holds; without one, the last formula or number.
  public func answer(in output: String) -> String? {
    guard let text = AnswerText.afterReasoning(output) else { return nil }
    return AnswerText.boxed(text) ?? AnswerScore.lastFormula(in: text) ?? AnswerScore.lastNumber(in: text)
  }

  /// A vote of answers that mean the same.
  public var combination: ChainCombination { .sameMathematics }

  /// Whether the answer means the same as the reference.
  public func share(right answer: String, references: [String]) -> Double {
    references.contains { MathEquality.areEqual($0, answer) } ? 1 : 0
  }
}
