// Ids to text, one by one, as they are generated: a character appears when its last byte has come, never half of it.

/// Text of ids that come one by one: whole characters only.
public struct TokenDecoder: Sendable {
  private let tokenizer: Tokenizer
  private let skippingSpecial: Bool
  /// Bytes of a character that is not complete.
  private var pending: [UInt8] = []
  /// Spaces that the text may still lose at its beginning.
  private var spaces: Int
  private let ofFirstToken: Bool

  /// - Parameter skippingSpecial: control tokens give no text.
  public init(_ tokenizer: Tokenizer, skippingSpecial: Bool) {
    self.tokenizer = tokenizer
    self.skippingSpecial = skippingSpecial
    switch tokenizer.leadingSpace {
    case .ofText(let count): (spaces, ofFirstToken) = (count, false)
    case .ofFirstToken: (spaces, ofFirstToken) = (.max, true)
    }
  }

  /// Whether a character is under way.
  package var isInsideCharacter: Bool { !pending.isEmpty }

  /// The text that one more id completes; empty for an id without a token.
  public mutating func append(_ id: Int) -> String {
    if skippingSpecial, tokenizer.isSpecial(id) { return "" }
    tokenizer.withBytes(of: id) { bytes in
      var rest = bytes[...]
      while spaces > 0, let first = rest.first {
        guard first == 0x20 else {
          spaces = 0
          break
        }
        rest = rest.dropFirst()
        spaces -= 1
      }
      if ofFirstToken { spaces = 0 }
      pending.append(contentsOf: rest)
    }
    let complete = pending.count - incompleteTail()
    guard complete > 0 else { return "" }
    let text = String(decoding: pending[..<complete], as: UTF8.self)
    pending.removeFirst(complete)
    return text
  }

  /// What is left at the end: U+FFFD for a character that never became whole.
  public mutating func finish() -> String {
    defer { pending = [] }
    return String(decoding: pending, as: UTF8.self)
  }

  /// Bytes at the end that may still become a character.
  private func incompleteTail() -> Int {
    for length in 1...3 where length <= pending.count {
      let byte = pending[pending.count - length]
      if byte & 0xC0 == 0x80 { continue }
      let needed = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC2 ? 2 : 1
      guard byte < 0xF5, needed > length else { return 0 }
      // A second byte that cannot follow makes the sequence invalid now, not incomplete.
      if length > 1, !canFollow(byte, pending[pending.count - length + 1]) { return 0 }
      return length
    }
    return 0
  }

  private func canFollow(_ first: UInt8, _ second: UInt8) -> Bool {
    switch first {
    case 0xE0: second >= 0xA0
    case 0xED: second < 0xA0
    case 0xF0: second >= 0x90
    case 0xF4: second < 0x90
    default: true
    }
  }
}
