// Expressions: names, operators, indices, calls. Filters, tests and methods have their own files.

import Glibc

extension TemplateInterpreter {
  func evaluate(_ expression: TemplateExpression, in scope: TemplateScope) throws -> TemplateValue {
    try spend(Self.stepCost)
    return try nested {
      line = expression.line
      switch expression.form {
      case .constant(let value): return value
      case .captured: return capturedText
      case .unsupported(let construct): throw unsupported(construct)
      case .name(let name): return value(named: name, in: scope)
      case .and(let left, let right):
        let value = try evaluate(left, in: scope)
        return value.isTrue ? try evaluate(right, in: scope) : value
      case .or(let left, let right):
        let value = try evaluate(left, in: scope)
        return value.isTrue ? value : try evaluate(right, in: scope)
      case .not(let operand): return .bool(!(try evaluate(operand, in: scope).isTrue))
      case .conditional(let condition, let value, let otherwise):
        if try evaluate(condition, in: scope).isTrue { return try evaluate(value, in: scope) }
        return try otherwise.map { try evaluate($0, in: scope) } ?? .undefined("the value of an if without else")
      default: return try evaluateCompound(expression, in: scope)
      }
    }
  }

  private func evaluateCompound(
    _ expression: TemplateExpression, in scope: TemplateScope
  ) throws -> TemplateValue {
    switch expression.form {
    case .list(let elements): return try bounded(.list(of: elements.map { try evaluate($0, in: scope) }))
    case .tuple(let elements): return try bounded(.tuple(of: elements.map { try evaluate($0, in: scope) }))
    case .dictionary(let members): return try dictionary(members, in: scope)
    case .attribute(let operand, let name):
      let value = try evaluate(operand, in: scope)
      line = expression.line
      return try attribute(name, of: value)
    case .item(let operand, let key):
      let value = try evaluate(operand, in: scope)
      let key = try evaluate(key, in: scope)
      line = expression.line
      return try item(key, of: value)
    case .slice(let operand, let slice): return try bounded(evaluate(slice, of: operand, in: scope))
    case .call(let function, let arguments): return try call(function, arguments, in: scope, caller: nil)
    case .filter(let operand, let name, let arguments):
      let value = try evaluate(operand, in: scope)
      let call = try evaluate(arguments, in: scope)
      line = expression.line
      return try bounded(filter(name, value, call))
    case .test(let operand, let name, let arguments, let negated):
      let value = try evaluate(operand, in: scope)
      let call = try evaluate(arguments, in: scope)
      line = expression.line
      return .bool(try test(name, value, call) != negated)
    case .sign(let operand, let negative): return try signed(try evaluate(operand, in: scope), negative: negative)
    case .arithmetic(let operation, let left, let right):
      let left = try evaluate(left, in: scope)
      let right = try evaluate(right, in: scope)
      line = expression.line
      return try bounded(arithmetic(operation, left, right))
    case .concatenation(let parts):
      var result = ""
      for part in parts {
        let text = try text(of: evaluate(part, in: scope))
        try spend(text.utf8.count)
        result += text
      }
      return .string(result)
    case .comparison(let first, let links): return .bool(try compare(first, links, in: scope))
    default: throw fail("an expression is malformed")
    }
  }

  private func value(named name: String, in scope: TemplateScope) -> TemplateValue {
    if let value = scope.value(of: name) { return value }
    if Self.functions.contains(name) { return .function(.named(name)) }
    // Python has no such word, JavaScript's engine does.
    if dialect == .transformersJS, name == "null" { return .none }
    return .undefined(name)
  }

  private func dictionary(
    _ members: [(key: TemplateExpression, value: TemplateExpression)], in scope: TemplateScope
  ) throws -> TemplateValue {
    var dictionary = TemplateDictionary()
    for member in members {
      let key = try evaluate(member.key, in: scope)
      guard let key = TemplateKey(key) else { throw fail("\(key.kind) cannot be a dictionary's key") }
      dictionary[key] = try evaluate(member.value, in: scope)
    }
    return try bounded(.dictionary(dictionary))
  }

  // MARK: - Parts of values

  /// `value.name`: a method's name comes before a member's, as in Python.
  func attribute(_ name: String, of value: TemplateValue) throws -> TemplateValue {
    switch value {
    case .undefined(let owner):
      throw fail("\"\(owner)\" is undefined, it has no \"\(name)\"", remedy: "give the template what it needs")
    case .dictionary(let dictionary):
      if dialect == .transformers, Self.dictionaryMethods.contains(name) { return .function(.method(name)) }
      return dictionary[name] ?? .undefined(name)
    case .namespace(let index):
      guard namespaces.indices.contains(index) else { return .undefined(name) }
      return namespaces[index][name] ?? .undefined(name)
    case .loop(let loop): return attribute(name, of: loop)
    case .string where Self.stringMethods.contains(name): return .function(.method(name))
    default: return .undefined(name)
    }
  }

  private func attribute(_ name: String, of loop: TemplateLoopState) -> TemplateValue {
    let items = loop.items.elements
    switch name {
    case "index": return .integer(loop.index + 1)
    case "index0": return .integer(loop.index)
    case "revindex": return .integer(items.count - loop.index)
    case "revindex0": return .integer(items.count - loop.index - 1)
    case "first": return .bool(loop.index == 0)
    case "last": return .bool(loop.index == items.count - 1)
    case "length": return .integer(items.count)
    case "depth": return .integer(1)
    case "depth0": return .integer(0)
    case "previtem": return loop.index > 0 ? items[loop.index - 1] : .undefined("previtem")
    case "nextitem": return loop.index + 1 < items.count ? items[loop.index + 1] : .undefined("nextitem")
    default: return .undefined(name)
    }
  }

  func item(_ key: TemplateValue, of value: TemplateValue) throws -> TemplateValue {
    switch value {
    case .undefined(let owner): throw fail("\"\(owner)\" is undefined, it has no items")
    case .dictionary(let dictionary):
      guard let key = TemplateKey(key) else { return .undefined("an item") }
      return dictionary[key] ?? .undefined((try? text(of: key.value)) ?? "an item")
    case .list(let list), .tuple(let list):
      guard let index = place(key, count: list.elements.count) else { return .undefined("an item") }
      return list.elements[index]
    case .string(let text, let isMarkup):
      try spend(text.utf8.count)
      let scalars = text.unicodeScalars
      guard let index = place(key, count: scalars.count) else { return .undefined("an item") }
      return .string(String(scalars[scalars.index(scalars.startIndex, offsetBy: index)]), isMarkup: isMarkup)
    case .namespace, .loop:
      guard case .string(let name, _) = key else { return .undefined("an item") }
      return try attribute(name, of: value)
    default: return .undefined("an item")
    }
  }

  /// The place of an item, counted from the end if negative; `nil` outside.
  private func place(_ key: TemplateValue, count: Int) -> Int? {
    guard let index = key.asInteger else { return nil }
    let place = index < 0 ? index + count : index
    return (0..<count).contains(place) ? place : nil
  }

  private func evaluate(
    _ slice: TemplateSlice, of operand: TemplateExpression, in scope: TemplateScope
  ) throws -> TemplateValue {
    let value = try evaluate(operand, in: scope)
    func bound(_ expression: TemplateExpression?) throws -> Int? {
      guard let value = try expression.map({ try evaluate($0, in: scope) }) else { return nil }
      if case .none = value { return nil }
      guard let integer = value.asInteger else { throw fail("a slice needs integers, not \(value.kind)") }
      return integer
    }
    let (start, stop, step) = (try bound(slice.start), try bound(slice.stop), try bound(slice.step) ?? 1)
    guard step != 0 else { throw fail("a slice cannot have the step 0") }
    line = operand.line
    switch value {
    case .string(let text, let isMarkup):
      try spend(text.utf8.count)
      let scalars = Array(text.unicodeScalars)
      let places = Self.slicePlaces(scalars.count, start, stop, step)
      return .string(String(scalars: places.map { scalars[$0] }), isMarkup: isMarkup)
    case .list(let list):
      try spend(list.elements.count)
      return .list(of: Self.slicePlaces(list.elements.count, start, stop, step).map { list.elements[$0] })
    case .tuple(let list):
      try spend(list.elements.count)
      return .tuple(of: Self.slicePlaces(list.elements.count, start, stop, step).map { list.elements[$0] })
    case .undefined(let name): throw fail("\"\(name)\" is undefined and cannot be sliced")
    default: throw fail("\(value.kind) cannot be sliced")
    }
  }

  /// The places that Python's slice visits: bounds are clamped, negative ones count from the end.
  private static func slicePlaces(_ count: Int, _ start: Int?, _ stop: Int?, _ step: Int) -> [Int] {
    let lowest = step > 0 ? 0 : -1
    let highest = step > 0 ? count : count - 1
    func clamped(_ bound: Int) -> Int { min(max(bound < 0 ? bound + count : bound, lowest), highest) }
    let first = start.map(clamped) ?? (step > 0 ? lowest : highest)
    let end = stop.map(clamped) ?? (step > 0 ? highest : lowest)
    // A step beyond the count visits one place at most; clamping it keeps the sums small.
    let stride = min(max(step, -count - 1), count + 1)
    return Array(Swift.stride(from: first, to: end, by: stride))
  }

  /// What a loop over the value visits.
  func elements(of value: TemplateValue) throws -> [TemplateValue] {
    switch value {
    case .undefined: return []
    case .list(let list), .tuple(let list):
      try spend(Self.stepCost, times: list.elements.count)
      return list.elements
    case .dictionary(let dictionary):
      try spend(Self.stepCost, times: dictionary.keys.count)
      return dictionary.keys.map(\.value)
    case .string(let text, _):
      try spend(text.utf8.count * Self.stepCost)
      return text.unicodeScalars.map { .string(String($0)) }
    default: throw fail("\(value.kind) is nothing to loop over")
    }
  }

  // MARK: - Operators

  private func signed(_ value: TemplateValue, negative: Bool) throws -> TemplateValue {
    if case .float(let number) = value { return .float(negative ? -number : number) }
    guard let integer = value.asInteger else { throw fail("\(value.kind) has no sign") }
    return negative ? try arithmetic(.subtract, .integer(0), .integer(integer)) : .integer(integer)
  }

  func arithmetic(
    _ operation: TemplateOperator, _ left: TemplateValue, _ right: TemplateValue
  ) throws -> TemplateValue {
    if let left = left.asInteger, let right = right.asInteger { return try integers(operation, left, right) }
    if let left = left.asDouble, let right = right.asDouble { return try floats(operation, left, right) }
    switch (operation, left, right) {
    case (.add, .string(_, let isLeftMarkup), .string(_, let isRightMarkup)):
      let isMarkup = isLeftMarkup || isRightMarkup
      let (left, right) = (
        try isMarkup ? escaped(left) : text(of: left), try isMarkup ? escaped(right) : text(of: right)
      )
      try spend(left.utf8.count + right.utf8.count)
      return .string(left + right, isMarkup: isMarkup)
    case (.add, .list(let left), .list(let right)):
      try spend((left.elements.count + right.elements.count) * Self.stepCost)
      return .list(of: left.elements + right.elements)
    case (.add, .tuple(let left), .tuple(let right)):
      try spend((left.elements.count + right.elements.count) * Self.stepCost)
      return .tuple(of: left.elements + right.elements)
    case (.add, .string, _) where dialect == .transformersJS, (.add, _, .string) where dialect == .transformersJS:
      return .string(try text(of: left) + text(of: right))
    case (.multiply, .string, _), (.multiply, .list, _), (.multiply, .tuple, _):
      if let count = right.asInteger { return try repeated(left, count) }
    case (.multiply, _, .string), (.multiply, _, .list), (.multiply, _, .tuple):
      if let count = left.asInteger { return try repeated(right, count) }
    case (.remainder, .string(let text, let isMarkup), _):
      let arguments: TemplateFormatting.Arguments =
        switch right {
        case .tuple(let list): .list(list.elements)
        case .dictionary(let dictionary): .dictionary(dictionary)
        default: .list([right])
        }
      return .string(try formatted(text, arguments, isMarkup: isMarkup), isMarkup: isMarkup)
    default: break
    }
    if case .undefined(let name) = left { throw fail("\"\(name)\" is undefined") }
    if case .undefined(let name) = right { throw fail("\"\(name)\" is undefined") }
    throw fail("\"\(operation.rawValue)\" cannot join \(left.kind) and \(right.kind)")
  }

  private func repeated(_ value: TemplateValue, _ count: Int) throws -> TemplateValue {
    let count = max(0, count)
    let size =
      switch value {
      case .string(let text, _): text.utf8.count
      case .list(let list), .tuple(let list): list.elements.count * Self.stepCost
      default: 0
      }
    try spend(size, times: count)
    switch value {
    case .string(let text, let isMarkup):
      return .string(size == 0 ? "" : String(repeating: text, count: count), isMarkup: isMarkup)
    case .list(let list), .tuple(let list):
      var elements: [TemplateValue] = []
      if size > 0 { for _ in 0..<count { elements += list.elements } }
      if case .tuple = value { return .tuple(of: elements) }
      return .list(of: elements)
    default: return value
    }
  }

  private func integers(_ operation: TemplateOperator, _ left: Int, _ right: Int) throws -> TemplateValue {
    let result: (partialValue: Int, overflow: Bool)
    switch operation {
    case .add: result = left.addingReportingOverflow(right)
    case .subtract: result = left.subtractingReportingOverflow(right)
    case .multiply: result = left.multipliedReportingOverflow(by: right)
    case .divide: return try floats(.divide, Double(left), Double(right))
    case .floorDivide, .remainder:
      guard right != 0 else { throw fail("a division by zero") }
      var (quotient, overflow) = left.dividedReportingOverflow(by: right)
      // Python rounds down, so that a remainder has the sign of the divisor.
      var remainder = overflow ? 0 : left % right
      if remainder != 0, (remainder < 0) != (right < 0) {
        remainder += right
        quotient -= 1
      }
      if operation == .remainder { return .integer(remainder) }
      result = (quotient, overflow)
    case .power:
      guard right >= 0 else { return try floats(.power, Double(left), Double(right)) }
      result = Self.power(left, right)
    }
    guard !result.overflow else { throw fail("an integer overflows in \"\(operation.rawValue)\"") }
    return .integer(result.partialValue)
  }

  /// By squaring: a large exponent of -1, 0 or 1 takes no time, and of other bases overflows soon.
  private static func power(_ base: Int, _ exponent: Int) -> (partialValue: Int, overflow: Bool) {
    var (result, square, left) = (1, base, exponent)
    while true {
      if left & 1 == 1 {
        let product = result.multipliedReportingOverflow(by: square)
        if product.overflow { return product }
        result = product.partialValue
      }
      left >>= 1
      if left == 0 { return (result, false) }
      let next = square.multipliedReportingOverflow(by: square)
      if next.overflow { return next }
      square = next.partialValue
    }
  }

  private func floats(_ operation: TemplateOperator, _ left: Double, _ right: Double) throws -> TemplateValue {
    switch operation {
    case .add: return .float(left + right)
    case .subtract: return .float(left - right)
    case .multiply: return .float(left * right)
    case .power: return .float(pow(left, right))
    case .divide, .floorDivide, .remainder:
      guard right != 0 else { throw fail("a division by zero") }
      if operation == .divide { return .float(left / right) }
      let remainder = left.truncatingRemainder(dividingBy: right)
      let floored = remainder != 0 && (remainder < 0) != (right < 0) ? remainder + right : remainder
      return .float(operation == .remainder ? floored : ((left - floored) / right).rounded())
    }
  }

  // MARK: - Calls

  func evaluate(_ arguments: TemplateArguments, in scope: TemplateScope) throws -> TemplateCall {
    var call = TemplateCall()
    var positional = try arguments.positional.map { try evaluate($0, in: scope) }
    if let spread = arguments.spread { positional += try elements(of: evaluate(spread, in: scope)) }
    call.positional = positional[...]
    for (name, expression) in arguments.named { call.named.append((name, try evaluate(expression, in: scope))) }
    if let spread = arguments.namedSpread {
      guard case .dictionary(let members) = try evaluate(spread, in: scope) else {
        throw fail("** needs a dictionary")
      }
      for (key, value) in members.members {
        guard case .string(let name) = key else { throw fail("** needs names as keys") }
        call.named.append((name, value))
      }
    }
    return call
  }

  func call(
    _ function: TemplateExpression, _ arguments: TemplateArguments, in scope: TemplateScope, caller: TemplateValue?
  ) throws -> TemplateValue {
    if case .attribute(let owner, let name) = function.form {
      let owner = try evaluate(owner, in: scope)
      let call = try evaluate(arguments, in: scope)
      line = function.line
      if let result = try method(name, of: owner, call) { return try bounded(result) }
      return try self.call(try attribute(name, of: owner), named: name, call, caller: caller)
    }
    let value = try evaluate(function, in: scope)
    let call = try evaluate(arguments, in: scope)
    line = function.line
    return try self.call(value, named: "", call, caller: caller)
  }

  private func call(
    _ function: TemplateValue, named name: String, _ arguments: TemplateCall, caller: TemplateValue?
  ) throws -> TemplateValue {
    var arguments = arguments
    arguments.caller = caller
    switch function {
    case .function(.macro(let number)): return try callMacro(number, arguments)
    case .function(.named(let name)): return try bounded(callFunction(name, arguments))
    case .loop: throw unsupported("a recursive loop")
    case .function(.method(let name)): throw fail("calling the method \"\(name)\" by another name is not supported")
    case .undefined(let name): throw fail("\"\(name)\" is undefined and cannot be called")
    default: throw fail("\(name.isEmpty ? function.kind : "\"\(name)\"") cannot be called")
    }
  }
}
