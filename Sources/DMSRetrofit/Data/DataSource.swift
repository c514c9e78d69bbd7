// Where documents come from: numbered items, each of which gives the same documents whenever it is asked for. That makes a
// position in the data two numbers, and a run that goes on after an interruption reads what it would have read.

import DMSEvaluation
import DMSPlatform
import DMSText

/// What of a document is to be predicted.
public enum ScoredTokens: String, Sendable, CaseIterable {
  /// What the assistant says in a conversation.
  case answers
  case everything
}

/// Numbered items of documents.
public protocol DataSource: AnyObject {
  /// `nil`: without end.
  var items: Int? { get }
  /// An item's documents, each of at most `longest` tokens.
  ///
  /// - Parameter size: of problems that are made up, roughly their tokens.
  func documents(of item: Int, longest: Int, size: ClosedRange<Int>?) throws -> [Document]
}

extension Document {
  /// A text of any length, cut into documents of at most `longest` tokens. Each piece's last token predicts the next piece's
  /// first, and the text's last one `end`.
  static func pieces(of ids: [Int], longest: Int, end: Int?) -> [Document] {
    stride(from: 0, to: ids.count, by: longest).map { first in
      let next = first + longest
      return Document(Array(ids[first..<min(ids.count, next)]), last: next < ids.count ? ids[next] : end)
    }
  }
}

/// A conversation as the model reads it, and which of its tokens the assistant says.
struct Conversation {
  let tokenizer: Tokenizer
  let template: ChatTemplate
  let scored: ScoredTokens

  /// - Throws: `InputError` where the template refuses the messages.
  func document(_ messages: [ChatMessage], longest: Int) throws -> [Document] {
    let text = try render(messages[...], prompts: false)
    let ids = encode(text[...])
    guard scored == .answers else { return Document.pieces(of: ids, longest: longest, end: nil) }
    // What is too long is left out: an answer without its question teaches nothing.
    guard ids.count <= longest else { return [] }
    var isAnswer = [Bool](repeating: false, count: ids.count)
    var (read, place) = (text.startIndex, 0)
    for index in messages.indices where messages[index].role == "assistant" {
      let before = try prompt(messages[..<index], in: text)
      let after = try render(messages[...index], prompts: false)
      // A template may leave out of the past what an answer said in its own turn: such an answer does not count.
      guard let before, text.hasPrefix(after), before < after.utf8.count else { continue }
      let start = text.utf8.index(text.startIndex, offsetBy: before)
      let end = text.utf8.index(text.startIndex, offsetBy: after.utf8.count)
      let first = place + encode(text[read..<start]).count
      let answer = encode(text[start..<end])
      // Control tokens stand at these places, so that the parts' tokens are the whole's; where not, the answer does not count.
      guard ids[min(first, ids.count)...].starts(with: answer) else { continue }
      for token in first..<first + answer.count { isAnswer[token] = true }
      (read, place) = (end, first + answer.count)
    }
    return isAnswer.contains(true) ? [Document(ids, scored: isAnswer)] : []
  }

  /// UTF-8 bytes of the text until the answer to these messages begins; `nil` if the text does not begin with them.
  private func prompt(_ messages: ArraySlice<ChatMessage>, in text: String) throws -> Int? {
    let prompt = try render(messages, prompts: true)
    if text.hasPrefix(prompt) { return prompt.utf8.count }
    // A prompt may open the reasoning, as DeepSeek's does, which an answer of the past no longer has: then the answer begins
    // where the two part.
    guard text.hasPrefix(try render(messages, prompts: false)) else { return nil }
    return zip(text.unicodeScalars, prompt.unicodeScalars).prefix { $0 == $1 }.reduce(0) { $0 + UTF8.width($1.0) }
  }

  private func render(_ messages: ArraySlice<ChatMessage>, prompts: Bool) throws -> String {
    try template.render(
      messages: Array(messages), addGenerationPrompt: prompts, bosToken: tokenizer.bosToken,
      eosToken: tokenizer.eosToken)
  }

  private func encode(_ text: Substring) -> [Int] { tokenizer.encode(String(text), addSpecialTokens: false) }
}

/// Problems of a task, without end: conversations of up to so many questions about the same facts.
public final class TaskSource: DataSource {
  private let task: SyntheticTask
  private let seed: UInt64
  private let questions: Int
  private let conversation: Conversation
  /// Without end.
  public var items: Int? { nil }

  /// Conversations of up to `questions` problems of a task.
  public init(
    _ task: SyntheticTask, questions: Int, seed: UInt64, _ tokenizer: Tokenizer, _ template: ChatTemplate,
    _ scored: ScoredTokens
  ) {
    self.task = task
    self.questions = questions
    self.seed = seed
    conversation = Conversation(tokenizer: tokenizer, template: template, scored: scored)
  }

  /// The conversation of an item, if it fits.
  public func documents(of item: Int, longest: Int, size: ClosedRange<Int>?) throws -> [Document] {
    var random = RandomStream(seed: RandomNumbers.seed(seed, item))
    let problems = task.conversation(
      seed: seed, index: item, size: Int.random(in: size ?? 60...max(60, longest - 100), using: &random),
      questions: Int.random(in: 1...questions, using: &random))
    return try conversation.document(
      problems.flatMap {
        [ChatMessage(role: "user", content: $0.prompt), ChatMessage(role: "assistant", content: $0.response)]
      }, longest: longest)
  }
}
