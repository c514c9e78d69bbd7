// What happens to text before it is split: Unicode normalisation, SentencePiece's visible spaces and the like. Text is UTF-8
// bytes here: a space before a combining mark is a space, though Swift's characters see one.

import DMSPlatform

/// One step. All are linear in the text.
enum Normalizer: Sendable {
  case unicode(UnicodeNormalization.Form)
  case prepend([UInt8])
  case replace([UInt8], with: [UInt8])
  case replaceMatches(RegularExpression, with: [UInt8])
  case strip(left: Bool, right: Bool)
  case lowercase
  /// The byte alphabet, for vocabularies whose text is written in it.
  case byteLevel

  static let nfc = Normalizer.unicode(.nfc)

  func apply(_ text: [UInt8]) -> [UInt8] {
    switch self {
    case .unicode(let form): return UnicodeNormalization.apply(form, to: text)
    case .prepend(let prefix): return text.isEmpty ? text : prefix + text
    case .replace(let pattern, let replacement):
      return Self.replacing(in: text, with: replacement) { body in
        for place in String.places(of: pattern, in: text) { body(place..<place + pattern.count) }
      }
    case .replaceMatches(let regex, let replacement):
      return text.withUnsafeBufferPointer { bytes in
        Self.replacing(in: text, with: replacement) { regex.matches(in: bytes, $0) }
      }
    case .strip(let left, let right): return Self.stripped(text, left, right)
    case .lowercase: return Self.lowercased(text)
    case .byteLevel:
      var out: [UInt8] = []
      text.withUnsafeBufferPointer { ByteAlphabet.encode($0, into: &out) }
      return out
    }
  }

  /// - Parameter matches: calls its argument with each stretch that is replaced, in order.
  private static func replacing(
    in text: [UInt8], with replacement: [UInt8], _ matches: ((Range<Int>) -> Void) -> Void
  ) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(text.count + text.count / 2)
    var end = 0
    matches { match in
      out.append(contentsOf: text[end..<match.lowerBound])
      out.append(contentsOf: replacement)
      end = match.upperBound
    }
    out.append(contentsOf: text[end...])
    return out
  }

  private static func stripped(_ text: [UInt8], _ left: Bool, _ right: Bool) -> [UInt8] {
    text.withUnsafeBufferPointer { bytes in
      var (start, end) = (0, bytes.count)
      while left, let scalar = bytes.scalar(at: start), scalar.properties.isWhitespace { start += UTF8.width(scalar) }
      while right, end > start, let scalar = bytes.scalar(before: end), scalar.properties.isWhitespace {
        end -= UTF8.width(scalar)
      }
      return Array(bytes[start..<end])
    }
  }

  /// Character by character: no final sigma.
  private static func lowercased(_ text: [UInt8]) -> [UInt8] {
    text.withUnsafeBufferPointer { bytes in
      var out: [UInt8] = []
      out.reserveCapacity(bytes.count)
      var index = 0
      while let scalar = bytes.scalar(at: index) {
        index += UTF8.width(scalar)
        if scalar.isASCII {
          let byte = UInt8(scalar.value)
          out.append((0x41...0x5A).contains(byte) ? byte | 0x20 : byte)
        } else {
          out.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
        }
      }
      return out
    }
  }
}

// MARK: - Reading

extension Normalizer {
  /// How many times longer a text may become. Real ones stay below 20; what Replace steps can make of a byte multiplies.
  private static let mostGrowth = 64

  /// The steps of a `normalizer` of a `tokenizer.json`.
  static func steps(_ value: JSON?, _ source: String) throws -> [Normalizer] {
    guard let value, !value.isNull else { return [] }
    var steps: [Normalizer] = []
    try read(value, into: &steps, source)
    var growth = 1
    for step in steps {
      guard steps.count <= mostGrowth, step.growth <= mostGrowth / growth else {
        throw InputError("normalizers that make a text so much longer are not supported", at: source)
      }
      growth *= step.growth
    }
    return steps
  }

  private static func read(_ value: JSON, into steps: inout [Normalizer], _ source: String) throws {
    let name = value["type"]?.string ?? "?"
    func missing(_ what: String) -> InputError {
      InputError("the normalizer \(oneLine(name)) has no \(what)", at: source)
    }
    switch name {
    case "Sequence":
      guard let parts = value["normalizers"]?.array else { throw missing("normalizers") }
      for part in parts { try read(part, into: &steps, source) }
    case "Prepend":
      guard let prefix = value["prepend"]?.string else { throw missing("prepend") }
      steps.append(.prepend(Array(prefix.utf8)))
    case "Replace": steps.append(try replace(value, source))
    case "Strip":
      guard let left = value["strip_left"]?.bool, let right = value["strip_right"]?.bool else {
        throw missing("strip_left or strip_right")
      }
      steps.append(.strip(left: left, right: right))
    case "Lowercase": steps.append(.lowercase)
    case "ByteLevel": steps.append(.byteLevel)
    default:
      guard let form = UnicodeNormalization.Form(rawValue: name) else {
        throw InputError("the normalizer \"\(oneLine(name))\" is not supported", at: source)
      }
      steps.append(.unicode(form))
    }
  }

  /// A Replace of a normalizer or a decoder.
  static func replace(_ value: JSON, _ source: String) throws -> Normalizer {
    guard let content = value["content"]?.string else { throw InputError("a Replace has no content", at: source) }
    let pattern = value["pattern"]
    if let text = pattern?["String"]?.string, !text.isEmpty {
      return .replace(Array(text.utf8), with: Array(content.utf8))
    }
    guard let regex = pattern?["Regex"]?.string ?? pattern?["String"]?.string else {
      throw InputError("the pattern of a Replace is neither a String nor a Regex", at: source)
    }
    return .replaceMatches(try RegularExpression(regex, source: source), with: Array(content.utf8))
  }

  /// A bound for what a byte may become, rounded up.
  var growth: Int {
    switch self {
    case .unicode(.nfc), .strip, .lowercase: 1
    case .prepend(let prefix): 1 + prefix.count / 256
    case .replace(let pattern, let replacement): max(1, (replacement.count + pattern.count - 1) / pattern.count)
    // An empty match stands before each byte at most.
    case .replaceMatches(_, let replacement): 1 + replacement.count
    case .byteLevel: 2
    case .unicode: 11
    }
  }
}
