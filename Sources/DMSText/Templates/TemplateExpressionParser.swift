// Expressions, by Jinja2's precedence: conditional, or, and, not, comparisons, + -, ~, * / // %, **, signs, then what
// follows a value: attributes, items, calls, filters, tests.

extension TemplateParser {
  /// One expression.
  mutating func expression() throws -> TemplateExpression { try nested { try $0.conditional() } }

  /// One expression, or several with commas between: a tuple. Heads of `if` and `for` end at `if`: `conditional: false`.
  mutating func tupleExpression(conditional: Bool = true) throws -> TemplateExpression {
    let line = line
    func one(_ parser: inout TemplateParser) throws -> TemplateExpression {
      conditional ? try parser.expression() : try parser.nested { try $0.disjunction() }
    }
    let first = try one(&self)
    guard current == .symbol(",") else { return first }
    var elements = [first]
    while accept(",") {
      switch current {
      case .tagEnd, .outputEnd, .symbol(")"): break
      default: elements.append(try one(&self))
      }
    }
    return try make(.tuple(elements), elements.map(\.depth).max() ?? 0, line: line)
  }

  /// Filters without a value, at the head of `{% filter %}`.
  mutating func filterHead() throws -> TemplateExpression {
    let captured = TemplateExpression(form: .captured, line: line, depth: 1)
    return try filters(of: try filter(of: captured))
  }

  mutating func filters(of value: TemplateExpression) throws -> TemplateExpression {
    var value = value
    while accept("|") { value = try filter(of: value) }
    return value
  }

  private func make(_ form: TemplateExpression.Form, _ below: Int, line: Int) throws -> TemplateExpression {
    guard below < TemplateExpression.deepest else {
      throw error("an expression of more than \(TemplateExpression.deepest) levels", line: line)
    }
    return TemplateExpression(form: form, line: line, depth: below + 1)
  }

  // MARK: - Operators

  private mutating func conditional() throws -> TemplateExpression {
    let line = line
    let known = unknown.count
    var value = try disjunction()
    while accept(word: "if") {
      let condition = try disjunction()
      let otherwise = accept(word: "else") ? try expression() : nil
      value = try make(
        .conditional(if: condition, then: value, else: otherwise),
        max(value.depth, condition.depth, otherwise?.depth ?? 0), line: line)
      // What is unknown in a branch or the condition fails when it is reached.
      unknown.removeLast(unknown.count - known)
    }
    return value
  }

  mutating func disjunction() throws -> TemplateExpression {
    var left = try conjunction()
    while current == .name("or") {
      let line = line
      advance()
      let right = try conjunction()
      left = try make(.or(left, right), max(left.depth, right.depth), line: line)
    }
    return left
  }

  private mutating func conjunction() throws -> TemplateExpression {
    var left = try negation()
    while current == .name("and") {
      let line = line
      advance()
      let right = try negation()
      left = try make(.and(left, right), max(left.depth, right.depth), line: line)
    }
    return left
  }

  private mutating func negation() throws -> TemplateExpression {
    let line = line
    guard accept(word: "not") else { return try comparison() }
    let value = try nested { try $0.negation() }
    return try make(.not(value), value.depth, line: line)
  }

  private mutating func comparison() throws -> TemplateExpression {
    let line = line
    let left = try sum()
    var links: [(TemplateComparison, TemplateExpression)] = []
    while let comparison = nextComparison() {
      advance()
      if comparison == .notContained { advance() }
      links.append((comparison, try sum()))
    }
    if links.isEmpty { return left }
    return try make(.comparison(left, links), max(left.depth, links.map(\.1.depth).max() ?? 0), line: line)
  }

  private func nextComparison() -> TemplateComparison? {
    switch current {
    case .symbol(let symbol): TemplateComparison(rawValue: symbol)
    case .name("in"): .contained
    case .name("not") where next == .name("in"): .notContained
    default: nil
    }
  }

  private mutating func sum() throws -> TemplateExpression {
    try chain(["+", "-"]) { try $0.concatenation() }
  }

  private mutating func concatenation() throws -> TemplateExpression {
    let line = line
    var parts = [try product()]
    while accept("~") { parts.append(try product()) }
    if parts.count == 1 { return parts[0] }
    return try make(.concatenation(parts), parts.map(\.depth).max() ?? 0, line: line)
  }

  private mutating func product() throws -> TemplateExpression {
    try chain(["*", "/", "//", "%"]) { parser in try parser.chain(["**"]) { try $0.signed() } }
  }

  /// Left to right over operators of one rank.
  private mutating func chain(
    _ symbols: [String], of operand: (inout TemplateParser) throws -> TemplateExpression
  ) throws -> TemplateExpression {
    var left = try operand(&self)
    while case .symbol(let symbol) = current, symbols.contains(symbol), let kind = TemplateOperator(rawValue: symbol) {
      let line = line
      advance()
      let right = try operand(&self)
      left = try make(.arithmetic(kind, left, right), max(left.depth, right.depth), line: line)
    }
    return left
  }

  private mutating func signed(filtered: Bool = true) throws -> TemplateExpression {
    let line = line
    var value: TemplateExpression
    if current == .symbol("-") || current == .symbol("+") {
      let negative = current == .symbol("-")
      advance()
      let operand = try nested { try $0.signed(filtered: false) }
      value = try make(.sign(operand, negative: negative), operand.depth, line: line)
    } else {
      value = try postfix(of: try primary())
    }
    guard filtered else { return value }
    while true {
      if accept("|") {
        value = try filter(of: value)
      } else if current == .name("is") {
        value = try test(of: value)
      } else if current == .symbol("(") {
        value = try call(value)
      } else {
        return value
      }
    }
  }

  // MARK: - Values

  private mutating func primary() throws -> TemplateExpression {
    let line = line
    func constant(_ value: TemplateValue) throws -> TemplateExpression { try make(.constant(value), 0, line: line) }
    switch current {
    case .name(let name):
      advance()
      switch name {
      case "true", "True": return try constant(.bool(true))
      case "false", "False": return try constant(.bool(false))
      case "none", "None": return try constant(.none)
      default: return try make(.name(name), 0, line: line)
      }
    case .string(var text):
      advance()
      while case .string(let more) = current {
        text += more
        advance()
      }
      return try constant(.string(text))
    case .integer(let value):
      advance()
      return try constant(.integer(value))
    case .float(let value):
      advance()
      return try constant(.float(value))
    case .unsupported(let construct):
      advance()
      return try make(.unsupported(construct), 0, line: line)
    case .symbol("("):
      advance()
      return try parenthesized(line: line)
    case .symbol("["):
      advance()
      let elements = try elements(until: "]")
      return try make(.list(elements), elements.map(\.depth).max() ?? 0, line: line)
    case .symbol("{"):
      advance()
      return try dictionary(line: line)
    default: throw error("a value is expected, \(describe(current)) stands there")
    }
  }

  private mutating func parenthesized(line: Int) throws -> TemplateExpression {
    if accept(")") { return try make(.tuple([]), 0, line: line) }
    let value = try tupleExpression()
    try expect(")")
    return value
  }

  private mutating func elements(until end: String) throws -> [TemplateExpression] {
    var elements: [TemplateExpression] = []
    while !accept(end) {
      if !elements.isEmpty {
        try expect(",")
        if accept(end) { break }
      }
      elements.append(try expression())
    }
    return elements
  }

  private mutating func dictionary(line: Int) throws -> TemplateExpression {
    var members: [(key: TemplateExpression, value: TemplateExpression)] = []
    while !accept("}") {
      if !members.isEmpty {
        try expect(",")
        if accept("}") { break }
      }
      let key = try expression()
      try expect(":")
      members.append((key, try expression()))
    }
    let below = members.map { max($0.key.depth, $0.value.depth) }.max() ?? 0
    return try make(.dictionary(members), below, line: line)
  }

  // MARK: - What follows a value

  private mutating func postfix(of value: TemplateExpression) throws -> TemplateExpression {
    var value = value
    while true {
      let line = line
      if accept(".") {
        switch current {
        case .name(let name): value = try make(.attribute(value, name), value.depth, line: line)
        case .integer(let number):
          let item = try make(.constant(.integer(number)), 0, line: line)
          value = try make(.item(value, item), value.depth, line: line)
        default: throw error("a name is expected after the dot, \(describe(current)) stands there")
        }
        advance()
      } else if accept("[") {
        value = try subscripted(value, line: line)
      } else if current == .symbol("(") {
        value = try call(value)
      } else {
        return value
      }
    }
  }

  private enum Subscript {
    case item(TemplateExpression)
    case slice(TemplateSlice)
  }

  private mutating func subscripted(_ value: TemplateExpression, line: Int) throws -> TemplateExpression {
    let first = try subscriptPart()
    guard case .item(let item) = first else {
      guard case .slice(let slice) = first, accept("]") else { throw error("\"]\" is expected after a slice") }
      let bounds = [slice.start, slice.stop, slice.step].compactMap(\.self).map(\.depth)
      return try make(.slice(value, slice), max(value.depth, bounds.max() ?? 0), line: line)
    }
    var items = [item]
    while accept(",") {
      guard case .item(let item) = try subscriptPart() else { throw error("a slice stands among indices") }
      items.append(item)
    }
    try expect("]")
    let below = max(value.depth, items.map(\.depth).max() ?? 0)
    guard items.count > 1 else { return try make(.item(value, item), below, line: line) }
    return try make(.item(value, try make(.tuple(items), below, line: line)), below + 1, line: line)
  }

  private mutating func subscriptPart() throws -> Subscript {
    var slice = TemplateSlice()
    if current != .symbol(":") {
      let item = try expression()
      guard current == .symbol(":") else { return .item(item) }
      slice.start = item
    }
    try expect(":")
    func isEnd(_ parser: borrowing TemplateParser) -> Bool {
      [.symbol(":"), .symbol(","), .symbol("]")].contains(parser.current)
    }
    if !isEnd(self) { slice.stop = try expression() }
    if accept(":"), !isEnd(self) { slice.step = try expression() }
    return .slice(slice)
  }

  private mutating func call(_ function: TemplateExpression) throws -> TemplateExpression {
    let line = line
    let arguments = try arguments()
    return try make(.call(function, arguments), max(function.depth, arguments.depth), line: line)
  }

  /// Arguments in parentheses.
  private mutating func arguments() throws -> TemplateArguments {
    var arguments = TemplateArguments()
    try expect("(")
    var isFirst = true
    var names: Set<String> = []
    while !accept(")") {
      if !isFirst {
        try expect(",")
        if accept(")") { break }
      }
      isFirst = false
      if accept("**") {
        guard arguments.namedSpread == nil else { throw error("a second ** argument") }
        arguments.namedSpread = try expression()
      } else if accept("*") {
        guard arguments.spread == nil, arguments.named.isEmpty else { throw error("a misplaced * argument") }
        arguments.spread = try expression()
      } else if case .name(let name) = current, next == .symbol("=") {
        advance()
        advance()
        guard names.insert(name).inserted else {
          throw error("the argument \"\(name)\" is given twice")
        }
        arguments.named.append((name, try expression()))
      } else {
        guard arguments.named.isEmpty, arguments.spread == nil, arguments.namedSpread == nil else {
          throw error("a positional argument follows a named one")
        }
        arguments.positional.append(try expression())
      }
    }
    return arguments
  }

  private mutating func filter(of value: TemplateExpression) throws -> TemplateExpression {
    let line = line
    let name = try dottedName()
    let isSupported = TemplateInterpreter.filters.contains(name)
    if !isSupported { note("the filter \"\(name)\"", isKnown: TemplateInterpreter.knownFilters.contains(name), line) }
    let arguments = current == .symbol("(") ? try arguments() : TemplateArguments()
    guard isSupported else { return try make(.unsupported("the filter \"\(name)\""), value.depth, line: line) }
    return try make(.filter(value, name, arguments), max(value.depth, arguments.depth), line: line)
  }

  /// A filter's or test's name may have dots.
  private mutating func dottedName() throws -> String {
    var parts = [try name()]
    while accept(".") { parts.append(try name()) }
    return parts.joinedText(by: ".")
  }

  /// What is not supported fails here if Jinja2 does not know it either and it stands outside of every `if`.
  private mutating func note(_ construct: String, isKnown: Bool, _ line: Int) {
    if !isKnown, !isConditional { unknown.append(unsupported(construct, line: line)) }
  }

  private mutating func test(of value: TemplateExpression) throws -> TemplateExpression {
    let line = line
    advance()
    let negated = accept(word: "not")
    let name = try dottedName()
    let isSupported = TemplateInterpreter.tests.contains(name)
    if !isSupported { note("the test \"\(name)\"", isKnown: false, line) }
    var arguments = TemplateArguments()
    switch current {
    case .symbol("("): arguments = try self.arguments()
    case .name("else"), .name("or"), .name("and"), .name("if"), .name("is"), .name("in"), .name("not"): break
    // `is divisibleby 3`: one argument may stand without parentheses.
    case .name, .string, .integer, .float, .symbol("["), .symbol("{"):
      arguments.positional = [try nested { try $0.postfix(of: try $0.primary()) }]
    default: break
    }
    guard isSupported else { return try make(.unsupported("the test \"\(name)\""), value.depth, line: line) }
    return try make(
      .test(value, name, arguments, negated: negated), max(value.depth, arguments.depth), line: line)
  }
}
