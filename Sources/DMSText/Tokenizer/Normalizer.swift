// What happens to text before it is split: Unicode normalisation, and SentencePiece's visible spaces.

@_spi(_Unicode) import Swift

/// One step.
enum Normalizer: Sendable, Equatable {
  /// Canonical composition.
  case nfc
  case prepend(String)
  case replace(String, with: String)

  func apply(_ text: String) -> String {
    switch self {
    case .nfc: return Self.needsNoComposition(text) ? text : Self.composed(text)
    case .prepend(let prefix): return text.isEmpty ? text : prefix + text
    case .replace(let pattern, let replacement): return Self.replacing(pattern, with: replacement, in: text)
    }
  }

  /// By bytes: a space before a combining mark is a space, though Swift sees one character.
  private static func replacing(_ pattern: String, with replacement: String, in text: String) -> String {
    let (pattern, replacement, source) = (Array(pattern.utf8), Array(replacement.utf8), Array(text.utf8))
    guard !pattern.isEmpty else { return text }
    var out: [UInt8] = []
    out.reserveCapacity(source.count)
    var index = 0
    while index < source.count {
      if source[index...].starts(with: pattern) {
        out.append(contentsOf: replacement)
        index += pattern.count
      } else {
        out.append(source[index])
        index += 1
      }
    }
    return String(decoding: out, as: UTF8.self)
  }

  /// Whether all characters are among those that no composition ever changes or joins: a quick answer for most text.
  private static func needsNoComposition(_ text: String) -> Bool {
    text.unicodeScalars.allSatisfy { scalar in
      switch scalar.value {
      case 0..<0x300, 0x400..<0x483, 0x2002..<0x2100, 0x3041..<0x3097, 0x30A1..<0x30FB, 0x4E00..<0xA000,
        0xAC00..<0xD7A4:
        true
      default: false
      }
    }
  }

  /// The standard library composes, but shows it only to those who ask by name; `Foundation` would weigh 50 MB.
  private static func composed(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text._nfc { result.append(scalar) }
    return String(result)
  }
}
