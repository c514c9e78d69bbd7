// Variable tracking (RULER's, one chain of four hops): which variables have a value, through assignments to each other.

import DMSPlatform

/// Variable tracking: which variables have a value, through assignments to each other.
public struct VariableTracking: EvaluationTask {
  /// As reports name it.
  public let name = "variable-tracking"
  private let haystack: Haystack
  private static let hops = 4
  /// Of an answer, as RULER has it. A right one of a tokenizer that takes more for it is given more.
  private static let answerTokens = 30

  /// Hides assignments in the text of a file, or in noise.
  /// - Throws: `InputError` for a file that cannot be read or has no words.
  public init(path: String? = nil) throws { haystack = try Haystack(path: path) }

  /// Made-up problems, each of its seed and its place. A prompt and its answer have at most the size asked for.
  public func problems(_ choice: TaskChoice) throws -> [TaskProblem] {
    try (0..<choice.madeUp).map { index in
      var random = RandomStream(seed: RandomNumbers.seed(choice.seed ^ 0x7AC4, index))
      let size = Int.random(in: choice.size, using: &random)
      let value = "\(Int.random(in: 10_000...99_999, using: &random))"
      var names: [String] = []
      while names.count <= Self.hops {
        let letters = (0..<5).map { _ in UInt8.random(in: 65...90, using: &random) }
        let name = String(decoding: letters, as: UTF8.self)
        if !names.contains(name) { names.append(name) }
      }
      let facts = names.indices.map { "VAR \(names[$0]) = \($0 == 0 ? value : "VAR " + names[$0 - 1])." }
      let answerTokens = max(Self.answerTokens, choice.reader.tokens(names.joined(separator: ", ")) + 2)
      let prompt = try haystack.prompt(
        hiding: facts, tokens: size - answerTokens, choice.reader, &random
      ) { text in
        TaskPrompt(
          message: """
            Memorize and track the chain(s) of variable assignment hidden in the following text.

            \(text)
            Question: Find all variables that are assigned the value \(value) in the text above.
            """,
          opening:
            " Answer: According to the chain(s) of variable assignment in the text above, \(names.count) variables "
            + "are assigned the value \(value), they are:")
      }
      return TaskProblem(
        id: String(index), prompt: prompt, question: .answer(references: names, maxTokens: answerTokens))
    }
  }

  /// The whole output.
  public func answer(in output: String) -> String? { output }

  /// The share of the variables that the output names.
  public func share(right answer: String, references: [String]) -> Double {
    AnswerScore.found(references, in: answer)
  }
}
