// GSM8K (Cobbe et al., 2021): word problems, answered in writing. The last number counts.

import DMSPlatform

/// GSM8K: word problems whose answer is a number.
public struct GSM8K: EvaluationTask {
  /// As reports name it.
  public let name = "gsm8k"
  private let path: String

  /// The problems of a file: JSONL of `question`, and `answer` that ends in `#### n`.
  public init(path: String) { self.path = path }

  /// The file's first problems, in its order.
  public func problems(_ choice: TaskChoice) throws -> [TaskProblem] {
    try TaskRecord.all(of: path).prefix(choice.limit).map { record in
      let answer = try record.string("answer")
      guard let mark = answer.ranges(of: "####").last,
        let number = AnswerScore.lastNumber(in: String(answer[mark.upperBound...]))
      else { throw record.missing("answer", "a text that ends in #### and a number") }
      return TaskProblem(
        prompt: try record.string("question")
          + "\nPlease reason step by step, and put your final answer within \\boxed{}.",
        question: .answer(references: [number], maxTokens: 1024))
    }
  }

  /// Whether the output's last number is the answer.
  public func share(right output: String, of problem: TaskProblem) -> Double {
    AnswerScore.lastNumber(in: output) == problem.references.first ? 1 : 0
  }
}
