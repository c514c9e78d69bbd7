// From a chat to the tokens that a model goes on from. What the model said itself is remembered as the tokens that it said: text
// that comes back with the next turn need not be cut into the same ones, and its cache would be of no use.

import DMSGeneration
import DMSPlatform
import DMSText
import Synchronization

/// A chat, rendered.
struct ChatPrompt: Sendable {
  /// As the template writes it.
  let text: String
  let prompt: LanguageModel.Prompt

  /// - Throws: `InputError` for a model without a template, and where the template refuses the conversation.
  init(_ messages: [ChatMessage], tools: ToolDescriptions?, thinking: Bool?, _ served: ServedModel) throws {
    let model = served.model
    guard let template = model.template else {
      throw InputError("this model has no chat template", remedy: "use /v1/completions")
    }
    text = try template.render(
      messages: messages, addGenerationPrompt: true, thinking: thinking, tools: tools,
      bosToken: model.tokenizer.bosToken, eosToken: model.tokenizer.eosToken)
    prompt = LanguageModel.Prompt(ids: served.replies.ids(text, model.tokenizer), rendered: text)
  }
}

/// Conversations as far as they are known: their text, and the tokens that it was.
final class ReplyMemory: Sendable {
  private struct Known {
    let text: [UInt8]
    let ids: [Int]

    var bytes: Int { text.count + ids.count * MemoryLayout<Int>.stride }
  }

  /// The one that was used last is the last.
  private let known = Mutex<[Known]>([])
  private let most: Int
  /// Bytes of all; longer conversations than an eighth of it are not kept.
  private static let mostBytes = 64 << 20

  /// - Parameter most: conversations that are kept.
  init(most: Int = 256) { self.most = most }

  /// Keeps a conversation up to the end of an answer.
  func remember(_ text: String, _ ids: [Int]) {
    let text = Array(text.utf8)
    let one = Known(text: text, ids: ids)
    guard one.bytes <= Self.mostBytes / 8 else { return }
    known.withLock { known in
      known.removeAll { $0.text == text }
      known.append(one)
      var bytes = known.reduce(0) { $0 + $1.bytes }
      while known.count > most || bytes > Self.mostBytes { bytes -= known.removeFirst().bytes }
    }
  }

  /// The tokens of a text: those that are known of its longest known beginning, and those of the rest.
  func ids(_ text: String, _ tokenizer: Tokenizer) -> [Int] {
    let bytes = Array(text.utf8)
    let beginning = known.withLock { known -> Known? in
      let place = known.indices.filter { bytes.starts(with: known[$0].text) }.max {
        known[$0].text.count < known[$1].text.count
      }
      guard let place else { return nil }
      let one = known.remove(at: place)
      known.append(one)
      return one
    }
    guard let beginning, let rest = String(validating: bytes.dropFirst(beginning.text.count), as: UTF8.self) else {
      return tokenizer.encode(text, addSpecialTokens: false)
    }
    let ids = tokenizer.encode(rest, addSpecialTokens: false)
    // A control token parts two texts; elsewhere they could grow together.
    guard ids.first.map(tokenizer.isSpecial) ?? true else { return tokenizer.encode(text, addSpecialTokens: false) }
    return beginning.ids + ids
  }
}
