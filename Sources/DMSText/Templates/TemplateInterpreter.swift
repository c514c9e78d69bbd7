// Walks a template's statements. Expressions are evaluated in TemplateEvaluation.swift.
//
// Templates come from outside, so that everything is bounded: the levels of recursion, and one allowance that every step
// and every byte of text produced draws on. A template that needs more is an error, never a hang or a trap.

import DMSPlatform

final class TemplateInterpreter {
  let source: String
  let dialect: TemplateDialect
  /// Seconds since 1970 for `strftime_now`; `nil` asks the clock.
  let time: Int?
  private var allowance: Int
  private var level = 0
  private var loopLevel = 0
  /// The line that errors name.
  var line = 1
  var namespaces: [[String: TemplateValue]] = []
  private var macros: [(macro: TemplateMacro, scope: TemplateScope)] = []
  /// What the innermost block with filters has produced.
  private var captured: TemplateValue = .undefined("the block's text")

  /// A step costs as much as this many bytes, about what it takes longer.
  static let stepCost = 8
  /// An element of a new list holds about this many bytes.
  static let elementCost = 32
  /// A macro and a namespace live until the end, the macro with the scope around it.
  static let definitionCost = 512
  /// 16 MiB of text, more than the longest contexts hold and no more than a second to encode; or two million steps.
  static let defaultAllowance = 1 << 24
  /// Real templates stay below 100. A level takes up to 4 KB of stack, all of them about 1 MB.
  private static let deepestLevel = 300

  enum Flow { case next, leaveLoop, nextItem }

  init(source: String, dialect: TemplateDialect, time: Int?, allowance: Int) {
    self.source = source
    self.dialect = dialect
    self.time = time
    self.allowance = allowance
  }

  func fail(_ problem: String, remedy: String? = nil) -> InputError {
    InputError(
      "the chat template fails: \(problem)", at: "\(source), line \(line)",
      remedy: remedy ?? "change the messages or the template")
  }

  /// What a template may contain, as long as it does not come to it.
  func unsupported(_ construct: String) -> InputError {
    InputError(
      "the chat template uses \(construct), which is not supported", at: "\(source), line \(line)",
      remedy: "use a template without it, or a prompt without a template")
  }

  /// Draws on the allowance.
  func spend(_ cost: Int) throws {
    guard cost <= allowance else {
      throw fail("it takes too long or produces too much text", remedy: "shorten the messages or correct the template")
    }
    allowance -= cost
  }

  func spend(_ cost: Int, times count: Int) throws {
    let (total, overflow) = cost.multipliedReportingOverflow(by: count)
    try spend(overflow ? Int.max : total)
  }

  func nested<Result>(_ body: () throws -> Result) throws -> Result {
    level += 1
    defer { level -= 1 }
    guard level <= Self.deepestLevel else { throw fail("it recurses deeper than \(Self.deepestLevel) levels") }
    return try body()
  }

  /// A value that was just built, if it nests no deeper than is safe. Whatever can build a large value ends here, so that
  /// its memory is drawn from the allowance.
  func bounded(_ value: TemplateValue) throws -> TemplateValue {
    switch value {
    case .string(let text, _): try spend(text.utf8.count)
    case .list(let list), .tuple(let list): try spend(Self.elementCost, times: list.elements.count)
    // A member is a key in order, a key in the table, and a value.
    case .dictionary(let dictionary): try spend(4 * Self.elementCost, times: dictionary.keys.count)
    default: break
    }
    guard value.depth <= TemplateValue.deepest else {
      throw fail("a value nests deeper than \(TemplateValue.deepest) levels")
    }
    return value
  }

  // MARK: - Statements

  func run(_ statements: [TemplateStatement], in scope: TemplateScope, into out: inout String) throws -> Flow {
    for statement in statements {
      try spend(Self.stepCost)
      line = statement.line
      let flow = try run(statement, in: scope, into: &out)
      if flow != .next { return flow }
    }
    return .next
  }

  private func run(
    _ statement: TemplateStatement, in scope: TemplateScope, into out: inout String
  ) throws -> Flow {
    switch statement.form {
    case .text(let text): try write(text, into: &out)
    case .output(let expression): try write(text(of: evaluate(expression, in: scope)), into: &out)
    case .branch(let branches, let otherwise):
      for branch in branches where try evaluate(branch.condition, in: scope).isTrue {
        return try nested { try run(branch.body, in: scope, into: &out) }
      }
      return try nested { try run(otherwise, in: scope, into: &out) }
    case .loop(let loop): try nested { try run(loop, in: scope, into: &out) }
    case .assign(let target, let expression):
      try bind(target, to: try evaluate(expression, in: scope), in: scope)
    case .capture(let target, let filters, let body):
      let text = try text(ofBlock: body, in: TemplateScope(inside: scope))
      try bind(target, to: try evaluate(filters, onText: text, in: scope), in: scope)
    case .macro(let macro): scope.values[macro.name] = try define(macro, in: scope)
    case .call(let function, let arguments, let body):
      let caller = try define(body, in: scope)
      try write(text(of: call(function, arguments, in: scope, caller: caller)), into: &out)
    case .filter(let filters, let body):
      let text = try text(ofBlock: body, in: TemplateScope(inside: scope))
      try write(self.text(of: evaluate(filters, onText: text, in: scope)), into: &out)
    case .with(let bindings, let body):
      let inner = TemplateScope(inside: scope)
      for (target, expression) in bindings { try bind(target, to: try evaluate(expression, in: scope), in: inner) }
      return try nested { try run(body, in: inner, into: &out) }
    case .scoped(let body):
      return try nested { try run(body, in: TemplateScope(inside: scope), into: &out) }
    case .unsupported(let construct): throw unsupported(construct)
    case .leave: return .leaveLoop
    case .next: return .nextItem
    }
    return .next
  }

  private func write(_ text: String, into out: inout String) throws {
    try spend(text.utf8.count)
    out += text
  }

  private func text(ofBlock body: [TemplateStatement], in scope: TemplateScope) throws -> String {
    try nested {
      var text = ""
      _ = try run(body, in: scope, into: &text)
      return text
    }
  }

  private func evaluate(
    _ filters: TemplateExpression, onText text: String, in scope: TemplateScope
  ) throws -> TemplateValue {
    let outer = captured
    captured = .string(text)
    defer { captured = outer }
    return try evaluate(filters, in: scope)
  }

  var capturedText: TemplateValue { captured }

  private func run(_ loop: TemplateLoop, in scope: TemplateScope, into out: inout String) throws {
    var items = try elements(of: evaluate(loop.sequence, in: scope))
    if let condition = loop.condition {
      items = try items.filter { item in
        let inner = TemplateScope(inside: scope)
        try bind(loop.target, to: item, in: inner)
        return try evaluate(condition, in: inner).isTrue
      }
    }
    if items.isEmpty {
      _ = try run(loop.otherwise, in: TemplateScope(inside: scope), into: &out)
      return
    }
    loopLevel += 1
    defer { loopLevel -= 1 }
    let list = TemplateList(items)
    for (index, item) in items.enumerated() {
      try spend(4 * Self.stepCost)
      // Every turn starts afresh: what the last one assigned is gone, as in Jinja2.
      let inner = TemplateScope(inside: scope)
      inner.values["loop"] = try bounded(.loop(TemplateLoopState(items: list, index: index, level: loopLevel)))
      try bind(loop.target, to: item, in: inner)
      if try run(loop.body, in: inner, into: &out) == .leaveLoop { break }
    }
  }

  private func bind(_ target: TemplateTarget, to value: TemplateValue, in scope: TemplateScope) throws {
    switch target {
    case .name(let name): scope.values[name] = value
    case .member(let variable, let name):
      guard case .namespace(let index) = scope.value(of: variable), namespaces.indices.contains(index) else {
        throw fail("\"\(variable)\" is no namespace, its members cannot be assigned")
      }
      try checkMember(name)
      namespaces[index][name] = value
    case .tuple(let targets):
      let parts = try elements(of: value)
      guard parts.count == targets.count else {
        throw fail("\(targets.count) values are expected to unpack, \(parts.count) found")
      }
      for (target, part) in zip(targets, parts) { try bind(target, to: part, in: scope) }
    }
  }

  // MARK: - Macros

  private func define(_ macro: TemplateMacro, in scope: TemplateScope) throws -> TemplateValue {
    try spend(Self.definitionCost)
    macros.append((macro, scope))
    return .function(.macro(macros.count - 1))
  }

  func callMacro(_ number: Int, _ arguments: consuming TemplateCall) throws -> TemplateValue {
    guard macros.indices.contains(number) else { throw fail("a macro is gone") }
    let (macro, outer) = macros[number]
    let scope = TemplateScope(inside: outer)
    if let caller = arguments.caller { scope.values["caller"] = caller }
    for parameter in macro.parameters {
      // A name is looked for among all arguments that have one.
      try spend(Self.stepCost, times: 1 + arguments.named.count)
      if let value = arguments.next(parameter.name) {
        scope.values[parameter.name] = value
      } else if let fallback = parameter.fallback {
        scope.values[parameter.name] = try nested { try evaluate(fallback, in: scope) }
      } else {
        scope.values[parameter.name] = .undefined(parameter.name)
      }
    }
    try finish(arguments, of: "the macro \"\(macro.name)\"")
    let outerLoops = loopLevel
    loopLevel = 0
    defer { loopLevel = outerLoops }
    return .string(try text(ofBlock: macro.body, in: scope))
  }

  /// Refuses arguments that nothing has taken: an option that is accepted and ignored would be a lie.
  func finish(_ arguments: TemplateCall, of function: String) throws {
    if let name = arguments.named.first?.name { throw fail("\(function) takes no argument \"\(name)\"") }
    if !arguments.positional.isEmpty { throw fail("\(function) is given too many arguments") }
  }
}

/// Names and their values; those of the scopes around it shine through, and macros keep the scope that they stand in.
final class TemplateScope {
  var values: [String: TemplateValue] = [:]
  private let outer: TemplateScope?

  init(inside outer: TemplateScope? = nil) { self.outer = outer }

  func value(of name: String) -> TemplateValue? {
    var scope: TemplateScope? = self
    while let current = scope {
      if let value = current.values[name] { return value }
      scope = current.outer
    }
    return nil
  }
}

/// The arguments of a call, evaluated. Functions take them one by one, in order or by name.
struct TemplateCall {
  var positional: ArraySlice<TemplateValue> = []
  var named: [(name: String, value: TemplateValue)] = []
  /// The body of `{% call %}`.
  var caller: TemplateValue?

  mutating func next(_ name: String) -> TemplateValue? {
    if let value = positional.popFirst() { return value }
    guard let index = named.firstIndex(where: { $0.name == name }) else { return nil }
    return named.remove(at: index).value
  }
}
