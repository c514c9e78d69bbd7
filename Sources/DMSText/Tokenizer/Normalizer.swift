// What happens to text before it is split: Unicode normalisation, and SentencePiece's visible spaces. Text is UTF-8 bytes
// here: a space before a combining mark is a space, though Swift's characters see one.

/// One step.
enum Normalizer: Sendable, Equatable {
  /// Canonical composition.
  case nfc
  case prepend([UInt8])
  case replace([UInt8], with: [UInt8])

  func apply(_ text: [UInt8]) -> [UInt8] {
    switch self {
    case .nfc: return Self.composed(text)
    case .prepend(let prefix): return text.isEmpty ? text : prefix + text
    case .replace(let pattern, let replacement): return Self.replacing(pattern, with: replacement, in: text)
    }
  }

  private static func replacing(_ pattern: [UInt8], with replacement: [UInt8], in text: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(text.count + text.count / 2)
    var end = 0
    for place in String.places(of: pattern, in: text) {
      out.append(contentsOf: text[end..<place])
      out.append(contentsOf: replacement)
      end = place + pattern.count
    }
    out.append(contentsOf: text[end...])
    return out
  }

  /// Composes the stretches that may need it; text without one comes back as it is.
  ///
  /// An inert character is its own composition, and neither joins nor reorders with what stands before it. So composition
  /// may begin anew at each, and a stretch is: the inert character before the first other one, up to the next inert one.
  private static func composed(_ text: [UInt8]) -> [UInt8] {
    text.withUnsafeBufferPointer { bytes in
      var out: [UInt8] = []
      var composition = CanonicalComposition()
      var stretch: [Unicode.Scalar] = []
      var (copied, inert, index) = (0, 0, 0)
      while index < bytes.count {
        if bytes[index] < 0x80 {
          inert = index
          index += 1
          continue
        }
        guard let scalar = bytes.scalar(at: index) else { break }
        if isInert(scalar.value) {
          inert = index
          index += UTF8.width(scalar)
          continue
        }
        out.append(contentsOf: bytes[copied..<inert])
        stretch.removeAll(keepingCapacity: true)
        if inert < index, let before = bytes.scalar(at: inert) { stretch.append(before) }
        var end = index
        while end < bytes.count, let next = bytes.scalar(at: end), !isInert(next.value) {
          stretch.append(next)
          end += UTF8.width(next)
        }
        composition.compose(stretch, into: &out)
        (copied, inert, index) = (end, end, end)
      }
      if copied == 0 { return text }
      out.append(contentsOf: bytes[copied...])
      return out
    }
  }

  /// Blocks in which every assigned character has combining class 0 and `NFC_Quick_Check=Yes`: most text. Not complete on
  /// purpose; what is missing is composed, and only costs time.
  private static func isInert(_ code: UInt32) -> Bool {
    switch code {
    case 0..<0x300,  // Latin
      0x400..<0x483,  // Cyrillic
      0x5D0..<0x5EB, 0x620..<0x64B,  // Hebrew and Arabic letters
      0x1E00..<0x1F00,  // Latin, Vietnamese
      0x2002..<0x20D0,  // punctuation, currency
      0x2190..<0x2329, 0x232B..<0x2ADC,  // arrows, mathematics, boxes
      0x3000..<0x302A, 0x3041..<0x3097, 0x30A1..<0x30FB,  // kana
      0x3400..<0xA000,  // Chinese characters
      0xAC00..<0xD7A4,  // Hangul syllables
      0xFF01..<0xFFA0,  // full width
      0x1F000..<0x1FB00,  // emoji
      0x20000..<0x2F800:  // more Chinese characters
      true
    default: false
    }
  }
}
