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
    let ids = encode(text)
    guard scored == .answers else { return Document.pieces(of: ids, longest: longest, end: nil) }
    var isAnswer = [Bool](repeating: false, count: ids.count)
    for index in messages.indices where messages[index].role == "assistant" {
      // A template may leave out of the past what an answer said in its own turn: what still agrees counts.
      let before = encode(try render(messages[..<index], prompts: true))
      let after = encode(try render(messages[...index], prompts: false))
      guard ids.starts(with: before), before.count < after.count else { continue }
      let end = zip(ids, after).prefix { $0 == $1 }.count
      for place in before.count..<max(before.count, end) { isAnswer[place] = true }
    }
    // What is too long is left out: an answer without its question teaches nothing.
    return ids.count <= longest ? [Document(ids, scored: isAnswer)] : []
  }

  private func render(_ messages: ArraySlice<ChatMessage>, prompts: Bool) throws -> String {
    try template.render(
      messages: Array(messages), addGenerationPrompt: prompts, bosToken: tokenizer.bosToken,
      eosToken: tokenizer.eosToken)
  }

  private func encode(_ text: String) -> [Int] { tokenizer.encode(text, addSpecialTokens: false) }
}

/// Problems of a task, without end.
public final class TaskSource: DataSource {
  private let task: SyntheticTask
  private let seed: UInt64
  private let conversation: Conversation
  public var items: Int? { nil }

  public init(
    _ task: SyntheticTask, seed: UInt64, _ tokenizer: Tokenizer, _ template: ChatTemplate, _ scored: ScoredTokens
  ) {
    self.task = task
    self.seed = seed
    conversation = Conversation(tokenizer: tokenizer, template: template, scored: scored)
  }

  public func documents(of item: Int, longest: Int, size: ClosedRange<Int>?) throws -> [Document] {
    var random = RandomStream(seed: RandomNumbers.seed(seed, item))
    let problem = task.problem(
      seed: seed, index: item, size: Int.random(in: size ?? 60...max(60, longest - 100), using: &random))
    return try conversation.document(
      [
        ChatMessage(role: "user", content: problem.prompt), ChatMessage(role: "assistant", content: problem.response),
      ], longest: longest)
  }
}
