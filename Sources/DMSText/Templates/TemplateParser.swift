// From tokens to statements. Expressions are parsed in TemplateExpressionParser.swift.
//
// A construct that is not supported is an error at parse time, naming it and its line: never ignored, never half done.

import DMSPlatform

struct TemplateParser {
  let tokens: [TemplateToken]
  let source: String
  var index = 0
  private var nesting = 0
  private var loops = 0
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
        guard current == .outputEnd else { throw error("\"}}\" is expected, \(describe(current)) stands there") }
        advance()
        statements.append(TemplateStatement(form: .output(value), line: line))
      case .tagBegin:
        advance()
        if case .name(let name) = current, ends.contains(name) { return statements }
        let form = try nested { try $0.statement() }
        statements.append(TemplateStatement(form: form, line: line))
      default:
        guard ends.isEmpty, current == .end else {
          throw error("{% \(tag) %} has no {% \(ends.last ?? "") %}", line: start)
        }
        return statements
      }
    }
  }

  /// The body of `tag` and its end tag.
  private mutating func block(_ tag: String) throws -> [TemplateStatement] {
    let statements = try body(until: ["end\(tag)"], of: tag)
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
    case "if": return try branch()
    case "for": return try loop()
    case "set": return try assignment()
    case "macro": return try macro()
    case "call": return try callBlock()
    case "filter":
      let filters = try filterHead()
      try tagEnd()
      return .filter(filters, try block("filter"))
    case "with": return try with()
    case "generation":
      try tagEnd()
      return .scoped(try outsideLoops { try $0.block("generation") })
    case "break", "continue":
      guard loops > 0 else { throw error("{% \(tag) %} stands outside of a loop", line: line) }
      try tagEnd()
      return tag == "break" ? .leave : .next
    case "else", "elif", "endif", "endfor", "endset", "endmacro", "endcall", "endfilter", "endwith", "endgeneration",
      "endraw":
      throw error("{% \(tag) %} closes nothing", line: line)
    default: throw unsupported("{% \(tag) %}", line: line)
    }
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
    let condition = accept(word: "if") ? try expression() : nil
    if current == .name("recursive") { throw unsupported("a recursive loop") }
    try tagEnd()
    loops += 1
    defer { loops -= 1 }
    let statements = try body(until: ["else", "endfor"], of: "for")
    var otherwise: [TemplateStatement] = []
    if accept(word: "else") {
      try tagEnd()
      otherwise = try body(until: ["endfor"], of: "for")
    }
    advance()
    try tagEnd()
    return .loop(
      TemplateLoop(
        target: target, sequence: sequence, condition: condition, body: statements, otherwise: otherwise))
  }

  private mutating func assignment() throws -> TemplateStatement.Form {
    let target = try target(member: true)
    if accept("=") {
      let value = try tupleExpression()
      try tagEnd()
      return .assign(target, value)
    }
    let captured = TemplateExpression(form: .captured, line: line, depth: 1)
    let filters = current == .symbol("|") ? try filters(of: captured) : captured
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
    let parameters = try parameters()
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
    let parameters = current == .symbol("(") ? try parameters() : []
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
