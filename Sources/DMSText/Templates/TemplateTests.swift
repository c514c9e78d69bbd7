// The tests: `x is defined`, and as `select` and its relatives use them.

extension TemplateInterpreter {
  /// All tests by name.
  static let tests: Set<String> = Set(comparisons.keys).union([
    "boolean", "callable", "defined", "divisibleby", "escaped", "even", "false", "filter", "float", "integer",
    "iterable", "lower", "mapping", "none", "number", "odd", "sameas", "sequence", "string", "test", "true",
    "undefined", "upper",
  ])

  private static let comparisons: [String: TemplateComparison] = [
    "==": .equal, "eq": .equal, "equalto": .equal, "!=": .notEqual, "ne": .notEqual, "<": .less, "lt": .less,
    "lessthan": .less, "<=": .lessOrEqual, "le": .lessOrEqual, ">": .greater, "gt": .greater, "greaterthan": .greater,
    ">=": .greaterOrEqual, "ge": .greaterOrEqual, "in": .contained,
  ]

  func test(_ name: String, _ value: TemplateValue, _ arguments: TemplateCall) throws -> Bool {
    var arguments = arguments
    if let comparison = Self.comparisons[name] {
      let other = try operand(of: name, &arguments)
      return try holds(comparison, value, other)
    }
    let result: Bool
    switch name {
    case "divisibleby":
      let divisor = try operand(of: name, &arguments)
      result = try arithmetic(.remainder, value, divisor).isTrue == false
    case "sameas":
      let other = try operand(of: name, &arguments)
      result = value.kind == other.kind ? try areEqual(value, other) : false
    case "even", "odd":
      let remainder = try arithmetic(.remainder, value, .integer(2)).asDouble
      result = remainder == (name == "even" ? 0 : 1)
    case "lower", "upper":
      let text = try text(of: value)
      try spend(text.utf8.count)
      result = name == "lower" ? text.isLowerText : text.isUpperText
    case "escaped": result = value.isMarkup
    case "filter": result = value.asString.map(Self.knownFilters.contains) ?? false
    case "test": result = value.asString.map(Self.tests.contains) ?? false
    default: result = Self.isOf(kind: name, value)
    }
    try finish(arguments, of: "the test \"\(name)\"")
    return result
  }

  private func operand(of name: String, _ arguments: inout TemplateCall) throws -> TemplateValue {
    guard let other = arguments.positional.popFirst() else { throw fail("the test \"\(name)\" needs an argument") }
    try finish(arguments, of: "the test \"\(name)\"")
    return other
  }

  private static func isOf(kind: String, _ value: TemplateValue) -> Bool {
    switch (kind, value) {
    case ("undefined", .undefined), ("none", .none), ("boolean", .bool), ("string", .string), ("integer", .integer),
      ("float", .float), ("mapping", .dictionary), ("callable", .function):
      true
    case ("true", .bool(let value)): value
    case ("false", .bool(let value)): !value
    case ("defined", .undefined): false
    case ("defined", _): true
    // Python's booleans are numbers.
    case ("number", .integer), ("number", .float), ("number", .bool): true
    // Python loops over an undefined value, and over a dictionary's keys.
    case ("iterable", .undefined), ("iterable", .string), ("iterable", .list), ("iterable", .tuple),
      ("iterable", .dictionary), ("sequence", .undefined), ("sequence", .string), ("sequence", .list),
      ("sequence", .tuple), ("sequence", .dictionary):
      true
    default: false
    }
  }
}

extension String {
  /// Some letter is small and none is large.
  var isLowerText: Bool {
    unicodeScalars.contains { $0.properties.isLowercase } && !unicodeScalars.contains { $0.isLarge }
  }

  /// Some letter is large and none is small.
  var isUpperText: Bool {
    unicodeScalars.contains { $0.isLarge } && !unicodeScalars.contains { $0.properties.isLowercase }
  }
}

extension Unicode.Scalar {
  fileprivate var isLarge: Bool { properties.isUppercase || properties.generalCategory == .titlecaseLetter }
}
