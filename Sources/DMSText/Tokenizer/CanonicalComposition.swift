// Unicode's canonical composition (NFC, UAX #15) in linear time. The standard library has one for those who ask by name,
// but it sorts marks in the square of their count, and takes U+0F73 and its like for the beginning of something new. What it
// knows of single characters and pairs is right, and used here. `Foundation` would weigh 50 MB.

@_spi(_Unicode) import Swift

struct CanonicalComposition {
  private typealias Element = (scalar: Unicode.Scalar, order: UInt8)
  /// By pair, what it composes to, or 0.
  private var pairs: [UInt64: UInt32] = [:]
  private var elements: [Element] = []

  /// Appends the composition of a stretch that begins with a character of class 0, or with the text.
  mutating func compose(_ stretch: some Sequence<Unicode.Scalar>, into out: inout [UInt8]) {
    elements.removeAll(keepingCapacity: true)
    for scalar in stretch {
      for part in String(scalar)._nfd { elements.append((part, part.properties.canonicalCombiningClass.rawValue)) }
    }
    sortMarks()
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
    for element in elements[..<count] {
      if let encoded = UTF8.encode(element.scalar) { out.append(contentsOf: encoded) }
    }
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
}
