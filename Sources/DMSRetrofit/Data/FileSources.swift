// Texts and JSON lines, mapped and read item by item.

import DMSPlatform
import DMSText

/// A text file, in blocks that end with a line where one is near.
public final class TextSource: DataSource {
  private let file: MappedFile
  private let blocks: [Range<Int>]
  private let tokenizer: Tokenizer
  private static let block = 1 << 15

  /// - Throws: `InputError` for a file that cannot be read or is empty.
  public init(path: String, _ tokenizer: Tokenizer) throws {
    file = try MappedFile(path: path)
    self.tokenizer = tokenizer
    let bytes = file.bytes
    var (blocks, start) = ([Range<Int>](), 0)
    while start < bytes.count {
      var end = min(bytes.count, start + Self.block)
      if end < bytes.count {
        if let line = bytes[start..<end].lastIndex(of: UInt8(ascii: "\n")), line > start + Self.block / 2 {
          end = line + 1
        } else {
          // Not within a character.
          while end > start + 1, bytes[end] & 0xC0 == 0x80 { end -= 1 }
        }
      }
      blocks.append(start..<end)
      start = end
    }
    guard !blocks.isEmpty else { throw InputError("empty", at: path, remedy: "give a text to learn from") }
    self.blocks = blocks
  }

  /// Blocks of the text.
  public var items: Int? { blocks.count }

  /// Documents of an item, cut at `longest` tokens.
  public func documents(of item: Int, longest: Int, size: ClosedRange<Int>?) throws -> [Document] {
    let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[blocks[item]])
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw InputError(
        "not UTF-8 text between bytes \(blocks[item].lowerBound) and \(blocks[item].upperBound)", at: file.path)
    }
    return Document.pieces(of: tokenizer.encode(text, addSpecialTokens: false), longest: longest, end: nil)
  }
}

/// A file of JSON objects, one a line, with a member `text` or `messages`. Empty lines count as none.
public final class LinesSource: DataSource {
  private let lines: JSONLines
  private let tokenizer: Tokenizer
  private let template: ChatTemplate?
  private let scored: ScoredTokens

  /// Reads every line once, so that a broken one is found before the work begins.
  /// - Throws: `InputError` naming the line that is no such object.
  public init(path: String, _ tokenizer: Tokenizer, _ template: ChatTemplate?, _ scored: ScoredTokens) throws {
    lines = try JSONLines(path: path)
    self.tokenizer = tokenizer
    self.template = template
    self.scored = scored
    guard !lines.isEmpty else { throw InputError("empty", at: path, remedy: "give examples to learn from") }
    guard lines.count <= Int32.max else {
      throw InputError("\(lines.count) lines are too many", at: path, remedy: "give several files as several sources")
    }
    for item in 0..<lines.count { _ = try content(of: item) }
  }

  /// Lines that are not empty.
  public var items: Int? { lines.count }

  /// Documents of an item, cut at `longest` tokens.
  public func documents(of item: Int, longest: Int, size: ClosedRange<Int>?) throws -> [Document] {
    switch try content(of: item) {
    case .text(let text):
      return Document.pieces(
        of: tokenizer.encode(text, addSpecialTokens: true), longest: longest, end: tokenizer.eosID)
    case .messages(let messages, let template):
      return try Conversation(tokenizer: tokenizer, template: template, scored: scored).document(
        messages, longest: longest)
    }
  }

  private enum Content {
    case text(String)
    case messages([ChatMessage], ChatTemplate)
  }

  private func content(of item: Int) throws -> Content {
    let (json, place) = (try lines.value(item), lines.place(item))
    if let text = json["text"]?.string { return .text(text) }
    guard let list = json["messages"]?.array, !list.isEmpty else {
      throw InputError("neither a text nor messages", at: place, remedy: "give {\"text\": …} or {\"messages\": […]}")
    }
    guard let template else {
      throw InputError("the model has no chat template for messages", at: place, remedy: "give texts")
    }
    let messages = try list.map { message in
      guard let role = message["role"]?.string, let content = message["content"]?.string else {
        throw InputError("a message without role and content", at: place, remedy: "give both as strings")
      }
      return ChatMessage(role: role, content: content)
    }
    return .messages(messages, template)
  }
}
