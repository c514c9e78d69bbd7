// The parts of which pre-tokenizers are made, as Hugging Face tokenizers has them: each splits every piece of the text that
// the part before it has left. A part is linear in the text.

import DMSPlatform

enum PreTokenizerPart: Sendable {
  case split(SplitPattern, SplitBehavior, isInverted: Bool)
  /// The byte alphabet; before that, words by GPT-2's pattern, or none.
  case byteLevel(addsSpace: Bool, TextSplitter?)
  case metaspace(Metaspace)

  init(_ step: JSON, _ source: String) throws {
    let name = step["type"]?.string ?? "?"
    func flag(_ key: String, _ standard: Bool) throws -> Bool {
      guard let value = step[key], !value.isNull else { return standard }
      guard let flag = value.bool else {
        throw InputError("\(key) of the pre-tokenizer \(oneLine(name)) is neither true nor false", at: source)
      }
      return flag
    }
    switch name {
    case "ByteLevel":
      let splitter = try flag("use_regex", true) ? TextSplitter.gpt2 : nil
      self = .byteLevel(addsSpace: try flag("add_prefix_space", true), splitter)
    case "Split":
      self = .split(
        try SplitPattern(step["pattern"], source), try SplitBehavior(step["behavior"], name, source),
        isInverted: try flag("invert", false))
    case "Digits":
      self = .split(
        .characters(.digit), try flag("individual_digits", false) ? .isolated : .contiguous, isInverted: false)
    case "Punctuation":
      let behavior = try step["behavior"].map { try SplitBehavior($0, name, source) }
      self = .split(.characters(.punctuation), behavior ?? .isolated, isInverted: false)
    case "Whitespace": self = .split(.words, .removed, isInverted: true)
    case "WhitespaceSplit": self = .split(.characters(.space), .removed, isInverted: false)
    case "Metaspace": self = .metaspace(try Metaspace(step, source))
    default: throw InputError("the pre-tokenizer \(oneLine(name)) is not supported", at: source)
    }
  }
}

/// What becomes of the stretches that a pattern matches.
enum SplitBehavior: String, Sendable {
  case removed = "Removed"
  case isolated = "Isolated"
  case mergedWithPrevious = "MergedWithPrevious"
  case mergedWithNext = "MergedWithNext"
  /// Neighbouring matches stay together.
  case contiguous = "Contiguous"

  init(_ value: JSON?, _ part: String, _ source: String) throws {
    guard let behavior = value?.string.flatMap(Self.init(rawValue:)) else {
      throw InputError("the behavior of the pre-tokenizer \(part) is missing or unknown", at: source)
    }
    self = behavior
  }
}

/// What is looked for in a text.
enum SplitPattern: Sendable {
  case text([UInt8])
  case regex(RegularExpression)
  /// Its words are matches and leave nothing out.
  case known(TextSplitter)
  /// Each character of a kind.
  case characters(CharacterKind)
  /// Runs of letters and digits, and of what is neither those nor white space.
  case words

  init(_ pattern: JSON?, _ source: String) throws {
    if let text = pattern?["String"]?.string, !text.isEmpty {
      self = .text(Array(text.utf8))
    } else if let regex = pattern?["Regex"]?.string ?? pattern?["String"]?.string {
      self = try SplitPattern(regex: regex, source)
    } else {
      throw InputError("the pattern of a Split is neither a String nor a Regex", at: source)
    }
  }

  init(regex: String, _ source: String) throws {
    self =
      try TextSplitter(pattern: regex).map { .known($0) } ?? .regex(RegularExpression(regex, source: source))
  }

  func matches(in text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void) {
    switch self {
    case .text(let needle):
      for place in String.places(of: needle, in: Array(text)) { body(place..<place + needle.count) }
    case .regex(let regex): regex.matches(in: text, body)
    case .known(let splitter):
      var start = 0
      splitter.split(text) { word in
        body(start..<start + word.count)
        start += word.count
      }
    case .characters(let kind):
      var index = 0
      while let scalar = text.scalar(at: index) {
        let end = index + UTF8.width(scalar)
        if kind.contains(scalar) { body(index..<end) }
        index = end
      }
    case .words:
      var (start, index) = (0, 0)
      var kind: CharacterKind?
      while let scalar = text.scalar(at: index) {
        let next: CharacterKind? =
          CharacterKind.word.contains(scalar) ? .word : CharacterKind.space.contains(scalar) ? nil : .punctuation
        if next != kind {
          if kind != nil { body(start..<index) }
          (start, kind) = (index, next)
        }
        index += UTF8.width(scalar)
      }
      if kind != nil { body(start..<index) }
    }
  }
}

/// Characters that parts tell apart.
enum CharacterKind: Sendable {
  case digit, punctuation, space
  /// `\w` of regular expressions.
  case word

  func contains(_ scalar: Unicode.Scalar) -> Bool {
    let properties = scalar.properties
    switch self {
    case .space: return properties.isWhitespace
    case .digit:
      switch properties.generalCategory {
      case .decimalNumber, .letterNumber, .otherNumber: return true
      default: return false
      }
    case .punctuation:
      if scalar.isASCII { return scalar.value > 0x20 && scalar.value < 0x7F && !Self.isASCIILetter(scalar) }
      // The reference's table is Unicode 8's, where two characters were punctuation that are not any more.
      if scalar.value == 0x166D || scalar.value == 0x111C9 { return true }
      switch properties.generalCategory {
      case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
        .finalPunctuation, .otherPunctuation:
        return (properties.age?.major ?? .max) <= 8
      default: return false
      }
    case .word:
      if properties.isAlphabetic || properties.isJoinControl { return true }
      switch properties.generalCategory {
      case .decimalNumber, .connectorPunctuation, .nonspacingMark, .spacingMark, .enclosingMark: return true
      default: return false
      }
    }
  }

  private static func isASCIILetter(_ scalar: Unicode.Scalar) -> Bool {
    (0x30...0x39).contains(scalar.value) || (0x61...0x7A).contains(scalar.value | 0x20)
  }
}

/// A text on its way through the parts: what it has become, and its pieces.
struct TextPieces {
  private(set) var text: [UInt8]
  private(set) var ranges: [Range<Int>]
  /// Whether the first piece begins where the whole text does.
  private var isFirst: Bool

  init(_ text: UnsafeBufferPointer<UInt8>, isFirst: Bool) {
    self.text = Array(text)
    ranges = text.isEmpty ? [] : [0..<text.count]
    self.isFirst = isFirst
  }

  /// - Parameter encodes: parts follow that see the byte alphabet.
  mutating func apply(_ part: PreTokenizerPart, encodes: Bool) {
    switch part {
    case .split(let pattern, let behavior, let isInverted): split(pattern, behavior, isInverted)
    case .byteLevel(let addsSpace, let splitter):
      if addsSpace {
        rewrite { piece, _, out in
          if piece.first != 0x20 { out.append(0x20) }
          out.append(contentsOf: piece)
        }
      }
      if let splitter { split(.known(splitter), .isolated, false) }
      if encodes { rewrite { piece, _, out in ByteAlphabet.encode(piece, into: &out) } }
    case .metaspace(let metaspace):
      rewrite { piece, isFirst, out in
        out.append(contentsOf: metaspace.replacingSpaces(in: piece, isFirst: isFirst))
      }
      if metaspace.splits { split(.text(metaspace.mark), .mergedWithNext, false) }
    }
  }

  private mutating func split(_ pattern: SplitPattern, _ behavior: SplitBehavior, _ isInverted: Bool) {
    var pieces: [Range<Int>] = []
    let start = ranges.first?.lowerBound
    text.withUnsafeBufferPointer { text in
      for range in ranges {
        var segments = Segments(behavior: behavior)
        var end = range.lowerBound
        pattern.matches(in: UnsafeBufferPointer(rebasing: text[range])) { match in
          let match = range.lowerBound + match.lowerBound..<range.lowerBound + match.upperBound
          if match.lowerBound > end { segments.add(end..<match.lowerBound, isMatch: isInverted) }
          segments.add(match, isMatch: !isInverted)
          end = match.upperBound
        }
        if end < range.upperBound { segments.add(end..<range.upperBound, isMatch: isInverted) }
        for segment in segments.ranges where !segment.isEmpty { pieces.append(segment) }
      }
    }
    ranges = pieces
    isFirst = isFirst && pieces.first?.lowerBound == start
  }

  /// Gives each piece other bytes.
  private mutating func rewrite(_ body: (UnsafeBufferPointer<UInt8>, _ isFirst: Bool, inout [UInt8]) -> Void) {
    var out: [UInt8] = []
    out.reserveCapacity(2 * text.count)
    var pieces: [Range<Int>] = []
    pieces.reserveCapacity(ranges.count)
    text.withUnsafeBufferPointer { text in
      for range in ranges {
        let start = out.count
        body(UnsafeBufferPointer(rebasing: text[range]), isFirst && pieces.isEmpty, &out)
        pieces.append(start..<out.count)
      }
    }
    (text, ranges) = (out, pieces)
  }
}

/// The stretches of a piece, matched or not, put together as a behavior says.
private struct Segments {
  let behavior: SplitBehavior
  private(set) var ranges: [Range<Int>] = []
  private var wasMatch = false

  init(behavior: SplitBehavior) { self.behavior = behavior }

  mutating func add(_ range: Range<Int>, isMatch: Bool) {
    let joins =
      switch behavior {
      case .removed, .isolated: false
      case .contiguous: isMatch == wasMatch
      case .mergedWithPrevious: isMatch && !wasMatch
      case .mergedWithNext: !isMatch && wasMatch
      }
    wasMatch = isMatch
    if joins, let last = ranges.indices.last {
      ranges[last] = ranges[last].lowerBound..<range.upperBound
    } else if behavior != .removed || !isMatch {
      ranges.append(range)
    }
  }
}
