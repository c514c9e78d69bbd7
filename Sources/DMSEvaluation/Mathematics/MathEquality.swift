// Whether two answers mean the same, after what math-verify accepts: numbers exactly, to 15 digits where they are roots or π, to
// 6 decimals where one is a decimal fraction; expressions with letters by their values at several places; tuples in order, sets
// in any; equations up to a factor; words letter by letter.

/// Whether two answers mean the same.
enum MathEquality {
  /// Longer answers are compared as text.
  private static let longest = 4000
  private static let mostElements = 200
  /// Places where expressions with letters are compared.
  private static let places = 4
  /// What sums of a few doubles lose, and much less than what tells two answers apart.
  private static let tolerance = 1e-11

  /// Whether an answer means what a reference means; both in LaTeX or nearly so.
  static func areEqual(_ reference: String, _ answer: String) -> Bool {
    let (own, other) = (plain(reference), plain(answer))
    if !own.isEmpty, own == other { return true }
    guard reference.utf8.count <= longest, answer.utf8.count <= longest else { return false }
    return areEqual(MathAnswer(reference), MathAnswer(answer))
  }

  /// Letters, digits and signs in lower case, without what only concerns looks.
  private static func plain(_ text: String) -> String {
    var text = text
    for word in ["\\text", "\\mathrm", "\\mbox", "\\left", "\\right", "\\!", "\\,", "\\ ", "$", "{", "}"] {
      text = text.replacing(word, with: "")
    }
    text = text.filter { !$0.isWhitespace }.lowercased()
    while text.last == "." { text.removeLast() }
    // A letter of a choice may stand in brackets.
    if text.count == 3, text.hasPrefix("("), text.hasSuffix(")") { return String(text.dropFirst().dropLast()) }
    return text
  }

  private static func areEqual(_ a: MathAnswer, _ b: MathAnswer) -> Bool {
    switch (a, b) {
    case (.expression(let x, let own), .expression(let y, let other)):
      return areEqual(x, own, y, other)
    case (.sequence(let own, let open, let close), .sequence(let others, let otherOpen, let otherClose)):
      return (open, close) == (otherOpen, otherClose) && inOrder(own, others)
    case (.set(let own), .set(let others)), (.set(let own), .sequence(let others, _, _)),
      (.sequence(let own, _, _), .set(let others)):
      return inAnyOrder(own, others)
    case (.set(let own), _) where own.count == 1: return areEqual(own[0], b)
    case (_, .set(let others)) where others.count == 1: return areEqual(a, others[0])
    case (.matrix(let own), .matrix(let others)):
      return own.count == others.count && zip(own, others).allSatisfy { inOrder($0, $1) }
    case (.relation(let own, let signs), .relation(let others, let otherSigns)):
      return areEqual(own, signs, others, otherSigns)
    case (.relation(let sides, let signs), _): return means(sides, signs, b)
    case (_, .relation(let sides, let signs)): return means(sides, signs, a)
    case (.words(let own), .words(let others)): return !own.isEmpty && own == others
    default: return false
    }
  }

  private static func inOrder(_ own: [MathAnswer], _ others: [MathAnswer]) -> Bool {
    own.count == others.count && zip(own, others).allSatisfy { areEqual($0, $1) }
  }

  /// Each is among the others, both ways: what stands twice in a set is there once.
  private static func inAnyOrder(_ own: [MathAnswer], _ others: [MathAnswer]) -> Bool {
    guard own.count <= mostElements, others.count <= mostElements else { return false }
    return own.allSatisfy { answer in others.contains { areEqual(answer, $0) } }
      && others.allSatisfy { answer in own.contains { areEqual(answer, $0) } }
  }

  private static func areEqual(
    _ x: MathExpression, _ own: MathAnswer.Form, _ y: MathExpression, _ other: MathAnswer.Form
  ) -> Bool {
    if let base = own.base, let otherBase = other.base, base != otherBase { return false }
    if own.isPercent != other.isPercent {
      // "10 %" is taken for 10, and for a tenth.
      let hundredth: MathExpression = .call("/", [own.isPercent ? x : y, .number(100)])
      if areEqual(own.isPercent ? hundredth : x, own.isPercent ? y : hundredth, isDecimal: true) { return true }
    }
    if let digits = own.digits, let otherDigits = other.digits { return digits == otherDigits }
    return areEqual(x, y, isDecimal: own.isDecimal || other.isDecimal)
  }

  private static func areEqual(_ x: MathExpression, _ y: MathExpression, isDecimal: Bool) -> Bool {
    if x.isConstant, y.isConstant {
      let (a, b) = (x.value(at: 0), y.value(at: 0))
      guard isDecimal else { return a.isClose(to: b, within: tolerance) }
      func rounded(_ value: Double) -> Double { (value * 1e6).rounded() }
      return a.isFinite && b.isFinite && rounded(a.real) == rounded(b.real)
        && rounded(a.imaginary) == rounded(b.imaginary)
    }
    return (0..<places).allSatisfy { x.value(at: $0).isClose(to: y.value(at: $0), within: isDecimal ? 1e-6 : 1e-9) }
  }

  /// Two equations, up to a factor; two inequalities, read from either end.
  private static func areEqual(
    _ own: [MathExpression], _ signs: [String], _ others: [MathExpression], _ otherSigns: [String]
  ) -> Bool {
    if signs == ["="], otherSigns == ["="] {
      let ratios = (0..<places).map { place in
        (own[0].value(at: place) - own[1].value(at: place))
          / (others[0].value(at: place) - others[1].value(at: place))
      }
      return ratios.allSatisfy { $0.isFinite && $0.size > 0 && $0.isClose(to: ratios[0], within: 1e-9) }
    }
    func same(_ sides: [MathExpression], _ signs: [String]) -> Bool {
      signs == otherSigns && sides.count == others.count
        && zip(sides, others).allSatisfy { areEqual($0, $1, isDecimal: false) }
    }
    return same(own, signs) || same(own.reversed(), signs.reversed().map { turned[$0] ?? $0 })
  }

  private static let turned = ["<": ">", ">": "<", "le": "ge", "ge": "le"]

  /// Whether "x = 5" means 5, and "2 < x < 5" the interval.
  private static func means(_ sides: [MathExpression], _ signs: [String], _ answer: MathAnswer) -> Bool {
    if signs == ["="] {
      let value = isName(sides[0]) ? sides[1] : isName(sides[1]) ? sides[0] : nil
      guard let value else { return false }
      if case .expression(let other, let form) = answer {
        return areEqual(value, other, isDecimal: true)
          || (form.isPercent && areEqual(value, .call("/", [other, .number(100)]), isDecimal: true))
      }
      return false
    }
    guard let interval = interval(sides, signs) else { return false }
    return areEqual(interval, answer)
  }

  /// A letter, or a function of one: x, f(x).
  private static func isName(_ side: MathExpression) -> Bool {
    switch side {
    case .symbol: true
    case .call("*", let parts): parts.count == 2 && parts.allSatisfy(isName)
    default: false
    }
  }

  private static func interval(_ sides: [MathExpression], _ signs: [String]) -> MathAnswer? {
    let infinity = MathExpression.symbol("infty")
    var (sides, signs) = (sides, signs)
    if signs.allSatisfy({ $0 == ">" || $0 == "ge" }) {
      (sides, signs) = (sides.reversed(), signs.reversed().map { turned[$0] ?? $0 })
    }
    guard signs.allSatisfy({ $0 == "<" || $0 == "le" }) else { return nil }
    func ends(_ low: MathExpression, _ high: MathExpression, _ open: String, _ close: String) -> MathAnswer {
      .sequence([.expression(low, .init()), .expression(high, .init())], open: open, close: close)
    }
    func bracket(_ sign: String, _ open: String, _ closed: String) -> String { sign == "le" ? closed : open }
    switch sides.count {
    case 2 where isName(sides[0]): return ends(.call("-", [infinity]), sides[1], "(", bracket(signs[0], ")", "]"))
    case 2 where isName(sides[1]): return ends(sides[0], infinity, bracket(signs[0], "(", "["), ")")
    case 3 where isName(sides[1]):
      return ends(sides[0], sides[2], bracket(signs[0], "(", "["), bracket(signs[1], ")", "]"))
    default: return nil
    }
  }
}
