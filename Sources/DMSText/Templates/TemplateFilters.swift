// The filters. Those that select, map and sort are in TemplateSequenceFilters.swift.

extension TemplateInterpreter {
  /// All filters that are supported, by name.
  static let filters: Set<String> = [
    "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "forceescape", "format",
    "indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr",
    "replace", "reverse", "round", "safe", "select", "selectattr", "sort", "string", "sum", "title", "tojson", "trim",
    "unique", "upper",
  ]

  /// All filters that a template may name anywhere: one that is not supported fails when it is reached.
  static let knownFilters = filters.union([
    "attr", "batch", "center", "filesizeformat", "groupby", "pprint", "random", "slice", "striptags", "truncate",
    "urlencode", "urlize", "wordcount", "wordwrap", "xmlattr",
  ])

  func filter(_ name: String, _ value: TemplateValue, _ arguments: TemplateCall) throws -> TemplateValue {
    switch name {
    case "dictsort", "items", "join", "map", "max", "min", "reject", "rejectattr", "select", "selectattr", "sort",
      "sum",
      "unique":
      return try sequenceFilter(name, value, arguments)
    case "abs", "float", "int", "round": return try numberFilter(name, value, arguments)
    default: break
    }
    var arguments = arguments
    let result: TemplateValue
    switch name {
    case "count", "length": result = .integer(try length(of: value))
    case "d", "default":
      let fallback = arguments.next("default_value") ?? .string("")
      let replacesFalse = arguments.next("boolean")?.isTrue ?? false
      var isMissing = replacesFalse && !value.isTrue
      if case .undefined = value { isMissing = true }
      result = isMissing ? fallback : value
    case "first", "last":
      let items = if case .list(let list) = value { list.elements } else { try elements(of: value) }
      let item = (name == "first" ? items.first : items.last) ?? .undefined("the \(name) item")
      // Python walks a string to plain ones, but takes its last by index.
      result = value.isMarkup && name == "last" ? marked(item) : item
    case "list": result = .list(of: try elements(of: value))
    case "reverse":
      if case .string(let text, let isMarkup) = value {
        result = .string(String(scalars: text.unicodeScalars.reversed()), isMarkup: isMarkup)
      } else {
        result = .list(of: try elements(of: value).reversed())
      }
    case "tojson": result = .string(try json(of: value, try jsonStyle(&arguments)))
    case "safe": result = marked(.string(try text(of: value)))
    case "e", "escape": result = marked(.string(try escaped(value)))
    case "forceescape": result = marked(.string(try escaped(.string(text(of: value)))))
    case "format": return try format(value, arguments)
    default:
      let keepsMarkup = name != "title" && name != "replace"
      result = .string(try textFilter(name, try text(of: value), &arguments), isMarkup: keepsMarkup && value.isMarkup)
    }
    try finish(arguments, of: "the filter \"\(name)\"")
    return result
  }

  /// A string that escapes what is added to it; JavaScript's engine has none.
  private func marked(_ value: TemplateValue) -> TemplateValue {
    guard case .string(let text, _) = value, dialect == .transformers else { return value }
    return .string(text, isMarkup: true)
  }

  /// The text of a value with what HTML gives a meaning escaped, unless it is markup already.
  func escaped(_ value: TemplateValue) throws -> String {
    let text = try text(of: value)
    if value.isMarkup { return text }
    // A byte becomes five at most.
    try spend(5, times: text.utf8.count)
    return text.escapedForHTML
  }

  private func format(_ value: TemplateValue, _ arguments: TemplateCall) throws -> TemplateValue {
    var members = TemplateDictionary()
    for (name, value) in arguments.named { members[.string(name)] = value }
    guard members.keys.isEmpty || arguments.positional.isEmpty else {
      throw fail("format takes values in order or by name, not both")
    }
    let values: TemplateFormatting.Arguments =
      members.keys.isEmpty ? .list(Array(arguments.positional)) : .dictionary(members)
    let text = try formatted(text(of: value), values, isMarkup: value.isMarkup)
    return .string(text, isMarkup: value.isMarkup)
  }

  private func textFilter(_ name: String, _ text: String, _ arguments: inout TemplateCall) throws -> String {
    try spend(text.utf8.count)
    switch name {
    case "capitalize": return text.capitalizedText
    case "lower": return text.lowercased()
    case "upper": return text.uppercased()
    case "title": return text.titledWords
    case "trim": return text.trimmed(.both, of: try optionalText(arguments.next("chars"), "chars"))
    case "string": return text
    case "replace":
      let old = try self.text(of: arguments.next("old") ?? .undefined("old"))
      let new = try self.text(of: arguments.next("new") ?? .undefined("new"))
      return try replacing(old, with: new, limit: arguments.next("count"), in: text)
    case "indent": return try indented(text, &arguments)
    default: throw unsupported("the filter \"\(name)\"")
    }
  }

  func replacing(_ old: String, with new: String, limit: TemplateValue?, in text: String) throws -> String {
    let limit = try optionalInteger(limit, "count") ?? -1
    // The result is this long at most: every occurrence takes at least one code point.
    let count = old.isEmpty ? text.unicodeScalars.count + 1 : text.ranges(of: old).count
    try spend(new.utf8.count, times: count)
    return text.replacing(old, with: new, limit: limit)
  }

  /// Jinja2's `indent`: the first line only if asked, empty lines only if asked.
  private func indented(_ text: String, _ arguments: inout TemplateCall) throws -> String {
    let width = arguments.next("width") ?? .integer(4)
    let indentsFirst = arguments.next("first")?.isTrue ?? false
    let indentsBlank = arguments.next("blank")?.isTrue ?? false
    let indent = try indentation(width) ?? ""
    let lines = (text + "\n").lines()
    try spend(indent.utf8.count, times: lines.count)
    var result = indentsFirst ? indent : ""
    for (index, line) in lines.enumerated() {
      if index > 0 {
        result += "\n"
        if indentsBlank || !line.isEmpty { result += indent }
      }
      result += line
    }
    return result
  }

  private func indentation(_ width: TemplateValue?) throws -> String? {
    switch width {
    case nil, TemplateValue.none?: return nil
    case .string(let text, _)?: return text
    case let width?:
      guard let count = width.asInteger else { throw fail("an indentation is a number or a string") }
      try spend(max(0, count))
      return String(repeating: " ", count: max(0, count))
    }
  }

  private func jsonStyle(_ arguments: inout TemplateCall) throws -> TemplateJSONStyle {
    var style = TemplateJSONStyle()
    style.escapesNonASCII = arguments.next("ensure_ascii")?.isTrue ?? false
    style.indent = try indentation(arguments.next("indent"))
    if let separators = arguments.next("separators"), separators.isTrue {
      guard case let parts = try elements(of: separators).compactMap(\.asString), parts.count == 2 else {
        throw fail("\"separators\" of tojson are two strings")
      }
      (style.itemSeparator, style.keySeparator) = (parts[0], parts[1])
    }
    style.sortsKeys = arguments.next("sort_keys")?.isTrue ?? false
    return style
  }

  func length(of value: TemplateValue) throws -> Int {
    switch value {
    case .undefined: return 0
    case .string(let text, _):
      try spend(text.utf8.count)
      return text.unicodeScalars.count
    case .list(let list), .tuple(let list): return list.elements.count
    case .dictionary(let dictionary): return dictionary.keys.count
    default: throw fail("\(value.kind) has no length")
    }
  }

  // MARK: - Numbers

  private func numberFilter(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateCall
  ) throws -> TemplateValue {
    var arguments = arguments
    let result: TemplateValue
    switch name {
    case "abs":
      if case .float(let number) = value {
        result = .float(abs(number))
      } else {
        guard let integer = value.asInteger else { throw fail("\(value.kind) has no absolute value") }
        result = integer < 0 ? try arithmetic(.subtract, .integer(0), value) : .integer(integer)
      }
    case "int":
      let fallback = arguments.next("default") ?? .integer(0)
      let base = try optionalInteger(arguments.next("base"), "base") ?? 10
      guard base == 10 else { throw fail("int with a base other than 10 is not supported") }
      let number = value.asDouble ?? value.asString.flatMap { Self.number($0) }
      let whole = value.asInteger ?? value.asString.flatMap { Int(Self.digits($0)) }
      result = (whole ?? number.flatMap { Int(exactly: $0.rounded(.towardZero)) }).map { .integer($0) } ?? fallback
    case "float":
      let fallback = arguments.next("default") ?? .float(0)
      let number = value.asDouble ?? value.asString.flatMap { Self.number($0) }
      result = number.map { .float($0) } ?? fallback
    default:
      let places = try optionalInteger(arguments.next("precision"), "precision") ?? 0
      let method = try optionalText(arguments.next("method"), "method") ?? "common"
      guard let number = value.asDouble else { throw fail("\(value.kind) cannot be rounded") }
      guard method == "common", places == 0 else { throw fail("round with a precision or a method is not supported") }
      result = value.asInteger.map { .integer($0) } ?? .float(number.rounded(.toNearestOrEven))
    }
    try finish(arguments, of: "the filter \"\(name)\"")
    return result
  }

  private static func digits(_ text: String) -> String { text.trimmed(.both).filter { $0 != "_" } }

  /// Decimal text only: Swift would also read hexadecimal floats.
  private static func number(_ text: String) -> Double? {
    let digits = digits(text)
    return digits.utf8.contains(0x78) || digits.utf8.contains(0x58) ? nil : Double(digits)
  }

  // MARK: - Arguments

  func optionalInteger(_ value: TemplateValue?, _ name: String) throws -> Int? {
    switch value {
    case nil, TemplateValue.none?: return nil
    case let value?:
      guard let integer = value.asInteger else { throw fail("\"\(name)\" is an integer, not \(value.kind)") }
      return integer
    }
  }

  func optionalText(_ value: TemplateValue?, _ name: String) throws -> String? {
    switch value {
    case nil, TemplateValue.none?: return nil
    case .string(let text, _)?: return text
    case let value?: throw fail("\"\(name)\" is a string, not \(value.kind)")
    }
  }

  func requiredText(_ value: TemplateValue?, _ name: String) throws -> String {
    guard let text = try optionalText(value, name) else { throw fail("the argument \"\(name)\" is missing") }
    return text
  }
}
