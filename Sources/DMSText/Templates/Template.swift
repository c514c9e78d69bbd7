// A template, parsed once and rendered often: the part of Jinja2 that chat templates use.
//
// It knows nothing of chats, models or tokens. Not supported, and refused by name and line: inheritance and inclusion,
// `{% do %}`, recursive loops, formatting with `%` or `format`, and the rarer filters.

/// A parsed template. Rendering changes nothing in it.
package struct Template: Sendable {
  private let statements: [TemplateStatement]
  private let source: String
  private let dialect: TemplateDialect

  /// Parses a template; `source` names it in errors.
  /// - Throws: `InputError` with the line of what is malformed or not supported.
  package init(parsing text: String, source: String, dialect: TemplateDialect = .transformers) throws {
    let tokens = try TemplateLexer.tokens(of: text, name: source)
    statements = try TemplateParser.statements(of: tokens, source: source)
    self.source = source
    self.dialect = dialect
  }

  /// The text for the variables in `context`.
  /// - Parameters:
  ///   - time: Seconds since 1970 for `strftime_now`, shown in local time; `nil` asks the clock.
  ///   - allowance: Bytes of text that it may produce, steps counting eight.
  /// - Throws: `InputError` with the line where the template fails or refuses.
  package func render(_ context: JSONObject, time: Int? = nil, allowance: Int? = nil) throws -> String {
    let interpreter = TemplateInterpreter(
      source: source, dialect: dialect, time: time, allowance: allowance ?? TemplateInterpreter.defaultAllowance)
    let variables = TemplateScope()
    for (name, value) in context.members { variables.values[name] = TemplateValue(value) }
    var text = ""
    _ = try interpreter.run(statements, in: TemplateScope(inside: variables), into: &text)
    return text
  }
}
