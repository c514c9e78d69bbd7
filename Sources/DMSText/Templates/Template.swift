// A template, parsed once and rendered often: the part of Jinja2 that chat templates use.
//
// It knows nothing of chats, models or tokens. Not supported, and refused by name and line when they are reached: blocks,
// inheritance and inclusion, `{% autoescape %}`, recursive loops, `str.format`, and the rarer filters.

import DMSPlatform

/// A parsed template. Rendering changes nothing in it.
package struct Template: Sendable {
  /// As it was given.
  package let text: String
  private let statements: [TemplateStatement]
  private let source: String
  private let dialect: TemplateDialect
  /// Real templates have 50,000 bytes at most; a byte may take a hundred when it is parsed.
  private static let longest = 1 << 20

  /// Parses a template; `source` names it in errors.
  /// - Throws: `InputError` with the line of what is malformed or not supported.
  package init(parsing text: String, source: String, dialect: TemplateDialect = .transformers) throws {
    guard text.utf8.count <= Self.longest else {
      throw InputError(
        "a template of \(text.utf8.count) bytes", at: source, remedy: "use one of at most \(Self.longest)")
    }
    let tokens = try TemplateLexer.tokens(of: text, name: source)
    statements = try TemplateParser.statements(of: tokens, source: source)
    self.text = text
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
