// MMLU (Hendrycks et al., 2021): questions with four options after five examples. Prompts are lm-evaluation-harness's.

import DMSPlatform
import DMSText

/// MMLU: the letter of the right option, after five examples of the subject.
public struct MMLU: EvaluationTask {
  /// As reports name it.
  public let name = "mmlu"
  private let (path, examples): (String, String?)
  private static let letters = ["A", "B", "C", "D"]

  /// The problems of a file: JSONL of `subject`, `question`, `choices`, and `answer` as a letter or a place; or CSV as
  /// published, `SUBJECT_test.csv` of question, four options and letter.
  ///
  /// - Parameter examples: a file of the same form whose first five questions of a subject are the examples (MMLU's dev set).
  ///   Without one they are the first five other questions of the subject.
  public init(path: String, examples: String? = nil) { (self.path, self.examples) = (path, examples) }

  private struct Entry {
    let id: String
    let subject: String
    let text: String
    let right: Int
    var solved: String { "\(text) \(MMLU.letters[right])\n\n" }

    init(_ record: DataRecord, place: Int) throws {
      let choices = try record.strings("choices")
      guard choices.count == MMLU.letters.count else { throw record.missing("choices", "a list of four") }
      let answer = record.json["answer"]
      guard let right = answer?.integer ?? answer?.string.flatMap({ MMLU.letters.firstIndex(of: $0) }),
        MMLU.letters.indices.contains(right)
      else { throw record.missing("answer", "a letter from A to D or a place from 0 to 3") }
      self.right = right
      id = record.id("id", place: place)
      subject = try record.string("subject")
      let options = zip(MMLU.letters, choices).map { "\($0). \($1)\n" }.joined()
      text = "\(AnswerText.trimmed(try record.string("question")))\n\(options)Answer:"
    }

    static func all(of path: String) throws -> [Entry] {
      let records = path.hasSuffix(".csv") ? try published(path) : try DataRecord.all(of: path)
      return try records.enumerated().map { try Entry($1, place: $0) }
    }

    /// A table without names, whose file is named by its subject.
    private static func published(_ path: String) throws -> [DataRecord] {
      let file = String(path.split(separator: "/").last ?? "")
      let subject = ["_test.csv", "_dev.csv", "_val.csv", ".csv"].lazy.filter(file.hasSuffix).first.map {
        String(file.dropLast($0.count))
      }
      return try DataRecord.table(of: path, names: ["question", "a", "b", "c", "d", "answer"]).map { row in
        var object = row.json.object ?? JSONObject()
        object["choices"] = .array(["a", "b", "c", "d"].compactMap { row.json[$0] })
        object["subject"] = .string(subject ?? file)
        return DataRecord(json: .object(object), place: row.place)
      }
    }
  }

  /// The file's first problems, in its order.
  public func problems(_ choice: TaskChoice) throws -> [TaskProblem] {
    let entries = try Entry.all(of: path)
    let sources = try examples.map(Entry.all) ?? entries
    return choice.part(of: entries).map { entry in
      let others = sources.lazy.filter { $0.subject == entry.subject && $0.text != entry.text }
      let subject = entry.subject.replacing("_", with: " ")
      let opening = "The following are multiple choice questions (with answers) about \(subject).\n\n"
      let solved = others.prefix(SolvedExamples.count).map(\.solved).joined()
      return TaskProblem(
        id: entry.id, prompt: TaskPrompt(text: opening + solved + entry.text),
        question: .choices(Self.letters.map { " " + $0 }, right: entry.right))
    }
  }
}

/// Problems with their answers before the one that is asked.
enum SolvedExamples {
  /// As the field does it for MMLU and GSM8K.
  static let count = 5
}
