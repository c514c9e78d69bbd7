// Prompts from JSON lines: questions, conversations that await an answer, texts to go on from.

import DMSPlatform
import DMSText

/// What a line asks.
enum PromptLine: Equatable {
  case messages([ChatMessage])
  case text(String)

  /// Reads every line, so that a broken one is found before the work begins. Empty lines count as none.
  /// - Throws: `InputError` naming the line that is none of the forms.
  static func read(_ path: String) throws -> [PromptLine] {
    let lines = try JSONLines(path: path)
    guard !lines.isEmpty else { throw InputError("empty", at: path, remedy: "give prompts to answer") }
    return try (0..<lines.count).map { try PromptLine(lines.value($0), at: lines.place($0)) }
  }

  private init(_ json: JSON, at place: String) throws {
    func wrong(_ problem: String) -> InputError {
      InputError(
        problem, at: place, remedy: "give {\"prompt\": …}, {\"question\": …}, {\"messages\": […]} or {\"text\": …}")
    }
    if let list = json["messages"]?.array {
      let messages = try list.map { message in
        guard let role = message["role"]?.string, let content = message["content"]?.string else {
          throw wrong("a message without role and content")
        }
        return ChatMessage(role: role, content: content)
      }
      guard let last = messages.last, last.role != "assistant" else { throw wrong("messages that await no answer") }
      self = .messages(messages)
    } else if var question = json["prompt"]?.string ?? json["question"]?.string {
      if let choices = json["choices"]?.array {
        guard choices.allSatisfy({ $0.string != nil }), choices.count <= 26 else {
          throw wrong("choices that are no texts")
        }
        for (index, choice) in choices.enumerated() {
          question += "\n\(Character(UnicodeScalar(UInt8(65 + index)))). \(choice.string ?? "")"
        }
      }
      guard !question.isEmpty else { throw wrong("an empty question") }
      self = .messages([ChatMessage(role: "user", content: question)])
    } else if let text = json["text"]?.string, !text.isEmpty {
      self = .text(text)
    } else {
      throw wrong("no prompt")
    }
  }
}
