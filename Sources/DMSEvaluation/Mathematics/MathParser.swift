// Tokens as an expression, by the usual precedence: sums, products (signs or mere neighbours), signs before, powers, what has a
// name or brackets. Whatever cannot be read so is no expression.

/// Reads one expression.
struct MathParser {
  /// What cannot be read.
  private struct Unreadable: Error {}

  private let tokens: ArraySlice<MathToken>
  private var place: Int
  private var depth = 0
  /// Deeper ones are no answers, and a stack is finite.
  private static let deepest = 64

  /// The expression that the tokens are; `nil` if they are none.
  static func expression(_ tokens: ArraySlice<MathToken>) -> MathExpression? {
    var parser = MathParser(tokens: tokens)
    guard let sum = try? parser.sum(), parser.place == tokens.endIndex else { return nil }
    return sum
  }

  private init(tokens: ArraySlice<MathToken>) { (self.tokens, place) = (tokens, tokens.startIndex) }

  private var next: MathToken? { place < tokens.endIndex ? tokens[place] : nil }

  private mutating func takes(_ sign: String) -> Bool {
    guard next == .sign(sign) else { return false }
    place += 1
    return true
  }

  private mutating func require(_ sign: String) throws { if !takes(sign) { throw Unreadable() } }

  private mutating func sum() throws -> MathExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth < Self.deepest else { throw Unreadable() }
    var value = try product()
    while true {
      if takes("+") {
        value = .call("+", [value, try product()])
      } else if takes("-") {
        value = .call("-", [value, try product()])
      } else {
        return value
      }
    }
  }

  private mutating func product() throws -> MathExpression {
    var value = try signed()
    while let token = next {
      switch token {
      case .sign("*"):
        place += 1
        value = .call("*", [value, try signed()])
      case .sign("/"), .sign(":"):
        place += 1
        value = .call("/", [value, try signed()])
      case .words:
        // A unit, with its power.
        place += 1
        if takes("^") { _ = try argument() }
      case .sign("%"): place += 1
      default:
        guard beginsFactor(token) else { return value }
        value = .call("*", [value, try power()])
      }
    }
    return value
  }

  private func beginsFactor(_ token: MathToken) -> Bool {
    switch token {
    case .number, .letter: true
    case .sign(let sign): ["(", "[", "{"].contains(sign)
    case .command(let name): !["rfloor", "rceil", "cup", "in", "pm", "mp", "le", "ge", "ne", "end"].contains(name)
    case .words: false
    }
  }

  private mutating func signed() throws -> MathExpression {
    // However many signs there are.
    var isNegative = false
    while next == .sign("-") || next == .sign("+") {
      if next == .sign("-") { isNegative.toggle() }
      place += 1
    }
    let value = try power()
    return isNegative ? .call("-", [value]) : value
  }

  private mutating func power() throws -> MathExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth < Self.deepest else { throw Unreadable() }
    var value = try factor()
    while true {
      if takes("!") {
        value = .call("!", [value])
      } else if takes("^") {
        // Without braces all digits and a sign are meant.
        value = .call("^", [value, next == .sign("{") ? try argument() : try signed()])
      } else {
        return value
      }
    }
  }

  private mutating func factor() throws -> MathExpression {
    guard let token = next else { throw Unreadable() }
    place += 1
    switch token {
    case .number(let digits):
      guard let number = Double("0" + digits) else { throw Unreadable() }
      return try mixed(number, digits)
    case .letter(let name): return .symbol(name + subscripted())
    case .command(let name): return try command(name)
    case .sign("("): return try closed(by: ")")
    case .sign("["): return try closed(by: "]")
    case .sign("{"): return try closed(by: "}")
    case .sign("|"): return .call("abs", [try closed(by: "|")])
    default: throw Unreadable()
    }
  }

  private mutating func closed(by sign: String) throws -> MathExpression {
    let value = try sum()
    try require(sign)
    return value
  }

  /// A whole number before a fraction of whole numbers is added to it.
  private mutating func mixed(_ number: Double, _ digits: String) throws -> MathExpression {
    guard next == .command("frac"), !digits.contains(".") else { return .number(number) }
    let begin = place
    place += 1
    if case .number(let top) = try argument(), case .number(let bottom) = try argument() {
      return .call("+", [.number(number), .call("/", [.number(top), .number(bottom)])])
    }
    place = begin
    return .number(number)
  }

  private mutating func subscripted() -> String {
    guard takes("_"), let token = next else { return "" }
    guard token == .sign("{") else {
      place += 1
      return "_\(token)"
    }
    var name = "_"
    while let token = next, token != .sign("}") {
      if token != .sign("{") { name += "\(token)" }
      place += 1
    }
    _ = takes("}")
    return name
  }

  /// What stands in braces, or the next digit or letter.
  private mutating func argument() throws -> MathExpression {
    if takes("{") { return try closed(by: "}") }
    // "\frac43": digits count one by one.
    if case .number(let digits)? = next, let digit = digits.first, digit != "." {
      if digits.count > 1 { return try split(digits) }
    }
    return try factor()
  }

  /// The digits that an earlier argument left of a number.
  private var digitsTaken = 0

  private mutating func split(_ digits: String) throws -> MathExpression {
    let digit = digits[digits.index(digits.startIndex, offsetBy: digitsTaken)]
    digitsTaken += 1
    if digitsTaken == digits.count {
      digitsTaken = 0
      place += 1
    }
    guard let value = digit.wholeNumberValue else { throw Unreadable() }
    return .number(Double(value))
  }

  private mutating func command(_ name: String) throws -> MathExpression {
    switch name {
    case "frac":
      let (top, bottom) = (try argument(), try argument())
      guard digitsTaken == 0 else {
        // "\frac123" is a half times three, and nobody writes it.
        throw Unreadable()
      }
      return .call("/", [top, bottom])
    case "binom", "dbinom", "tbinom":
      return .call("binom", [try argument(), try argument()])
    case "sqrt":
      if takes("[") {
        let degree = try closed(by: "]")
        return .call("root", [degree, try argument()])
      }
      // "\sqrt13" is the root of 13 to people.
      if case .number(let digits)? = next, let number = Double("0" + digits) {
        place += 1
        return .call("sqrt", [.number(number)])
      }
      return .call("sqrt", [try argument()])
    case "lfloor", "lceil":
      let value = try sum()
      guard next == .command(name == "lfloor" ? "rfloor" : "rceil") else { throw Unreadable() }
      place += 1
      return .call(name == "lfloor" ? "floor" : "ceil", [value])
    case "begin", "end", "cup", "cap", "in", "pm", "mp", "le", "ge", "ne", "rfloor", "rceil", "to", "rightarrow":
      throw Unreadable()
    default:
      return MathExpression.functions.contains(name) ? try function(name) : .symbol(name + subscripted())
    }
  }

  /// `\sin^2 x`, `\log_2 8`, `\cos 2x`: the argument ends where a sign or another function begins.
  private mutating func function(_ name: String) throws -> MathExpression {
    let base = takes("_") ? try argument() : nil
    let exponent = takes("^") ? try argument() : nil
    var value = try power()
    while let token = next, beginsFactor(token), token != .sign("("), !isFunction(token) {
      value = .call("*", [value, try power()])
    }
    let result: MathExpression = base.map { .call("log", [$0, value]) } ?? .call(name, [value])
    return exponent.map { .call("^", [result, $0]) } ?? result
  }

  private func isFunction(_ token: MathToken) -> Bool {
    if case .command(let name) = token { MathExpression.functions.contains(name) } else { false }
  }
}
