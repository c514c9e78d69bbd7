// From tokens to statements. Expressions are parsed in TemplateExpressionParser.swift.
//
// As in Jinja2, a construct that is not supported fails when it is reached, and an unknown tag fails here. An unknown filter
// or test fails here, too, unless it stands right inside of an `if`, whose other branch may be there to avoid it. Nothing is
// ignored or half done.

import DMSPlatform

struct TemplateParser {
  let tokens: [TemplateToken]
  let source: String
  var index = 0
  private var nesting = 0
  private var loops = 0
  /// Whether unknown filters and tests may fail when they are reached: right inside of an `if`, but not inside of another
  /// block there.
  private(set) var isConditional = false
  /// Unknown filters and tests that stand outside.
  var unknown: [InputError] = []
  private static let deepestNesting = 64

  static func statements(of tokens: [TemplateToken], source: String) throws -> [TemplateStatement] {
    var parser = TemplateParser(tokens: tokens, source: source)
    let statements = try parser.body(until: [], of: "")
    return statements
  }

  private init(tokens: [TemplateToken], source: String) {
    self.tokens = tokens
    self.source = source
  }

  // MARK: - Tokens

  /// The lexer ends every list of tokens with `.end`, and nothing moves past it.
  var current: TemplateToken.Kind { index < tokens.count ? tokens[index].kind : .end }
  var next: TemplateToken.Kind { index + 1 < tokens.count ? tokens[index + 1].kind : .end }
  var line: Int { index < tokens.count ? tokens[index].line : tokens.last?.line ?? 1 }

  mutating func advance() { if index < tokens.count { index += 1 } }

  mutating func accept(_ symbol: String) -> Bool {
    guard current == .symbol(symbol) else { return false }
    advance()
    return true
  }

  mutating func accept(word: String) -> Bool {
    guard current == .name(word) else { return false }
    advance()
    return true
  }

  mutating func expect(_ symbol: String) throws {
    guard accept(symbol) else { throw error("\"\(symbol)\" is expected, \(describe(current)) stands there") }
  }

  mutating func name() throws -> String {
    guard case .name(let name) = current else {
      throw error("a name is expected, \(describe(current)) stands there")
    }
    advance()
    return name
  }

  func describe(_ kind: TemplateToken.Kind) -> String {
    switch kind {
    case .text: "text"
    case .outputBegin: "\"{{\""
    case .outputEnd: "\"}}\""
    case .tagBegin: "\"{%\""
    case .tagEnd: "\"%}\""
    case .name(let name): "\"\(name)\""
    case .string: "a string"
    case .integer(let value): "\(value)"
    case .float(let value): "\(value)"
    case .symbol(let symbol): "\"\(symbol)\""
    case .unsupported(let construct): construct
    case .end: "the template's end"
    }
  }

  func error(_ problem: String, line: Int? = nil) -> InputError {
    InputError(
      "not a valid chat template: \(problem)", at: "\(source), line \(line ?? self.line)",
      remedy: "correct the template, or give the prompt without one")
  }

  func unsupported(_ construct: String, line: Int? = nil) -> InputError {
    InputError(
      "the chat template uses \(construct), which is not supported", at: "\(source), line \(line ?? self.line)",
      remedy: "use a template without it, or a prompt without a template")
  }

  /// Counts a level of recursion: a stack is finite and templates come from outside.
  mutating func nested<Result>(_ parse: (inout TemplateParser) throws -> Result) throws -> Result {
    nesting += 1
    defer { nesting -= 1 }
    guard nesting <= Self.deepestNesting else { throw error("nested deeper than \(Self.deepestNesting) levels") }
    return try parse(&self)
  }

  // MARK: - Statements

  /// Statements up to a tag named in `ends`, of which `{% NAME` is consumed; up to the template's end if `ends` is empty.
  private mutating func body(until ends: [String], of tag: String) throws -> [TemplateStatement] {
    // The token before is the end of the opening tag.
    let start = index > 0 ? tokens[index - 1].line : line
    var statements: [TemplateStatement] = []
    while true {
      let line = line
      switch current {
      case .text(let text):
        advance()
        statements.append(TemplateStatement(form: .text(text), line: line))
      case .outputBegin:
        advance()
        let value = try tupleExpression()
        if let error = unknown.first { throw error }
        guard current == .outputEnd else { throw error("\"}}\" is expected, \(describe(current)) stands there") }
        advance()
        statements.append(TemplateStatement(form: .output(value), line: line))
      case .tagBegin:
        advance()
        if case .name(let name) = current, ends.contains(name) { return statements }
        let form = try nested { try $0.statement() }
        if let error = unknown.first { throw error }
        statements.append(TemplateStatement(form: form, line: line))
      default:
        guard ends.isEmpty, current == .end else {
          throw error("{% \(tag) %} has no {% \(ends.last ?? "") %}", line: start)
        }
        return statements
      }
    }
  }

  /// Parses what stands inside of an `if`, or no longer right inside of one.
  private mutating func within<Result>(
    conditional: Bool, _ parse: (inout TemplateParser) throws -> Result
  ) rethrows -> Result {
    let outer = isConditional
    isConditional = conditional
    defer { isConditional = outer }
    return try parse(&self)
  }

  /// The body of `tag` and its end tag.
  private mutating func block(_ tag: String) throws -> [TemplateStatement] {
    let statements = try within(conditional: false) { try $0.body(until: ["end\(tag)"], of: tag) }
    advance()
    // `{% endmacro NAME %}` and `{% endset NAME %}` are allowed; the name is a comment.
    if tag == "macro", case .name = current { advance() }
    try tagEnd()
    return statements
  }

  private mutating func tagEnd() throws {
    guard current == .tagEnd else { throw error("\"%}\" is expected, \(describe(current)) stands there") }
    advance()
  }

  private mutating func statement() throws -> TemplateStatement.Form {
    let line = line
    let tag = try name()
    switch tag {
    case "if": return try within(conditional: true) { try $0.branch() }
    case "for": return try loop()
    case "set": return try assignment()
    case "macro": return try macro()
    case "call": return try callBlock()
    case "filter":
      let filters = try within(conditional: false) { try $0.filterHead() }
      try tagEnd()
      return .filter(filters, try block("filter"))
    case "with": return try with()
    case "print":
      let value = try tupleExpression()
      try tagEnd()
      guard case .tuple(let values) = value.form else { return .output(value) }
      return .output(TemplateExpression(form: .concatenation(values), line: line, depth: value.depth))
    case "autoescape", "block", "extends", "from", "import", "include":
      try skip(tag)
      return .unsupported("{% \(tag) %}")
    case "generation":
      try tagEnd()
      return .scoped(try outsideLoops { try $0.block("generation") })
    case "break", "continue":
      guard loops > 0 else { throw error("{% \(tag) %} stands outside of a loop", line: line) }
      try tagEnd()
      return tag == "break" ? .leave : .next
    case "else", "elif", "endif", "endfor", "endset", "endmacro", "endcall", "endfilter", "endwith", "endgeneration",
      "endraw", "endblock", "endautoescape":
      throw error("{% \(tag) %} closes nothing", line: line)
    default: throw unsupported("{% \(tag) %}", line: line)
    }
  }

  /// Passes a statement that is not supported, but must be well formed: the rest of its tag, and its body if it has one.
  private mutating func skip(_ tag: String) throws {
    switch tag {
    case "block":
      let name = try name()
      for word in ["scoped", "required"] { _ = accept(word: word) }
      try tagEnd()
      _ = try within(conditional: false) { try $0.body(until: ["endblock"], of: tag) }
      advance()
      _ = accept(word: name)
    case "autoescape":
      _ = try expression()
      try tagEnd()
      return _ = try block(tag)
    case "extends": _ = try expression()
    case "include":
      _ = try expression()
      if accept(word: "ignore"), !accept(word: "missing") { throw error("\"missing\" is expected after \"ignore\"") }
      acceptContext()
    default:
      _ = try expression()
      let word = tag == "import" ? "as" : "import"
      guard accept(word: word) else { throw error("\"\(word)\" is expected, \(describe(current)) stands there") }
      repeat {
        if acceptContext() { break }
        _ = try name()
        if tag == "from", accept(word: "as") { _ = try name() }
      } while tag == "from" && accept(",")
      acceptContext()
    }
    try tagEnd()
  }

  @discardableResult
  private mutating func acceptContext() -> Bool {
    guard current == .name("with") || current == .name("without"), next == .name("context") else { return false }
    advance()
    advance()
    return true
  }

  private mutating func branch() throws -> TemplateStatement.Form {
    var branches: [(condition: TemplateExpression, body: [TemplateStatement])] = []
    while true {
      let condition = try tupleExpression(conditional: false)
      try tagEnd()
      branches.append((condition, try body(until: ["elif", "else", "endif"], of: "if")))
      if accept(word: "elif") { continue }
      var otherwise: [TemplateStatement] = []
      if accept(word: "else") {
        try tagEnd()
        otherwise = try body(until: ["endif"], of: "if")
      }
      advance()
      try tagEnd()
      return .branch(branches, otherwise: otherwise)
    }
  }

  private mutating func loop() throws -> TemplateStatement.Form {
    let target = try target(member: false)
    guard accept(word: "in") else { throw error("\"in\" is expected, \(describe(current)) stands there") }
    let sequence = try tupleExpression(conditional: false)
    return try within(conditional: false) { parser in
      let condition = parser.accept(word: "if") ? try parser.expression() : nil
      // The mark changes nothing until the loop is called.
      _ = parser.accept(word: "recursive")
      try parser.tagEnd()
      parser.loops += 1
      defer { parser.loops -= 1 }
      let statements = try parser.body(until: ["else", "endfor"], of: "for")
      var otherwise: [TemplateStatement] = []
      if parser.accept(word: "else") {
        try parser.tagEnd()
        otherwise = try parser.body(until: ["endfor"], of: "for")
      }
      parser.advance()
      try parser.tagEnd()
      return .loop(
        TemplateLoop(
          target: target, sequence: sequence, condition: condition, body: statements, otherwise: otherwise))
    }
  }

  private mutating func assignment() throws -> TemplateStatement.Form {
    let target = try target(member: true)
    if accept("=") {
      let value = try tupleExpression()
      try tagEnd()
      return .assign(target, value)
    }
    let captured = TemplateExpression(form: .captured, line: line, depth: 1)
    let filters = try within(conditional: false) { try $0.filters(of: captured) }
    try tagEnd()
    return .capture(target, filters, try block("set"))
  }

  private mutating func target(member: Bool) throws -> TemplateTarget {
    var targets = [try singleTarget(member: member)]
    var isTuple = false
    while accept(",") {
      isTuple = true
      guard case .name = current, current != .name("in") else {
        guard current == .symbol("(") else { break }
        targets.append(try singleTarget(member: member))
        continue
      }
      targets.append(try singleTarget(member: member))
    }
    return isTuple ? .tuple(targets) : targets[0]
  }

  private mutating func singleTarget(member: Bool) throws -> TemplateTarget {
    if accept("(") {
      let inner = try nested { try $0.target(member: false) }
      try expect(")")
      return inner
    }
    let line = line
    let variable = try name()
    guard !["true", "false", "none", "True", "False", "None"].contains(variable) else {
      throw error("\"\(variable)\" cannot be assigned", line: line)
    }
    guard member, accept(".") else { return .name(variable) }
    return .member(namespace: variable, try name())
  }

  private mutating func macro() throws -> TemplateStatement.Form {
    let name = try name()
    let parameters = try within(conditional: false) { try $0.parameters() }
    try tagEnd()
    let body = try outsideLoops { try $0.block("macro") }
    return .macro(TemplateMacro(name: name, parameters: parameters, body: body))
  }

  private mutating func parameters() throws -> [(name: String, fallback: TemplateExpression?)] {
    var parameters: [(name: String, fallback: TemplateExpression?)] = []
    try expect("(")
    while !accept(")") {
      if !parameters.isEmpty { try expect(",") }
      if accept(")") { break }
      let name = try name()
      let fallback = accept("=") ? try expression() : nil
      guard fallback != nil || parameters.last?.fallback == nil else {
        throw error("the parameter \"\(name)\" without a default follows one with a default")
      }
      parameters.append((name, fallback))
    }
    return parameters
  }

  private mutating func callBlock() throws -> TemplateStatement.Form {
    let parameters = current == .symbol("(") ? try within(conditional: false) { try $0.parameters() } : []
    let line = line
    guard case .call(let function, let arguments) = try expression().form else {
      throw error("{% call %} needs a call of a macro", line: line)
    }
    try tagEnd()
    let body = try outsideLoops { try $0.block("call") }
    return .call(function, arguments, TemplateMacro(name: "caller", parameters: parameters, body: body))
  }

  private mutating func with() throws -> TemplateStatement.Form {
    var bindings: [(TemplateTarget, TemplateExpression)] = []
    while current != .tagEnd {
      if !bindings.isEmpty { try expect(",") }
      let target = try singleTarget(member: false)
      try expect("=")
      bindings.append((target, try expression()))
    }
    try tagEnd()
    return .with(bindings, try block("with"))
  }

  /// A macro's body is no part of the loop around it: `break` cannot leave that loop.
  private mutating func outsideLoops<Result>(_ parse: (inout TemplateParser) throws -> Result) rethrows -> Result {
    let outer = loops
    loops = 0
    defer { loops = outer }
    return try parse(&self)
  }
}
