// An answer in LaTeX, or nearly so, as tokens: what only concerns its looks is gone, and what people write in several ways is
// written in one. Meaning is not known here.

/// A piece of an answer.
enum MathToken: Hashable {
  /// Digits, with a point perhaps.
  case number(String)
  /// A letter.
  case letter(String)
  /// A command without its backslash, as `frac`.
  case command(String)
  /// Words, as of `\text{}`: a unit, a name.
  case words(String)
  /// One of `+ - * / ^ _ ( ) [ ] { } , ; : = < > | ! & %`, or `\\`, `\{`, `\}`.
  case sign(String)

  /// The tokens of an answer.
  static func all(of text: String) -> [MathToken] { tokens(of: cleaned(text)) }

  /// Without what changes nothing: dollars, spaces of every width, sizes of brackets, separators of thousands.
  private static func cleaned(_ text: String) -> String {
    var text = text
    for (part, other) in [
      ("\\\\[", "\\\\ ["), ("\\$", ""), ("$", ""), ("\\(", ""), ("\\)", ""), ("\\[", ""), ("\\]", ""), ("{,}", ","),
      (",\\!", ","), ("\\%", "%"), ("\u{2212}", "-"), ("\u{03C0}", "\\pi "), ("\u{221E}", "\\infty "),
      ("\u{00B0}", ""), ("\u{00D7}", "\\times "), ("\u{00B1}", "\\pm "), ("^{\\circ}", ""), ("^\\circ", ""),
      ("^ \\circ", ""), ("^{ \\circ }", ""), ("\u{221A}", "\\sqrt "), ("{}", ""), ("**", "^"), ("#", ""),
    ] { text = text.replacing(part, with: other) }
    // Digits in groups of three.
    text = text.replacing(#/[0-9]+(,[0-9]+)+(\.[0-9]+)?/#) { run in
      run.0.wholeMatch(of: #/[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?/#) == nil
        ? String(run.0) : String(run.0.replacing(",", with: ""))
    }
    while let last = text.last, last.isWhitespace || last == "." { text.removeLast() }
    return text
  }

  /// Commands that only look.
  private static let idle: Set<String> = [
    "left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "displaystyle", "textstyle",
    "quad", "qquad", "limits", "degree", "degrees", "deg", "dots", "ldots", ",", ";", ":", "!", " ", "circ", "boxed",
  ]
  private static let wordCommands: Set<String> = [
    "text", "textbf", "textit", "textrm", "mbox", "mathrm", "mathbf", "mathit", "mathsf", "operatorname", "textnormal",
    "boldsymbol", "bold", "bf",
  ]
  private static let sameCommands = [
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "leq": "le", "geq": "ge", "leqslant": "le", "geqslant": "ge",
    "neq": "ne", "lt": "<", "gt": ">", "cdot": "*", "times": "*", "ast": "*", "div": "/", "varnothing": "emptyset",
    "lvert": "|", "rvert": "|", "vert": "|", "lbrace": "\\{", "rbrace": "\\}", "lparen": "(", "rparen": ")",
    "lbrack": "[", "rbrack": "]", "colon": ":", "mid": "|", "minus": "-", "langle": "(", "rangle": ")",
  ]

  private static func tokens(of text: String) -> [MathToken] {
    var (tokens, rest) = ([MathToken](), text[...])
    while let first = rest.first {
      switch first {
      case "\\":
        tokens += command(&rest)
      case "0"..."9", ".":
        var number = rest.prefix { ("0"..."9").contains($0) || $0 == "." }
        if let second = number.ranges(of: ".").dropFirst().first { number = number[..<second.lowerBound] }
        rest = rest[number.endIndex...]
        tokens.append(number == "." ? .sign(".") : .number(String(number)))
      case _ where first.isLetter:
        rest.removeFirst()
        tokens.append(.letter(String(first)))
      default:
        rest.removeFirst()
        if !first.isWhitespace, first != "~" { tokens.append(.sign(String(first))) }
      }
    }
    return tokens
  }

  private static func command(_ rest: inout Substring) -> [MathToken] {
    rest.removeFirst()
    let name = rest.prefix { $0.isLetter }
    guard !name.isEmpty else {
      guard let sign = rest.popFirst() else { return [] }
      return idle.contains(String(sign))
        ? [] : [.sign(sign == "\\" || sign == "{" || sign == "}" ? "\\\(sign)" : "\(sign)")]
    }
    rest = rest[name.endIndex...]
    let word = String(name)
    if idle.contains(word) { return [] }
    if let same = sameCommands[word] { return same.first?.isLetter ?? false ? [.command(same)] : [.sign(same)] }
    guard wordCommands.contains(word) else { return [.command(word)] }
    while rest.first == " " { rest.removeFirst() }
    guard rest.first == "{", let inner = AnswerText.group(rest) else { return [] }
    rest = rest[rest.index(after: inner.endIndex)...]
    let words = AnswerText.trimmed(String(inner))
    switch words.lowercased() {
    case "": return []
    case "and", "or", ",", ", and", ", or", ",and": return [.sign(",")]
    default:
      // A number in bold is a number; a unit goes with its power.
      if words.first?.isNumber ?? false { return self.tokens(of: words) }
      return [.words(words)]
    }
  }
}
