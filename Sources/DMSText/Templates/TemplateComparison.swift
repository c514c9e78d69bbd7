// Equality, order and membership, as Python has them; booleans and numbers differ in transformers.js.

extension TemplateInterpreter {
  /// `a < b < c` holds when every link does, and each operand is evaluated once.
  func compare(
    _ first: TemplateExpression, _ links: [(TemplateComparison, TemplateExpression)], in scope: TemplateScope
  ) throws -> Bool {
    var left = try evaluate(first, in: scope)
    for (comparison, expression) in links {
      let right = try evaluate(expression, in: scope)
      line = expression.line
      guard try holds(comparison, left, right) else { return false }
      left = right
    }
    return true
  }

  func holds(_ comparison: TemplateComparison, _ left: TemplateValue, _ right: TemplateValue) throws -> Bool {
    switch comparison {
    case .equal: try areEqual(left, right)
    case .notEqual: !(try areEqual(left, right))
    case .less: try precedes(left, right)
    case .greater: try precedes(right, left)
    // Not the negation of the reverse: nothing holds of NaN.
    case .lessOrEqual: try precedes(left, right) || areEqual(left, right)
    case .greaterOrEqual: try precedes(right, left) || areEqual(left, right)
    case .contained: try contains(right, left)
    case .notContained: !(try contains(right, left))
    }
  }

  func areEqual(_ left: TemplateValue, _ right: TemplateValue) throws -> Bool {
    try spend(Self.stepCost)
    switch (left, right) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.bool(let left), .bool(let right)): return left == right
    case (.integer(let left), .integer(let right)): return left == right
    case (.string(let left, _), .string(let right, _)):
      try spend(min(left.utf8.count, right.utf8.count))
      return left.isIdentical(to: right)
    case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
      guard left.elements.count == right.elements.count else { return false }
      return try zip(left.elements, right.elements).allSatisfy { try areEqual($0, $1) }
    case (.dictionary(let left), .dictionary(let right)):
      guard left.keys.count == right.keys.count else { return false }
      return try left.members.allSatisfy { member in
        guard let other = right[member.key] else { return false }
        return try areEqual(member.value, other)
      }
    case (.namespace(let left), .namespace(let right)): return left == right
    case (.function(.macro(let left)), .function(.macro(let right))): return left == right
    case (.function(.named(let left)), .function(.named(let right))): return left == right
    case (.bool, _) where dialect == .transformersJS, (_, .bool) where dialect == .transformersJS: return false
    default:
      guard let left = left.asDouble, let right = right.asDouble else { return false }
      return left == right
    }
  }

  /// Whether `left < right`; an error for values that have no order.
  func precedes(_ left: TemplateValue, _ right: TemplateValue) throws -> Bool {
    try spend(Self.stepCost)
    if let left = left.asInteger, let right = right.asInteger { return left < right }
    if let left = left.asDouble, let right = right.asDouble { return left < right }
    switch (left, right) {
    case (.string(let left, _), .string(let right, _)):
      try spend(min(left.utf8.count, right.utf8.count))
      return left.precedes(right)
    case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
      for (left, right) in zip(left.elements, right.elements) where !(try areEqual(left, right)) {
        return try precedes(left, right)
      }
      return left.elements.count < right.elements.count
    case (.undefined(let name), _), (_, .undefined(let name)): throw fail("\"\(name)\" is undefined")
    default: throw fail("\(left.kind) and \(right.kind) have no order")
    }
  }

  func contains(_ whole: TemplateValue, _ part: TemplateValue) throws -> Bool {
    switch whole {
    case .undefined: return false
    case .list(let list), .tuple(let list): return try list.elements.contains { try areEqual($0, part) }
    case .dictionary(let dictionary): return TemplateKey(part).map { dictionary[$0] != nil } ?? false
    case .string(let text, _):
      guard case .string(let part, _) = part else {
        if dialect == .transformersJS { return false }
        throw fail("\"in\" looks for a string in a string, not for \(part.kind)")
      }
      try spend(text.utf8.count)
      return part.isEmpty || !text.ranges(of: part).isEmpty
    default: throw fail("\(whole.kind) contains nothing that \"in\" could find")
    }
  }

  /// Stable, as Python's sort. Undefined values and nones are all alike.
  func sorted(_ items: [(key: TemplateValue, value: TemplateValue)], reversed: Bool) throws -> [TemplateValue] {
    func before(_ left: TemplateValue, _ right: TemplateValue) throws -> Bool {
      switch (left, right) {
      case (.undefined, .undefined), (.none, .none): false
      default: try reversed ? precedes(right, left) : precedes(left, right)
      }
    }
    return try items.enumerated().sorted { left, right in
      if try before(left.element.key, right.element.key) { return true }
      if try before(right.element.key, left.element.key) { return false }
      return left.offset < right.offset
    }.map(\.element.value)
  }
}
