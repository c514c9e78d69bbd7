// What an answer is as a whole: an expression, several in brackets of a kind, a matrix, an equation or inequality, or words.

/// A mathematical answer.
indirect enum MathAnswer {
  case expression(MathExpression, Form)
  /// In round or square brackets, in order: a tuple, a point, an interval.
  case sequence([MathAnswer], open: String, close: String)
  /// In curly brackets or in none: in any order.
  case set([MathAnswer])
  case matrix([[MathAnswer]])
  /// Expressions with `=`, `<` and so on between them.
  case relation([MathExpression], [String])
  /// What is no mathematics: its letters, in lower case.
  case words(String)

  /// How an expression is written, where that matters.
  struct Form {
    /// Whether a decimal fraction is in it.
    var isDecimal = false
    /// Whether it is in hundredths.
    var isPercent = false
    /// The base that a number is written in; `nil` for none said.
    var base: [MathToken]?
    /// The digits of a whole number.
    var digits: String?
  }

  /// Reads an answer. Cost: linear in its length but for nesting.
  init(_ text: String) { self = Self.list(MathToken.all(of: text)[...], 0) }

  /// Brackets in brackets that make sets of sets; deeper ones are no answers, and cost much to compare.
  private static let deepest = 8

  private static let openers: Set<String> = ["(", "[", "{", "\\{"]
  private static let closers: Set<String> = [")", "]", "}", "\\}"]
  private static let relations: Set<MathToken> = [
    .sign("="), .sign("<"), .sign(">"), .command("le"), .command("ge"), .command("ne"),
  ]

  /// Parts between tokens that stand in no brackets; `nil` where brackets do not match.
  private static func split(
    _ tokens: ArraySlice<MathToken>, at isSeparator: (MathToken) -> Bool
  ) -> (parts: [ArraySlice<MathToken>], separators: [MathToken])? {
    var (parts, separators, begin, depth) = ([ArraySlice<MathToken>](), [MathToken](), tokens.startIndex, 0)
    for place in tokens.indices {
      let token = tokens[place]
      if case .sign(let sign) = token {
        if openers.contains(sign) { depth += 1 }
        if closers.contains(sign) { depth -= 1 }
        if depth < 0 { return nil }
      }
      if token == .command("begin") { depth += 1 }
      if token == .command("end") { depth -= 1 }
      if depth == 0, isSeparator(token) {
        parts.append(tokens[begin..<place])
        separators.append(token)
        begin = place + 1
      }
    }
    return depth == 0 ? (parts + [tokens[begin...]], separators) : nil
  }

  /// - Parameter depth: of brackets around the tokens.
  private static func list(_ tokens: ArraySlice<MathToken>, _ depth: Int, isInside: Bool = false) -> MathAnswer {
    let parts = split(tokens) { $0 == .sign(",") || $0 == .sign(";") }?.parts.filter { !$0.isEmpty } ?? [tokens]
    if parts.count == 1, !isInside { return item(parts[0], depth) }
    return .set(parts.map { item($0, depth) })
  }

  private static func item(_ tokens: ArraySlice<MathToken>, _ depth: Int) -> MathAnswer {
    guard depth <= deepest else { return .words("") }
    if let (parts, _) = split(tokens, at: { $0 == .command("cup") }), parts.count > 1 {
      return .set(parts.map { item($0, depth) })
    }
    if let (parts, _) = split(tokens, at: { $0 == .command("in") }), parts.count == 2 {
      return item(parts[1], depth)
    }
    if tokens.elementsEqual([.command("emptyset")]) { return .set([]) }
    if let bracketed = bracketed(tokens, depth + 1) { return bracketed }
    if let matrix = matrix(tokens, depth + 1) { return matrix }
    if let (parts, signs) = split(tokens, at: relations.contains), !signs.isEmpty {
      let sides = parts.map(MathParser.expression)
      guard sides.allSatisfy({ $0 != nil }) else {
        // The value of something that is named in words.
        return signs == [.sign("=")] ? item(parts[1], depth) : words(tokens)
      }
      return .relation(sides.compactMap { $0 }, signs.map(name))
    }
    if tokens.contains(where: { $0 == .command("pm") || $0 == .command("mp") }) {
      func chosen(_ plus: String, _ minus: String) -> MathAnswer {
        item(tokens.map { $0 == .command("pm") ? .sign(plus) : $0 == .command("mp") ? .sign(minus) : $0 }[...], depth)
      }
      return .set([chosen("+", "-"), chosen("-", "+")])
    }
    return expression(tokens)
  }

  private static func words(_ tokens: ArraySlice<MathToken>) -> MathAnswer {
    .words(
      tokens.map { token in
        switch token {
        case .number(let text), .letter(let text), .command(let text), .words(let text), .sign(let text):
          text.lowercased().filter { !$0.isWhitespace }
        }
      }.joined())
  }

  private static func name(_ relation: MathToken) -> String {
    switch relation {
    case .sign(let sign): sign
    case .command(let name): name
    default: ""
    }
  }

  /// All tokens in one pair of brackets with several parts, or in curly ones.
  private static func bracketed(_ tokens: ArraySlice<MathToken>, _ depth: Int) -> MathAnswer? {
    guard tokens.count >= 2, case .sign(let open)? = tokens.first, case .sign(let close)? = tokens.last,
      openers.contains(open), closers.contains(close)
    else { return nil }
    var opened = 0
    for place in tokens.indices.dropLast() {
      if case .sign(let sign) = tokens[place] {
        opened += openers.contains(sign) ? 1 : closers.contains(sign) ? -1 : 0
      }
      if opened == 0 { return nil }
    }
    let inner = tokens.dropFirst().dropLast()
    if open == "\\{" { return list(inner, depth, isInside: true) }
    if open == "{" { return item(inner, depth) }
    guard let (parts, _) = split(inner, at: { $0 == .sign(",") || $0 == .sign(";") }), parts.count > 1 else {
      return nil
    }
    return .sequence(parts.map { item($0, depth) }, open: open, close: close)
  }

  private static func matrix(_ tokens: ArraySlice<MathToken>, _ depth: Int) -> MathAnswer? {
    // \begin{pmatrix} … \end{pmatrix}, whatever its brackets.
    guard tokens.first == .command("begin"), let end = tokens.lastIndex(of: .command("end")),
      let open = tokens.firstIndex(of: .sign("}")), open < end,
      tokens[(end + 1)...].allSatisfy({ $0 != .command("begin") }),
      tokens[..<open].contains(.letter("x"))
    else { return nil }
    let inner = tokens[(open + 1)..<end]
    guard let rows = split(inner, at: { $0 == .sign("\\\\") })?.parts.filter({ !$0.isEmpty }) else { return nil }
    return .matrix(rows.map { row in (split(row) { $0 == .sign("&") }?.parts ?? [row]).map { item($0, depth) } })
  }

  private static func expression(_ tokens: ArraySlice<MathToken>) -> MathAnswer {
    var form = Form()
    var tokens = tokens
    // A number in a base: 52_8.
    if case .number? = tokens.first, tokens.dropFirst().first == .sign("_") {
      form.base = tokens.dropFirst(2).filter { $0 != .sign("{") && $0 != .sign("}") }
      tokens = tokens.prefix(1)
    }
    let hasValue = tokens.contains { token in
      switch token {
      case .number, .letter, .command: true
      case .words, .sign: false
      }
    }
    guard hasValue, let value = MathParser.expression(tokens) else { return words(tokens) }
    form.isPercent = tokens.contains(.sign("%"))
    form.isDecimal = tokens.contains { if case .number(let digits) = $0 { digits.contains(".") } else { false } }
    if tokens.count <= 2, case .number(let digits)? = tokens.last, tokens.count == 1 || tokens.first == .sign("-"),
      !form.isDecimal
    {
      let plain = digits.drop { $0 == "0" }
      form.digits = (tokens.count == 2 && !plain.isEmpty ? "-" : "") + plain
    }
    return .expression(value, form)
  }
}
