// HellaSwag (Zellers et al., 2019): which of four endings continues a text. Prompts are lm-evaluation-harness's.

import DMSText

/// HellaSwag: which of four endings continues a text.
public struct HellaSwag: EvaluationTask {
  /// As reports name it.
  public let name = "hellaswag"
  private let path: String

  /// The problems of a file: JSONL of `ctx_a`, `ctx_b`, `activity_label`, `endings`, `label`, or a finished `context`.
  public init(path: String) { self.path = path }

  /// The file's first problems, in its order.
  public func problems(_ choice: TaskChoice) throws -> [TaskProblem] {
    try choice.part(of: DataRecord.all(of: path)).enumerated().map { place, record in
      let endings = try record.strings("endings")
      let label = record.json["label"]
      guard let right = label?.integer ?? label?.string.flatMap({ Int($0) }), endings.indices.contains(right) else {
        throw record.missing("label", "the place of an ending")
      }
      return TaskProblem(
        id: record.id("id", "ind", place: place), prompt: TaskPrompt(text: try context(record)),
        question: .choices(endings.map { " " + Self.cleaned($0) }, right: right))
    }
  }

  private func context(_ record: DataRecord) throws -> String {
    if let context = record.json["context"]?.string { return context }
    let text: String
    if let first = record.json["ctx_a"]?.string, let second = record.json["ctx_b"]?.string {
      text = first + " " + second.prefix(1).uppercased() + second.dropFirst().lowercased()
    } else {
      text = try record.string("ctx")
    }
    return Self.cleaned((record.json["activity_label"]?.string).map { "\($0): \(text)" } ?? text)
  }

  /// Without WikiHow's marks: "[title]" ends a sentence, others are dropped.
  static func cleaned(_ text: String) -> String {
    var rest = AnswerText.trimmed(text).replacing(" [title]", with: ". ")[...]
    var result = ""
    while let open = rest.firstIndex(of: "["), let close = rest[open...].firstIndex(of: "]") {
      result += rest[..<open]
      rest = rest[rest.index(after: close)...]
    }
    return (result + rest).replacing("  ", with: " ")
  }
}
