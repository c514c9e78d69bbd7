// Cuts a template's source into tokens, and decides here, once, which white space around tags survives.
//
// The rules are Jinja2's with trim_blocks and lstrip_blocks on, as transformers sets them: the newline after `%}` goes,
// the indentation before `{%` and `{#` at the start of a line goes, `-` strips all white space on its side, `+` keeps it.

import DMSPlatform

struct TemplateToken: Equatable {
  enum Kind: Equatable {
    case text(String)
    case outputBegin, outputEnd
    case tagBegin, tagEnd
    case name(String)
    case string(String)
    case integer(Int)
    case float(Double)
    case symbol(String)
    /// A value that Jinja2 knows and that is not supported here.
    case unsupported(String)
    case end
  }
  var kind: Kind
  var line: Int
}

struct TemplateLexer {
  private let source: [Unicode.Scalar]
  private let name: String
  private var index = 0
  private var line = 1
  /// Whether what was last consumed ended a line, so that indentation starts here.
  private var atLineStart = true
  private var tokens: [TemplateToken] = []
  /// Comparing Swift strings may cost the square of their length.
  private static let longestName = 255

  static func tokens(of source: String, name: String) throws -> [TemplateToken] {
    var lexer = TemplateLexer(source, name: name)
    try lexer.scan()
    return lexer.tokens
  }

  /// Line ends become `\n`, and one at the very end goes, as Jinja2 reads a source.
  private init(_ text: String, name: String) {
    var scalars: [Unicode.Scalar] = []
    scalars.reserveCapacity(text.utf8.count)
    var afterReturn = false
    for scalar in text.unicodeScalars {
      if scalar == "\n", afterReturn {
        afterReturn = false
        continue
      }
      afterReturn = scalar == "\r"
      scalars.append(afterReturn ? "\n" : scalar)
    }
    if scalars.last == "\n" { scalars.removeLast() }
    source = scalars
    self.name = name
  }

  private mutating func scan() throws {
    while index < source.count {
      let start = index
      let tag = nextTag(from: start)
      guard let tag else {
        advance(to: source.count)
        emitText(source[start...])
        break
      }
      try scanTag(at: tag, textFrom: start)
    }
    emit(.end)
  }

  /// The next `{{`, `{%` or `{#`.
  private func nextTag(from start: Int) -> Int? {
    var at = start
    while at + 1 < source.count {
      if source[at] == "{", source[at + 1] == "{" || source[at + 1] == "%" || source[at + 1] == "#" { return at }
      at += 1
    }
    return nil
  }

  private mutating func scanTag(at tag: Int, textFrom start: Int) throws {
    let opener = source[tag + 1]
    let sign = tag + 2 < source.count ? source[tag + 2] : " "
    let text = strippedBeforeTag(start..<tag, sign: sign, isOutput: opener == "{")
    let afterSign = tag + (sign == "-" || sign == "+" ? 3 : 2)
    advance(to: tag)
    emitText(text)
    let tagLine = line
    advance(to: afterSign)
    switch opener {
    case "#": try skipComment(from: tagLine)
    case "{":
      emit(.outputBegin)
      try scanInside(isOutput: true, from: tagLine)
    default:
      if try scanRaw(from: tagLine) { return }
      emit(.tagBegin)
      try scanInside(isOutput: false, from: tagLine)
    }
  }

  /// The text before a tag, without what the tag's sign or lstrip_blocks takes from its end.
  private func strippedBeforeTag(
    _ range: Range<Int>, sign: Unicode.Scalar, isOutput: Bool
  ) -> ArraySlice<Unicode.Scalar> {
    let text = source[range]
    var end = range.upperBound
    while end > range.lowerBound, source[end - 1].isTemplateSpace { end -= 1 }
    if sign == "-" { return source[range.lowerBound..<end] }
    guard sign != "+", !isOutput else { return text }
    let lineStart = text.lastIndex(of: "\n").map { $0 + 1 }
    guard let from = lineStart ?? (atLineStart ? range.lowerBound : nil), end <= from else { return text }
    return source[range.lowerBound..<from]
  }

  private mutating func skipComment(from tagLine: Int) throws {
    var at = index
    while at + 1 < source.count, !(source[at] == "#" && source[at + 1] == "}") { at += 1 }
    guard at + 1 < source.count else { throw error("a comment does not end", at: tagLine) }
    let sign: Unicode.Scalar = at > index ? source[at - 1] : " "
    advance(to: at + 2)
    finishTag(sign: sign, trimsNewline: true)
  }

  /// `{% raw %}…{% endraw %}`, whose opening `{%` is already consumed. False, with nothing consumed, for other tags.
  private mutating func scanRaw(from tagLine: Int) throws -> Bool {
    guard let opening = bareTag("raw", from: index) else { return false }
    advance(to: opening.end)
    finishTag(sign: opening.sign, trimsNewline: false)
    let start = index
    var at = start
    while let tag = nextTag(from: at) {
      at = tag + 1
      guard source[tag + 1] == "%" else { continue }
      let sign = tag + 2 < source.count ? source[tag + 2] : " "
      guard let closing = bareTag("endraw", from: tag + (sign == "-" || sign == "+" ? 3 : 2)) else { continue }
      let text = strippedBeforeTag(start..<tag, sign: sign, isOutput: false)
      emitText(text)
      advance(to: closing.end)
      finishTag(sign: closing.sign, trimsNewline: true)
      return true
    }
    throw error("{% raw %} has no {% endraw %}", at: tagLine)
  }

  /// Matches `NAME %}` with an optional sign before the `%}`.
  private func bareTag(_ word: String, from start: Int) -> (sign: Unicode.Scalar, end: Int)? {
    var at = start
    while at < source.count, source[at].isTemplateSpace { at += 1 }
    for scalar in word.unicodeScalars {
      guard at < source.count, source[at] == scalar else { return nil }
      at += 1
    }
    while at < source.count, source[at].isTemplateSpace { at += 1 }
    var sign: Unicode.Scalar = " "
    if at < source.count, source[at] == "-" || source[at] == "+" {
      sign = source[at]
      at += 1
    }
    guard at + 1 < source.count, source[at] == "%", source[at + 1] == "}" else { return nil }
    return (sign, at + 2)
  }

  /// White space after a tag: all of it for `-`, one newline where trim_blocks applies.
  private mutating func finishTag(sign: Unicode.Scalar, trimsNewline: Bool) {
    atLineStart = false
    if sign == "-" {
      var at = index
      while at < source.count, source[at].isTemplateSpace { at += 1 }
      atLineStart = at > index && source[at - 1] == "\n"
      advance(to: at)
    } else if sign != "+", trimsNewline, index < source.count, source[index] == "\n" {
      advance(to: index + 1)
      atLineStart = true
    }
  }

  // MARK: - Inside a tag

  private mutating func scanInside(isOutput: Bool, from tagLine: Int) throws {
    let closer: Unicode.Scalar = isOutput ? "}" : "%"
    var brackets: [Unicode.Scalar] = []
    while true {
      while index < source.count, source[index].isTemplateSpace { advance(to: index + 1) }
      guard index < source.count else { throw error("a tag does not end", at: tagLine) }
      if brackets.isEmpty, let sign = closing(closer, isOutput: isOutput) {
        emit(isOutput ? .outputEnd : .tagEnd)
        advance(to: index + (sign == " " ? 2 : 3))
        finishTag(sign: sign, trimsNewline: !isOutput)
        return
      }
      try scanToken(&brackets)
    }
  }

  /// The sign of the tag's end if it ends here; a space for none.
  private func closing(_ closer: Unicode.Scalar, isOutput: Bool) -> Unicode.Scalar? {
    func ends(at place: Int) -> Bool {
      place + 1 < source.count && source[place] == closer && source[place + 1] == "}"
    }
    if ends(at: index) { return " " }
    let sign = source[index]
    guard sign == "-" || (sign == "+" && !isOutput), ends(at: index + 1) else { return nil }
    return sign
  }

  private mutating func scanToken(_ brackets: inout [Unicode.Scalar]) throws {
    let scalar = source[index]
    if scalar == "'" || scalar == "\"" { return try scanString(quote: scalar) }
    if scalar.isTemplateDigit { return try scanNumber() }
    if scalar.startsTemplateName {
      var end = index + 1
      while end < source.count, source[end].continuesTemplateName { end += 1 }
      guard end - index <= Self.longestName else {
        throw error("a name of more than \(Self.longestName) characters", at: line)
      }
      emit(.name(String(scalars: source[index..<end])))
      return advance(to: end)
    }
    if index + 1 < source.count {
      let pair = String(scalars: source[index...(index + 1)])
      if ["**", "//", "==", "!=", ">=", "<="].contains(pair) {
        emit(.symbol(pair))
        return advance(to: index + 2)
      }
    }
    switch scalar {
    case "(": brackets.append(")")
    case "[": brackets.append("]")
    case "{": brackets.append("}")
    case ")", "]", "}":
      guard brackets.popLast() == scalar else { throw error("\"\(scalar)\" closes nothing", at: line) }
    case "+", "-", "*", "/", "%", "~", "<", ">", "=", ".", ":", "|", ",": break
    default: throw error("the character \(scalar.debugDescription) has no meaning in a tag", at: line)
    }
    emit(.symbol(String(Character(scalar))))
    advance(to: index + 1)
  }

  private mutating func scanNumber() throws {
    func digits(from start: Int) -> Int {
      var end = start
      while end < source.count, source[end].isTemplateDigit || (source[end] == "_" && end > start) { end += 1 }
      return end
    }
    var end = digits(from: index)
    var isFloat = false
    // `matrix.0.1` reads two integers: what follows a dot is never a fraction.
    if tokens.last?.kind != .symbol(".") {
      if end + 1 < source.count, source[end] == ".", source[end + 1].isTemplateDigit {
        isFloat = true
        end = digits(from: end + 1)
      }
      if end < source.count, source[end] == "e" || source[end] == "E" {
        let signed = end + 1 < source.count && (source[end + 1] == "+" || source[end + 1] == "-")
        let exponent = digits(from: end + (signed ? 2 : 1))
        if exponent > end + (signed ? 2 : 1) {
          isFloat = true
          end = exponent
        }
      }
    }
    let text = String(scalars: source[index..<end].filter { $0 != "_" })
    if isFloat {
      guard let value = Double(text) else { throw error("\(text) is not a number", at: line) }
      emit(.float(value))
    } else {
      emit(Int(text).map { .integer($0) } ?? .unsupported("an integer beyond 64 bits"))
    }
    advance(to: end)
  }

  private mutating func scanString(quote: Unicode.Scalar) throws {
    let startLine = line
    var namesCharacters = false
    var text = String.UnicodeScalarView()
    var at = index + 1
    while at < source.count, source[at] != quote {
      guard source[at] == "\\" else {
        text.append(source[at])
        at += 1
        continue
      }
      guard at + 1 < source.count else { break }
      if source[at + 1] == "N" { namesCharacters = true }
      at = try unescape(at + 1, into: &text)
    }
    guard at < source.count else { throw error("a string does not end", at: startLine) }
    let kind: TemplateToken.Kind =
      namesCharacters ? .unsupported("the escape \\N in a string") : .string(String(text))
    tokens.append(TemplateToken(kind: kind, line: startLine))
    advance(to: at + 1)
  }

  /// One escape, whose backslash stands before `at`, as Python reads it; returns where it ends.
  private func unescape(_ at: Int, into text: inout String.UnicodeScalarView) throws -> Int {
    func code(_ count: Int, radix: UInt32, from start: Int) throws -> Int {
      var value: UInt32 = 0
      var end = start
      while end < start + count, end < source.count, let digit = source[end].templateDigitValue, digit < radix {
        value = value &* radix &+ digit
        end += 1
      }
      guard radix == 8 || end == start + count, let scalar = Unicode.Scalar(value) else {
        throw error("a string holds a malformed escape", at: line)
      }
      text.append(scalar)
      return end
    }
    switch source[at] {
    case "\n": break
    case "\\", "'", "\"": text.append(source[at])
    case "a": text.append("\u{07}")
    case "b": text.append("\u{08}")
    case "f": text.append("\u{0C}")
    case "n": text.append("\n")
    case "r": text.append("\r")
    case "t": text.append("\t")
    case "v": text.append("\u{0B}")
    case "0"..."7": return try code(3, radix: 8, from: at)
    case "x": return try code(2, radix: 16, from: at + 1)
    case "u": return try code(4, radix: 16, from: at + 1)
    case "U": return try code(8, radix: 16, from: at + 1)
    default:
      text.append("\\")
      text.append(source[at])
    }
    return at + 1
  }

  // MARK: - Bookkeeping

  private mutating func emit(_ kind: TemplateToken.Kind) { tokens.append(TemplateToken(kind: kind, line: line)) }

  private mutating func emitText(_ text: ArraySlice<Unicode.Scalar>) {
    if !text.isEmpty { emit(.text(String(scalars: text))) }
  }

  /// Moves on, counting lines.
  private mutating func advance(to end: Int) {
    while index < end {
      if source[index] == "\n" { line += 1 }
      index += 1
    }
  }

  private func error(_ problem: String, at line: Int) -> InputError {
    InputError(
      "not a valid chat template: \(problem)", at: "\(name), line \(line)",
      remedy: "correct the template, or give the prompt without one")
  }
}

extension Unicode.Scalar {
  fileprivate var isTemplateDigit: Bool { ("0"..."9").contains(self) }

  fileprivate var templateDigitValue: UInt32? {
    switch self {
    case "0"..."9": value - 0x30
    case "a"..."f": value - 0x61 + 10
    case "A"..."F": value - 0x41 + 10
    default: nil
    }
  }

  fileprivate var startsTemplateName: Bool {
    switch self {
    case "a"..."z", "A"..."Z", "_": true
    default: value >= 0x80 && properties.isXIDStart
    }
  }

  fileprivate var continuesTemplateName: Bool {
    startsTemplateName || isTemplateDigit || (value >= 0x80 && properties.isXIDContinue)
  }
}
