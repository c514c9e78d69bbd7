// Needle in a haystack (RULER's niah_single_2): one magic number among much text.

import DMSPlatform

/// Needle in a haystack: one magic number among much text.
public struct Needle: EvaluationTask {
  /// As reports name it.
  public let name = "needle"
  private let haystack: Haystack
  /// Tokens of the prompt around the haystack.
  private static let frame = 90

  /// Hides needles in the text of a file, or in noise.
  /// - Throws: `InputError` for a file that cannot be read or has no words.
  public init(path: String? = nil) throws { haystack = try Haystack(path: path) }

  /// Made-up problems, each of its seed and its place.
  public func problems(_ choice: TaskChoice) throws -> [TaskProblem] {
    (0..<choice.limit).map { index in
      var random = RandomStream(seed: RandomNumbers.seed(choice.seed ^ 0x4E1D, index))
      let size = Int.random(in: choice.size, using: &random)
      let names = ProblemText.names.shuffled(using: &random)
      let key = "\(names[0])-\(names[1])"
      let value = "\(Int.random(in: 1_000_000...9_999_999, using: &random))"
      let fact = "One of the special magic numbers for \(key) is: \(value)."
      let text = haystack.text(hiding: [fact], tokens: size - Self.frame, &random)
      return TaskProblem(
        prompt: """
          A special magic number is hidden within the following text. Make sure to memorize it. I will quiz you about the \
          number afterwards.
          \(text)
          What is the special magic number for \(key) mentioned in the provided text? \
          The special magic number for \(key) mentioned in the provided text is
          """,
        question: .answer(references: [value], maxTokens: 128))
    }
  }

  /// The share of the values that the output has.
  public func share(right output: String, of problem: TaskProblem) -> Double {
    AnswerScore.found(problem.references, in: output)
  }
}
