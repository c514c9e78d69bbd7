// Unicode's normal forms (UAX #15) in linear time. The standard library has NFC and NFD for those who ask by name, but it
// sorts marks in the square of their count, and takes U+0F73 and its like for the beginning of something new. What it knows
// of single characters and pairs is right, and used here. `Foundation` would weigh 50 MB.

@_spi(_Unicode) import Swift

struct UnicodeNormalization {
  enum Form: String, Sendable {
    case nfc = "NFC"
    case nfd = "NFD"
    case nfkc = "NFKC"
    case nfkd = "NFKD"

    var composes: Bool { self == .nfc || self == .nfkc }
    var isCompatible: Bool { self == .nfkc || self == .nfkd }
  }

  private typealias Element = (scalar: Unicode.Scalar, order: UInt8)
  private let form: Form
  /// By pair, what it composes to, or 0.
  private var pairs: [UInt64: UInt32] = [:]
  private var elements: [Element] = []

  private init(_ form: Form) { self.form = form }

  /// Normalises the stretches that may need it; text without one comes back as it is.
  ///
  /// An inert character is its own normal form, and neither joins nor reorders with what stands before it. So composition
  /// may begin anew at each, and a stretch is: the inert character before the first other one, up to the next inert one.
  static func apply(_ form: Form, to text: [UInt8]) -> [UInt8] {
    text.withUnsafeBufferPointer { bytes in
      var out: [UInt8] = []
      var normalization = UnicodeNormalization(form)
      var stretch: [Unicode.Scalar] = []
      var (copied, inert, index) = (0, 0, 0)
      while index < bytes.count {
        if bytes[index] < 0x80 {
          inert = index
          index += 1
          continue
        }
        guard let scalar = bytes.scalar(at: index) else { break }
        if isInert(scalar.value, form) {
          inert = index
          index += UTF8.width(scalar)
          continue
        }
        out.append(contentsOf: bytes[copied..<inert])
        stretch.removeAll(keepingCapacity: true)
        if inert < index, let before = bytes.scalar(at: inert) { stretch.append(before) }
        var end = index
        while end < bytes.count, let next = bytes.scalar(at: end), !isInert(next.value, form) {
          stretch.append(next)
          end += UTF8.width(next)
        }
        normalization.normalize(stretch, into: &out)
        (copied, inert, index) = (end, end, end)
      }
      if copied == 0 { return text }
      out.append(contentsOf: bytes[copied...])
      return out
    }
  }

  /// Appends the normal form of a stretch that begins with a character of class 0, or with the text.
  private mutating func normalize(_ stretch: [Unicode.Scalar], into out: inout [UInt8]) {
    elements.removeAll(keepingCapacity: true)
    for scalar in stretch {
      if form.isCompatible, let parts = CompatibilityTable.parts[scalar.value] {
        for part in parts { append(part) }
      } else {
        for part in String(scalar)._nfd { append(part) }
      }
    }
    sortMarks()
    if form.composes { compose() }
    for element in elements {
      if let encoded = UTF8.encode(element.scalar) { out.append(contentsOf: encoded) }
    }
  }

  private mutating func append(_ scalar: Unicode.Scalar) {
    elements.append((scalar, scalar.properties.canonicalCombiningClass.rawValue))
  }

  private mutating func compose() {
    // The last character of class 0, and the class of what stands last behind it.
    var (starter, last) = (-1, -1)
    var count = 0
    for element in elements {
      if starter >= 0, last < Int(element.order), let joined = joined(elements[starter].scalar, element.scalar) {
        elements[starter].scalar = joined
        continue
      }
      if element.order == 0 { (starter, last) = (count, -1) } else { last = Int(element.order) }
      elements[count] = element
      count += 1
    }
    elements.removeSubrange(count...)
  }

  /// Brings each run of marks into the order of their classes, equal ones as they stood.
  private mutating func sortMarks() {
    var start = 0
    while start < elements.count {
      var (end, isSorted) = (start, true)
      while end < elements.count, elements[end].order > 0 {
        if end > start, elements[end - 1].order > elements[end].order { isSorted = false }
        end += 1
      }
      if !isSorted { sortMarks(start..<end) }
      start = end + 1
    }
  }

  private mutating func sortMarks(_ range: Range<Int>) {
    let run = Array(elements[range])
    // By class, how many marks have a lower one: where its first mark goes.
    var places = [Int](repeating: 0, count: 257)
    for element in run { places[Int(element.order) + 1] += 1 }
    for order in 1..<places.count { places[order] += places[order - 1] }
    for element in run {
      elements[range.lowerBound + places[Int(element.order)]] = element
      places[Int(element.order)] += 1
    }
  }

  private mutating func joined(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
    let key = UInt64(first.value) << 32 | UInt64(second.value)
    if let known = pairs[key] { return known == 0 ? nil : Unicode.Scalar(known) }
    var composed = String(String.UnicodeScalarView([first, second]))._nfc.makeIterator()
    let joined = composed.next()
    let isOne = composed.next() == nil
    pairs[key] = isOne ? joined?.value ?? 0 : 0
    return isOne ? joined : nil
  }

  /// Blocks in which every assigned character has combining class 0 and is its own normal form: most text. Not complete on
  /// purpose; what is missing is normalised, and only costs time.
  private static func isInert(_ code: UInt32, _ form: Form) -> Bool {
    switch code {
    case 0..<0x80, 0x3400..<0xA000:  // ASCII and Chinese characters
      true
    case 0x80..<0x300,  // Latin
      0x400..<0x483,  // Cyrillic
      0x5D0..<0x5EB, 0x620..<0x64B,  // Hebrew and Arabic letters
      0x1E00..<0x1F00,  // Latin, Vietnamese
      0x2002..<0x20D0,  // punctuation, currency
      0x2190..<0x2329, 0x232B..<0x2ADC,  // arrows, mathematics, boxes
      0x3000..<0x302A, 0x3041..<0x3097, 0x30A1..<0x30FB,  // kana
      0xAC00..<0xD7A4,  // Hangul syllables
      0xFF01..<0xFFA0,  // full width
      0x1F000..<0x1FB00,  // emoji
      0x20000..<0x2F800:  // more Chinese characters
      form == .nfc
    default: false
    }
  }
}
