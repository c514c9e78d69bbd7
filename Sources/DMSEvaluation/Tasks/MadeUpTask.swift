// The shipped made-up problems as a task: models that were trained on them reason, and answer after it.

import DMSPlatform

/// One of the tasks of `SyntheticTask`, made up anew for each seed.
public struct MadeUpTask: EvaluationTask {
  private let task: SyntheticTask

  /// Problems of a kind.
  public init(_ task: SyntheticTask) { self.task = task }

  /// As reports name it.
  public var name: String { task.rawValue }

  /// Longer than any right answer.
  private static let longestAnswer = 400

  /// Problems of a seed; prompts have roughly the size asked for.
  public func problems(_ choice: TaskChoice) -> [TaskProblem] {
    (0..<choice.madeUp).map { index in
      var random = RandomStream(seed: RandomNumbers.seed(choice.seed ^ 0x517E, index))
      let problem = task.problem(
        seed: choice.seed, index: index, size: Int.random(in: choice.size, using: &random))
      return TaskProblem(
        id: String(index), prompt: TaskPrompt(message: problem.prompt),
        question: .answer(references: [problem.answer], maxTokens: Self.longestAnswer))
    }
  }

  /// What stands after the reasoning; these problems cannot be answered without any.
  public func answer(in output: String) -> String? { SyntheticTask.answer(in: output) }
}
