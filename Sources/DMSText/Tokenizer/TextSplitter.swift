// Splitting text into the words that byte-pair encoding works within. Models fix the split by a regular expression; those
// that most models share are scanned by hand here, all others by RegularExpression.swift.

/// One of the known split patterns, by what distinguishes it.
struct TextSplitter: Sendable {
  /// 's, 't, 're … also in capitals.
  private let contractionsIgnoreCase: Bool
  /// What may stand before letters: any one character that is neither letter, digit nor newline, or just a space.
  private let anyPrefix: Bool
  /// The longest run of digits; a space may stand before it only in GPT-2's pattern.
  private let digits: Int
  /// Punctuation takes the newlines after it, and a run of spaces ends with its last newline.
  private let newlinesBelong: Bool
  private let classes: CharacterClasses

  static let qwen2Pattern =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  static let llama3Pattern =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  static let gpt2Pattern = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  static var qwen2: TextSplitter { TextSplitter(ignoreCase: true, anyPrefix: true, digits: 1, newlinesBelong: true) }
  static var llama3: TextSplitter { TextSplitter(ignoreCase: true, anyPrefix: true, digits: 3, newlinesBelong: true) }
  static var gpt2: TextSplitter {
    TextSplitter(ignoreCase: false, anyPrefix: false, digits: .max, newlinesBelong: false)
  }

  var isGPT2: Bool { !anyPrefix }

  /// What it scans for.
  var pattern: String { isGPT2 ? Self.gpt2Pattern : digits == 1 ? Self.qwen2Pattern : Self.llama3Pattern }

  /// - Returns: `nil` for a pattern that is not known.
  init?(pattern: String) {
    switch pattern {
    case Self.qwen2Pattern: self = Self.qwen2
    case Self.llama3Pattern: self = Self.llama3
    case Self.gpt2Pattern: self = Self.gpt2
    default: return nil
    }
  }

  private init(ignoreCase: Bool, anyPrefix: Bool, digits: Int, newlinesBelong: Bool) {
    contractionsIgnoreCase = ignoreCase
    self.anyPrefix = anyPrefix
    self.digits = digits
    self.newlinesBelong = newlinesBelong
    classes = CharacterClasses()
  }

  /// Calls `body` with each word of valid UTF-8, in order, none left out.
  func split(_ text: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Void) {
    var scanner = Scanner(text: text, classes: classes)
    var start = 0
    while start < text.count {
      let end = wordEnd(&scanner, start)
      body(UnsafeBufferPointer(rebasing: text[start..<end]))
      start = end
    }
  }

  private func wordEnd(_ scanner: inout Scanner, _ start: Int) -> Int {
    let (first, afterFirst) = scanner.character(at: start)
    if first == .apostrophe, let end = contractionEnd(scanner.text, start) { return end }
    if first == .letter { return scanner.run(of: .letter, from: afterFirst) }
    let second = afterFirst < scanner.text.count ? scanner.character(at: afterFirst).class : nil
    if second == .letter, anyPrefix ? first != .newline && first != .digit : first == .space {
      return scanner.run(of: .letter, from: afterFirst)
    }
    if first == .digit { return digitsEnd(scanner, from: start) }
    if !anyPrefix, first == .space, second == .digit { return digitsEnd(scanner, from: afterFirst) }
    if first.isPunctuation || (first == .space && second?.isPunctuation ?? false) {
      var end = afterFirst
      while end < scanner.text.count {
        let (next, after) = scanner.character(at: end)
        guard next.isPunctuation else { break }
        end = after
      }
      if newlinesBelong {
        while end < scanner.text.count, scanner.character(at: end).class == .newline { end += 1 }
      }
      return end
    }
    return whitespaceEnd(scanner, start)
  }

  /// A run of white space: up to its last newline; else all of it at the end of the text; else all but its last character,
  /// which goes with the next word; but at least one.
  private func whitespaceEnd(_ scanner: Scanner, _ start: Int) -> Int {
    var (end, last, afterNewline) = (start, start, -1)
    while end < scanner.text.count {
      let (next, after) = scanner.character(at: end)
      guard next.isWhitespace else { break }
      last = end
      end = after
      if next == .newline { afterNewline = after }
    }
    if newlinesBelong, afterNewline > 0 { return afterNewline }
    if end == scanner.text.count || last == start { return end }
    return last
  }

  private func digitsEnd(_ scanner: Scanner, from start: Int) -> Int {
    var (end, count) = (start, 0)
    while end < scanner.text.count, count < digits {
      let (next, after) = scanner.character(at: end)
      guard next == .digit else { break }
      end = after
      count += 1
    }
    return end
  }

  private func contractionEnd(_ text: UnsafeBufferPointer<UInt8>, _ start: Int) -> Int? {
    func letter(_ index: Int) -> UInt8 {
      guard index < text.count else { return 0 }
      let byte = text[index]
      return contractionsIgnoreCase && (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
    }
    switch (letter(start + 1), letter(start + 2)) {
    case (UInt8(ascii: "s"), _), (UInt8(ascii: "t"), _), (UInt8(ascii: "m"), _), (UInt8(ascii: "d"), _):
      return start + 2
    case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")),
      (UInt8(ascii: "l"), UInt8(ascii: "l")):
      return start + 3
    case (0xC5, 0xBF) where contractionsIgnoreCase:
      return start + 3  // ſ, which folds to s
    default: return nil
    }
  }
}

/// What the patterns tell apart.
enum CharacterClass: UInt8 {
  case letter, digit, newline, space, otherSpace, apostrophe, other

  var isWhitespace: Bool { self == .newline || self == .space || self == .otherSpace }
  var isPunctuation: Bool { self == .other || self == .apostrophe }
}

/// The classes of all characters of the basic plane in a table; asking the standard library costs a hundred times more.
private struct CharacterClasses: Sendable {
  private let table: [CharacterClass]

  init() {
    table = (0..<0x10000).map { code in Unicode.Scalar(UInt32(code)).map(Self.classify) ?? .other }
  }

  func of(_ code: UInt32) -> CharacterClass {
    if code < 0x10000 { return table[Int(code)] }
    return Unicode.Scalar(code).map(Self.classify) ?? .other
  }

  private static func classify(_ scalar: Unicode.Scalar) -> CharacterClass {
    switch scalar {
    case "\n", "\r": return .newline
    case " ": return .space
    case "'": return .apostrophe
    default: break
    }
    if scalar.properties.isWhitespace { return .otherSpace }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return .letter
    case .decimalNumber, .letterNumber, .otherNumber: return .digit
    default: return .other
    }
  }
}

private struct Scanner {
  let text: UnsafeBufferPointer<UInt8>
  let classes: CharacterClasses

  /// The class of the character that begins at `index`, and where the next one begins.
  func character(at index: Int) -> (class: CharacterClass, next: Int) {
    let byte = UInt32(text[index])
    if byte < 0x80 { return (classes.of(byte), index + 1) }
    func tail(_ offset: Int) -> UInt32 { index + offset < text.count ? UInt32(text[index + offset] & 0x3F) : 0 }
    let length = byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4
    let code =
      switch length {
      case 2: (byte & 0x1F) << 6 | tail(1)
      case 3: (byte & 0x0F) << 12 | tail(1) << 6 | tail(2)
      default: (byte & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3)
      }
    return (classes.of(code), min(text.count, index + length))
  }

  func run(of wanted: CharacterClass, from start: Int) -> Int {
    var end = start
    while end < text.count {
      let (next, after) = character(at: end)
      guard next == wanted else { break }
      end = after
    }
    return end
  }
}
