// Text as Python treats it: code points, not grapheme clusters, and Python's idea of white space. Swift's own `==`,
// `count` and `split` would give other answers (a combining accent, `\r\n`), and models were trained on Python's.

extension String {
  init(scalars: some Sequence<Unicode.Scalar>) {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    self = String(view)
  }

  /// Python's order: by code point, which is the order of UTF-8 bytes.
  func precedes(_ other: String) -> Bool { utf8.lexicographicallyPrecedes(other.utf8) }

  enum Side { case left, right, both }

  /// Without the white space, or the code points of `characters`, at its ends.
  func trimmed(_ side: Side, of characters: String? = nil) -> String {
    let set = characters.map { Set($0.unicodeScalars) }
    let drops = { (scalar: Unicode.Scalar) in set?.contains(scalar) ?? scalar.isTemplateSpace }
    var rest = unicodeScalars[...]
    if side != .right { rest = rest.drop(while: drops) }
    if side != .left {
      while let last = rest.last, drops(last) { rest.removeLast() }
    }
    return String(rest)
  }

  /// The parts between occurrences of `separator`, which is not empty; at most `limit` cuts, from the right if asked.
  func parts(separatedBy separator: String, limit: Int, fromRight: Bool = false) -> [String] {
    var cuts = ranges(of: separator)
    if fromRight { cuts = rightmost(of: separator) }
    if limit >= 0, cuts.count > limit { cuts = fromRight ? Array(cuts.suffix(limit)) : Array(cuts.prefix(limit)) }
    var parts: [String] = []
    var start = utf8.startIndex
    for cut in cuts {
      parts.append(String(self[start..<cut.lowerBound]))
      start = cut.upperBound
    }
    parts.append(String(self[start...]))
    return parts
  }

  /// The words between runs of white space; at most `limit` cuts, what follows the last one kept but for leading space.
  func words(limit: Int, fromRight: Bool = false) -> [String] {
    if fromRight, limit >= 0 {
      return String(scalars: unicodeScalars.reversed()).words(limit: limit).reversed().map {
        String(scalars: $0.unicodeScalars.reversed())
      }
    }
    var words: [String] = []
    var rest = unicodeScalars.drop { $0.isTemplateSpace }
    while !rest.isEmpty {
      if limit >= 0, words.count == limit {
        words.append(String(rest))
        break
      }
      let word = rest.prefix { !$0.isTemplateSpace }
      words.append(String(word))
      rest = rest[word.endIndex...].drop { $0.isTemplateSpace }
    }
    return words
  }

  /// Where `needle`, which is not empty, occurs without overlap, from the left. A match of whole UTF-8 sequences never
  /// cuts a code point.
  func ranges(of needle: String) -> [Range<String.Index>] {
    let hay = Array(utf8)
    let places = String.places(of: Array(needle.utf8), in: hay)
    var ranges: [Range<String.Index>] = []
    var index = utf8.startIndex
    var offset = 0
    for place in places {
      index = utf8.index(index, offsetBy: place - offset)
      let end = utf8.index(index, offsetBy: needle.utf8.count)
      ranges.append(index..<end)
      (index, offset) = (end, place + needle.utf8.count)
    }
    return ranges
  }

  /// As `ranges(of:)`, but found from the right: other places when occurrences overlap.
  private func rightmost(of needle: String) -> [Range<String.Index>] {
    let count = utf8.count
    let places = String.places(of: needle.utf8.reversed(), in: utf8.reversed())
    return places.reversed().map { place in
      let start = utf8.index(utf8.startIndex, offsetBy: count - place - needle.utf8.count)
      return start..<utf8.index(start, offsetBy: needle.utf8.count)
    }
  }

  func lastRange(of needle: String) -> Range<String.Index>? { rightmost(of: needle).last }

  /// Knuth, Morris and Pratt's search: linear, as both texts may come from outside.
  static func places(of needle: [UInt8], in hay: [UInt8]) -> [Int] {
    guard !needle.isEmpty, needle.count <= hay.count else { return [] }
    // borders[i]: how much of the needle's beginning also ends its first i + 1 bytes.
    var borders = [Int](repeating: 0, count: needle.count)
    var matched = 0
    for index in needle.indices.dropFirst() {
      while matched > 0, needle[index] != needle[matched] { matched = borders[matched - 1] }
      if needle[index] == needle[matched] { matched += 1 }
      borders[index] = matched
    }
    var places: [Int] = []
    matched = 0
    for (index, byte) in hay.enumerated() {
      while matched > 0, byte != needle[matched] { matched = borders[matched - 1] }
      if byte == needle[matched] { matched += 1 }
      guard matched == needle.count else { continue }
      places.append(index + 1 - needle.count)
      // Occurrences do not overlap.
      matched = 0
    }
    return places
  }

  /// With the first `limit` occurrences (all, if negative) replaced. An empty `old` stands between all code points.
  func replacing(_ old: String, with new: String, limit: Int) -> String {
    if !old.isEmpty { return parts(separatedBy: old, limit: limit).joinedText(by: new) }
    var result = String.UnicodeScalarView()
    var left = limit < 0 ? Int.max : limit
    for scalar in unicodeScalars {
      if left > 0 { result.append(contentsOf: new.unicodeScalars) }
      left = max(0, left - 1)
      result.append(scalar)
    }
    if left > 0 { result.append(contentsOf: new.unicodeScalars) }
    return String(result)
  }

  /// As markupsafe escapes.
  var escapedForHTML: String {
    var escaped = ""
    for scalar in unicodeScalars {
      switch scalar {
      case "&": escaped += "&amp;"
      case "<": escaped += "&lt;"
      case ">": escaped += "&gt;"
      case "\"": escaped += "&#34;"
      case "'": escaped += "&#39;"
      default: escaped.unicodeScalars.append(scalar)
      }
    }
    return escaped
  }

  /// Lines as Python's `splitlines` cuts them, without their ends.
  func lines() -> [String] {
    var lines: [String] = []
    var line = String.UnicodeScalarView()
    var isOpen = false
    var afterReturn = false
    for scalar in unicodeScalars {
      if afterReturn, scalar == "\n" {
        afterReturn = false
        continue
      }
      afterReturn = scalar == "\r"
      switch scalar.value {
      case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029:
        lines.append(String(line))
        line = String.UnicodeScalarView()
        isOpen = false
      default:
        line.append(scalar)
        isOpen = true
      }
    }
    if isOpen { lines.append(String(line)) }
    return lines
  }

  /// First letter large, the others small.
  var capitalizedText: String {
    guard let first = unicodeScalars.first else { return "" }
    return first.properties.titlecaseMapping + String(unicodeScalars.dropFirst()).lowercased()
  }

  /// Python's `str.title`: a letter that follows no letter is large.
  var titledText: String {
    var result = ""
    var inWord = false
    for scalar in unicodeScalars {
      result += inWord ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
      inWord = scalar.properties.isCased
    }
    return result
  }

  /// Jinja2's `title` filter: words begin after white space, hyphens and opening brackets.
  var titledWords: String {
    var result = ""
    var inWord = false
    for scalar in unicodeScalars {
      result += inWord ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
      inWord = !scalar.isTemplateSpace && !["-", "(", "{", "[", "<"].contains(scalar)
    }
    return result
  }
}

extension Sequence<String> {
  /// Swift's `joined`, by a name that no `Sequence` of characters shadows.
  func joinedText(by separator: String) -> String { joined(separator: separator) }
}

extension Unicode.Scalar {
  /// What Python's `str.isspace` and `\s` call white space.
  var isTemplateSpace: Bool {
    switch value {
    case 0x09...0x0D, 0x1C...0x20: true
    case 0..<0x80: false
    case 0x85, 0xA0: true
    default: properties.generalCategory == .spaceSeparator || value == 0x2028 || value == 0x2029
    }
  }
}
