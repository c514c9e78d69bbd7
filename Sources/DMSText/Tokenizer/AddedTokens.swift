// Tokens that stand in the text as they are, beside the byte-pair encoding: <|im_start|>, <s>, <think>. They are cut out
// of the text before anything else, the longest first.

struct AddedToken: Sendable {
  var id: Int
  var content: String
  /// Control tokens: not part of decoded text when special tokens are skipped.
  var isSpecial: Bool
  /// Takes the white space before or after it along.
  var stripsLeft: Bool
  var stripsRight: Bool
  /// Matches only where no letter or digit touches it.
  var isSingleWord: Bool
  /// Found in the normalised text instead of the text as given.
  var isNormalized: Bool
}

/// Finds added tokens in text.
struct AddedTokenFinder: Sendable {
  private let byFirstByte: [[(bytes: [UInt8], token: AddedToken)]]
  let isEmpty: Bool

  init(_ tokens: [AddedToken]) {
    var table: [[(bytes: [UInt8], token: AddedToken)]] = Array(repeating: [], count: 256)
    for token in tokens {
      let bytes = Array(token.content.utf8)
      if let first = bytes.first { table[Int(first)].append((bytes, token)) }
    }
    byFirstByte = table.map { $0.sorted { $0.bytes.count > $1.bytes.count } }
    isEmpty = tokens.isEmpty
  }

  enum Piece {
    case text(Range<Int>)
    case token(Int)
  }

  /// The pieces of UTF-8 text, in order. Special tokens count only if `parseSpecial`.
  func split(_ text: UnsafeBufferPointer<UInt8>, parseSpecial: Bool) -> [Piece] {
    guard !isEmpty else { return text.isEmpty ? [] : [.text(0..<text.count)] }
    var pieces: [Piece] = []
    var (plain, index) = (0, 0)
    while index < text.count {
      guard let token = match(text, index, parseSpecial) else {
        index += 1
        continue
      }
      var (begin, end) = (index, index + token.content.utf8.count)
      if token.stripsLeft { while begin > plain, isSpace(text[begin - 1]) { begin -= 1 } }
      if token.stripsRight { while end < text.count, isSpace(text[end]) { end += 1 } }
      if begin > plain { pieces.append(.text(plain..<begin)) }
      pieces.append(.token(token.id))
      (plain, index) = (end, end)
    }
    if plain < text.count { pieces.append(.text(plain..<text.count)) }
    return pieces
  }

  private func match(_ text: UnsafeBufferPointer<UInt8>, _ index: Int, _ parseSpecial: Bool) -> AddedToken? {
    for (bytes, token) in byFirstByte[Int(text[index])] where parseSpecial || !token.isSpecial {
      guard index + bytes.count <= text.count, text[index..<index + bytes.count].elementsEqual(bytes) else { continue }
      if token.isSingleWord {
        if index > 0, isWord(text[index - 1]) { continue }
        if index + bytes.count < text.count, isWord(text[index + bytes.count]) { continue }
      }
      return token
    }
    return nil
  }

  private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

  private func isWord(_ byte: UInt8) -> Bool {
    byte >= 0x80 || byte == UInt8(ascii: "_") || Character(Unicode.Scalar(byte)).isLetter
      || (0x30...0x39).contains(byte)
  }
}
