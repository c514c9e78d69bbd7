// Where an answer stands in what a model wrote.

/// Where an answer stands in what a model wrote.
package enum AnswerText {
  /// Without white space at both ends.
  package static func trimmed(_ text: String) -> String {
    var text = text[...].drop(while: \.isWhitespace)
    while text.last?.isWhitespace ?? false { text.removeLast() }
    return String(text)
  }

  /// What follows the reasoning; the whole of an output without any; `nil` where the reasoning has no end.
  static func afterReasoning(_ output: String) -> String? {
    if let end = output.ranges(of: "</think>").last { return String(output[end.upperBound...]) }
    return output.contains("<think>") ? nil : output
  }

  /// The name of a choice by its place: A, B, C and so on.
  static func letter(_ place: Int) -> String { String(UnicodeScalar(UInt8(65 + place % 26))) }

  /// What stands in the last `\boxed{}`, with braces inside; also in `\fbox{}`, and after `\boxed` and a space.
  static func boxed(_ text: String) -> String? {
    let marks = (text.ranges(of: "\\boxed") + text.ranges(of: "\\fbox")).sorted { $0.lowerBound < $1.lowerBound }
    for mark in marks.reversed() {
      let rest = text[mark.upperBound...].drop { $0 == " " }
      guard rest.first == "{" else {
        let word = rest.prefix { !$0.isWhitespace && $0 != "$" }
        if rest.startIndex > mark.upperBound, !word.isEmpty { return String(word) }
        continue
      }
      if let inner = group(rest) { return String(inner) }
    }
    return nil
  }

  /// The inside of the braces that a text begins with; `nil` where they have no end.
  static func group(_ text: Substring) -> Substring? {
    var (depth, isEscaped) = (0, false)
    for place in text.indices {
      let character = text[place]
      defer { isEscaped = character == "\\" && !isEscaped }
      if isEscaped { continue }
      if character == "{" { depth += 1 }
      if character == "}" {
        depth -= 1
        if depth == 0 { return text[text.index(after: text.startIndex)..<place] }
      }
    }
    return nil
  }

  /// The letter, A to D, that an output names (simple-evals' form), else the one in `\boxed{}`.
  static func namedLetter(_ text: String) -> String? {
    if let match = text.firstMatch(of: /(?i)Answer[ \t]*:[ \t]*\$?([A-D])\$?/) { return match.1.uppercased() }
    guard let boxed = boxed(text) else { return nil }
    let letters = boxed.replacing("\\text", with: "").filter(\.isLetter).uppercased()
    return letters.count == 1 && "ABCD".contains(letters) ? letters : nil
  }
}
