// MMLU (Hendrycks et al., 2021): questions with four options after five examples. Prompts are lm-evaluation-harness's.

import DMSPlatform

/// MMLU: the letter of the right option, after five examples of the subject.
public struct MMLU: EvaluationTask {
  /// As reports name it.
  public let name = "mmlu"
  private let path: String
  private static let letters = ["A", "B", "C", "D"]
  private static let mostExamples = 5

  /// The problems of a file: JSONL of `subject`, `question`, `choices`, and `answer` as a letter or a place.
  public init(path: String) { self.path = path }

  private struct Entry {
    let subject: String
    let text: String
    let right: Int
    var solved: String { "\(text) \(MMLU.letters[right])" }

    init(_ record: TaskRecord) throws {
      let choices = try record.strings("choices")
      guard choices.count == MMLU.letters.count else { throw record.missing("choices", "a list of four") }
      let answer = record.json["answer"]
      guard let right = answer?.integer ?? answer?.string.flatMap({ MMLU.letters.firstIndex(of: $0) }),
        MMLU.letters.indices.contains(right)
      else { throw record.missing("answer", "a letter from A to D or a place from 0 to 3") }
      self.right = right
      subject = try record.string("subject")
      let options = zip(MMLU.letters, choices).map { "\($0). \($1)\n" }.joined()
      text = "\(AnswerText.trimmed(try record.string("question")))\n\(options)Answer:"
    }
  }

  /// The file's first problems, in its order. Examples are the first other questions of the subject, as many as there are.
  public func problems(_ choice: TaskChoice) throws -> [TaskProblem] {
    let entries = try TaskRecord.all(of: path).map(Entry.init)
    return entries.prefix(choice.limit).map { entry in
      let others = entries.lazy.filter { $0.subject == entry.subject && $0.text != entry.text }
      let subject = entry.subject.replacing("_", with: " ")
      let opening = "The following are multiple choice questions (with answers) about \(subject).\n\n"
      let examples = others.prefix(Self.mostExamples).map { $0.solved + "\n\n" }.joined()
      return TaskProblem(
        prompt: opening + examples + entry.text,
        question: .choices(Self.letters.map { " " + $0 }, right: entry.right))
    }
  }

  /// Choices are not generated.
  public func share(right output: String, of problem: TaskProblem) -> Double { 0 }
}
