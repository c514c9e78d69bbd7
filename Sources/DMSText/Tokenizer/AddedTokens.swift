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
  /// The contents backwards: the text is read from its end, so that the longest content that is found anywhere is the
  /// longest one that begins there.
  private let automaton: ByteAutomaton

  var isEmpty: Bool { tokens.isEmpty }

  /// Of equal contents the first counts.
  init(_ tokens: [AddedToken]) {
    self.tokens = tokens
    automaton = ByteAutomaton(tokens.lazy.map { $0.content.utf8.reversed() })
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
    // A run of white space that was passed, so that none is passed twice.
    var space = 0..<0
    for (start, place) in matches(text).reversed() where start >= index {
      let token = tokens[place]
      var (begin, end) = (start, start + token.content.utf8.count)
      index = end
      guard parseSpecial || !token.isSpecial else { continue }
      if token.isSingleWord, isWord(text.scalar(before: begin)) || isWord(text.scalar(at: end)) { continue }
      if token.stripsLeft {
        while begin > plain, let space = text.scalar(before: begin), space.properties.isWhitespace {
          begin -= UTF8.width(space)
        }
        // The token before may have taken the space that this one begins with.
        begin = max(begin, plain)
      }
      if token.stripsRight {
        if !space.contains(end) {
          let start = end
          while let space = text.scalar(at: end), space.properties.isWhitespace { end += UTF8.width(space) }
          space = start..<end
        }
        end = max(end, space.contains(end) ? space.upperBound : end)
      }
      if begin > plain { pieces.append(.text(plain..<begin)) }
      // A token of white space of which nothing is left is none. One that strips nothing gives back what it does not cover.
      if begin < end { pieces.append(.token(token.id)) }
      plain = begin < end ? end : plain
    }
    if plain < text.count { pieces.append(.text(plain..<text.count)) }
    return pieces
  }

  /// Where contents begin, from the text's end, and the place of the longest one there.
  private func matches(_ text: UnsafeBufferPointer<UInt8>) -> [(start: Int, place: Int)] {
    var matches: [(start: Int, place: Int)] = []
    var state = 0
    for index in text.indices.reversed() {
      state = automaton.next(state, text[index])
      if let place = automaton.match(state) { matches.append((index, place)) }
    }
    return matches
  }

  private func isWord(_ scalar: Unicode.Scalar?) -> Bool { scalar.map(CharacterKind.word.contains) ?? false }
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
