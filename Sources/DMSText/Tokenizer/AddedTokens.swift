// Tokens that stand in the text as they are, beside the byte-pair encoding: <|im_start|>, <s>, <think>. They are cut out
// of the text before anything else. The rules are those of Hugging Face tokenizers: of all matches the leftmost, of those
// the longest, and one that its own flags reject leaves its stretch of text plain.

struct AddedToken: Sendable {
  var id: Int
  var content: String
  /// Control tokens: not part of decoded text when special tokens are skipped.
  var isSpecial: Bool
  /// Takes the white space before or after it along.
  var stripsLeft: Bool
  var stripsRight: Bool
  /// Matches only where no letter, digit, mark or underscore touches it.
  var isSingleWord: Bool
  /// Found, itself normalised, in the normalised text instead of the text as given.
  var isNormalized: Bool
}

/// Finds added tokens in text.
struct AddedTokenFinder: Sendable {
  private let tokens: [AddedToken]
  /// Content to place in `tokens`.
  private var contents: ByteTable
  /// By first byte: the lengths of the contents that begin with it, longest first.
  private var lengths: [[Int]] = Array(repeating: [], count: 256)

  var isEmpty: Bool { tokens.isEmpty }

  init(_ tokens: [AddedToken]) {
    self.tokens = tokens
    contents = ByteTable(expecting: tokens.count)
    for (place, token) in tokens.enumerated() {
      var content = token.content
      content.withUTF8 { content in
        guard let first = content.first else { return }
        _ = contents.insert(content, id: place)
        lengths[Int(first)].append(content.count)
      }
    }
    lengths = lengths.map { Array(Set($0)).sorted(by: >) }
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
      guard let (token, length) = match(text, index) else {
        index += 1
        continue
      }
      var (begin, end) = (index, index + length)
      index = end
      guard parseSpecial || !token.isSpecial else { continue }
      if token.isSingleWord, isWord(text.scalar(before: begin)) || isWord(text.scalar(at: end)) { continue }
      if token.stripsLeft {
        while begin > plain, let space = text.scalar(before: begin), space.properties.isWhitespace {
          begin -= UTF8.width(space)
        }
      }
      if token.stripsRight {
        while let space = text.scalar(at: end), space.properties.isWhitespace { end += UTF8.width(space) }
      }
      // The token before may have taken the space that this one begins with.
      if begin > plain { pieces.append(.text(plain..<begin)) }
      pieces.append(.token(token.id))
      plain = max(plain, end)
    }
    if plain < text.count { pieces.append(.text(plain..<text.count)) }
    return pieces
  }

  private func match(_ text: UnsafeBufferPointer<UInt8>, _ index: Int) -> (AddedToken, length: Int)? {
    for length in lengths[Int(text[index])] where length <= text.count - index {
      if let place = contents.id(of: UnsafeBufferPointer(rebasing: text[index..<index + length])) {
        return (tokens[place], length)
      }
    }
    return nil
  }

  private func isWord(_ scalar: Unicode.Scalar?) -> Bool {
    guard let properties = scalar?.properties else { return false }
    if properties.isAlphabetic || properties.isJoinControl { return true }
    switch properties.generalCategory {
    case .decimalNumber, .connectorPunctuation, .nonspacingMark, .spacingMark, .enclosingMark: return true
    default: return false
    }
  }
}

extension UnsafeBufferPointer<UInt8> {
  /// The character that begins at `index` of valid UTF-8; `nil` at the end.
  func scalar(at index: Int) -> Unicode.Scalar? {
    guard index < count else { return nil }
    var decoder = UTF8()
    var bytes = self[index..<Swift.min(count, index + 4)].makeIterator()
    if case .scalarValue(let scalar) = decoder.decode(&bytes) { return scalar }
    return nil
  }

  /// The character that ends before `index` of valid UTF-8; `nil` at the start.
  func scalar(before index: Int) -> Unicode.Scalar? {
    var start = index - 1
    while start > 0, index - start < 4, self[start] & 0xC0 == 0x80 { start -= 1 }
    return start < 0 ? nil : scalar(at: start)
  }
}
