// Tells a model's thinking from its answer while the text streams in pieces.
//
// Every piece of text comes out once, in order, as soon as it cannot be the beginning of a tag; only the tags go. A closing
// tag outside of thinking, and an opening one inside, are ordinary text.

/// Splits streamed text at `<think>` and `</think>`, however the pieces cut the tags.
///
/// Costs one pass over the text and holds back at most seven bytes.
public struct ThinkingSplitter: Sendable {
  /// A piece of text, by what it is.
  public enum Part: Equatable, Sendable {
    case thinking(String)
    case answer(String)
  }

  /// Whether text that came next would be thinking.
  public private(set) var isThinking: Bool
  /// The beginning of what may become a tag.
  private var held: [UInt8] = []

  /// - Parameter insideThinking: Whether the prompt has already opened the thinking, as the template of DeepSeek-R1 does.
  public init(insideThinking: Bool = false) { isThinking = insideThinking }

  /// The parts that are certain after `text`; neighbours differ in kind and none is empty.
  public mutating func append(_ text: String) -> [Part] {
    var parts: [Part] = []
    var run: [UInt8] = []
    for byte in text.utf8 {
      let tag = Self.tag(closing: isThinking)
      if held.count < tag.count, tag[held.count] == byte {
        held.append(byte)
        if held.count == tag.count {
          held = []
          emit(&run, to: &parts)
          isThinking.toggle()
        }
      } else {
        // "<" begins both tags and stands nowhere else in them: what was held is text, and only this byte may begin anew.
        run += held
        held = []
        if byte == tag[0] { held.append(byte) } else { run.append(byte) }
      }
    }
    emit(&run, to: &parts)
    return parts
  }

  /// What was held back, once the text has ended.
  public mutating func finish() -> [Part] {
    var parts: [Part] = []
    emit(&held, to: &parts)
    return parts
  }

  private func emit(_ run: inout [UInt8], to parts: inout [Part]) {
    guard !run.isEmpty else { return }
    // Tags are ASCII: what lies between them is whole characters.
    let text = String(decoding: run, as: UTF8.self)
    parts.append(isThinking ? .thinking(text) : .answer(text))
    run = []
  }

  private static func tag(closing: Bool) -> [UInt8] { closing ? closingTag : openingTag }
  private static let openingTag = Array("<think>".utf8)
  private static let closingTag = Array("</think>".utf8)
}
