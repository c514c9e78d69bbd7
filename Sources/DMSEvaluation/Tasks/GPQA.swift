// GPQA Diamond (Rein et al., 2023): questions of the sciences with four options. Its authors ask that questions are not
// spread: records hold their hashes, and reports nothing of them.

import DMSPlatform

/// GPQA Diamond: the letter of the right one of four options.
public struct GPQA: EvaluationTask {
  /// As reports name it.
  public let name = "gpqa"
  private let path: String

  /// The problems of a file: CSV with the columns `Question`, `Correct Answer`, `Incorrect Answer 1` to `3`.
  public init(path: String) { self.path = path }

  /// The file's first problems, in its order; that of a problem's options depends on the seed and the problem's id.
  public func problems(_ choice: TaskChoice) throws -> [TaskProblem] {
    try choice.part(of: DataRecord.table(of: path)).enumerated().map { place, record in
      let id = record.id("Record ID", place: place)
      let options = try ["Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"].map {
        AnswerText.trimmed(try record.string($0))
      }
      var random = RandomStream(seed: RandomNumbers.seed(choice.seed, Int(truncatingIfNeeded: StableHash.of(id))))
      let order = options.indices.shuffled(using: &random)
      let listed = order.enumerated().map { "\(AnswerText.letter($0))) \(options[$1])" }.joined(separator: "\n")
      return TaskProblem(
        id: id,
        prompt: TaskPrompt(
          message: """
            Answer the following multiple choice question. The last line of your response should be of the following \
            format: 'Answer: $LETTER' (without quotes) where LETTER is one of ABCD. Think step by step before answering.

            \(AnswerText.trimmed(try record.string("Question")))

            \(listed)
            """),
        question: .answer(
          references: [AnswerText.letter(order.firstIndex(of: 0) ?? 0)], maxTokens: MathTask.mostTokens))
    }
  }

  /// The first letter that is named as the answer after the reasoning, else the one in a box.
  public func answer(in output: String) -> String? {
    AnswerText.afterReasoning(output).flatMap(AnswerText.namedLetter)
  }
}
