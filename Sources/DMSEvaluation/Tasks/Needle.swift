// Needle in a haystack (RULER's niah_single_2): one magic number among much text.

import DMSPlatform

/// Needle in a haystack: one magic number among much text.
public struct Needle: EvaluationTask {
  /// As reports name it.
  public let name = "needle"
  private let haystack: Haystack
  /// Of an answer, as RULER has it.
  private static let answerTokens = 128

  /// Hides needles in the text of a file, or in noise.
  /// - Throws: `InputError` for a file that cannot be read or has no words.
  public init(path: String? = nil) throws { haystack = try Haystack(path: path) }

  /// Made-up problems, each of its seed and its place. A prompt and its answer have at most the size asked for.
  public func problems(_ choice: TaskChoice) throws -> [TaskProblem] {
    try (0..<choice.madeUp).map { index in
      var random = RandomStream(seed: RandomNumbers.seed(choice.seed ^ 0x4E1D, index))
      let size = Int.random(in: choice.size, using: &random)
      let names = ProblemText.names.shuffled(using: &random)
      let key = "\(names[0])-\(names[1])"
      let value = "\(Int.random(in: 1_000_000...9_999_999, using: &random))"
      let fact = "One of the special magic numbers for \(key) is: \(value)."
      let prompt = try haystack.prompt(
        hiding: [fact], tokens: size - Self.answerTokens, choice.reader, &random
      ) { text in
        TaskPrompt(
          message: """
            A special magic number is hidden within the following text. Make sure to memorize it. I will quiz you about the \
            number afterwards.
            \(text)
            What is the special magic number for \(key) mentioned in the provided text?
            """, opening: " The special magic number for \(key) mentioned in the provided text is")
      }
      return TaskProblem(
        id: String(index), prompt: prompt, question: .answer(references: [value], maxTokens: Self.answerTokens))
    }
  }

  /// The whole output.
  public func answer(in output: String) -> String? { output }

  /// The share of the values that the output has.
  public func share(right answer: String, references: [String]) -> Double {
    AnswerScore.found(references, in: answer)
  }
}
