// How generated answers are compared with references.

/// How generated answers are compared with references.
enum AnswerScore {
  /// The share of the references that stand in an output, in any case (RULER's string match).
  static func found(_ references: [String], in output: String) -> Double {
    let text = output.lowercased()
    return Double(references.count { text.contains($0.lowercased()) }) / Double(max(1, references.count))
  }

  /// The last formula of a text, between dollars, in `\( \)` or in `\[ \]`.
  static func lastFormula(in text: String) -> String? {
    let forms = [#/\$\$(.+?)\$\$/#, #/\$(.+?)\$/#, #/\\\((.+?)\\\)/#, #/\\\[(.+?)\\\]/#]
    let found = forms.flatMap { text.matches(of: $0.dotMatchesNewlines()) }
    return found.max { $0.range.upperBound < $1.range.upperBound }.map { String($0.1) }
  }

  /// The last number of a text in one spelling: without thousands separators, leading zeros and zeros that end a fraction.
  static func lastNumber(in text: String) -> String? {
    let characters = Array(text.utf8)
    func isDigit(_ place: Int) -> Bool { characters.indices.contains(place) && (48...57).contains(characters[place]) }
    guard let last = characters.indices.last(where: isDigit) else { return nil }
    var first = last
    while first > 0 {
      let isMark = (characters[first - 1] == 44 || characters[first - 1] == 46) && isDigit(first - 2)
      guard isDigit(first - 1) || isMark else { break }
      first -= 1
    }
    // A fraction may begin with its point.
    if first > 0, characters[first - 1] == 46 { first -= 1 }
    var sign = first
    if sign > 0, characters[sign - 1] == 36 { sign -= 1 }
    let isNegative = sign > 0 && characters[sign - 1] == 45 && !(sign > 1 && isWord(characters[sign - 2]))
    return plain(String(decoding: characters[first...last], as: UTF8.self), isNegative)
  }

  /// Whether a minus after it subtracts or joins.
  private static func isWord(_ byte: UInt8) -> Bool {
    (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == 41
  }

  private static func plain(_ number: String, _ isNegative: Bool) -> String {
    let parts = number.filter { $0 != "," }.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    let whole = parts[0].drop { $0 == "0" }
    var fraction = parts.count > 1 ? String(parts[1]) : ""
    while fraction.last == "0" { fraction.removeLast() }
    let value = (whole.isEmpty ? "0" : String(whole)) + (fraction.isEmpty ? "" : "." + fraction)
    return isNegative && value != "0" ? "-" + value : value
  }
}
