// Expressions and what they are worth: in complex numbers of double precision, letters having values that are drawn by their
// names. Two expressions that are worth the same at several such places are the same for all that a task asks.

import DMSPlatform
import Glibc

/// A number, a letter, or what is computed from others.
indirect enum MathExpression: Equatable {
  case number(Double)
  case symbol(String)
  case call(String, [MathExpression])

  /// Whether no letter but those of constants is in it.
  var isConstant: Bool {
    switch self {
    case .number: true
    case .symbol(let name): Self.constants[name] != nil
    case .call(_, let parts): parts.allSatisfy(\.isConstant)
    }
  }

  private static let constants: [String: Complex] = [
    "pi": Complex(.pi), "e": Complex(M_E), "i": Complex(0, 1),
  ]

  /// What it is worth at a place: each letter has a value of its own there.
  func value(at place: Int) -> Complex {
    switch self {
    case .number(let value): Complex(value)
    case .symbol(let name):
      Self.constants[name]
        ?? Complex(0.6 + 1.8 * RandomNumbers.uniform(seed: StableHash.of(name), sequence: 0, position: place))
    case .call(let name, let parts): Self.result(name, parts.map { $0.value(at: place) })
    }
  }

  private static func result(_ name: String, _ x: [Complex]) -> Complex {
    switch (name, x.count) {
    case ("+", 2): x[0] + x[1]
    case ("-", 2): x[0] - x[1]
    case ("-", 1): Complex(0) - x[0]
    case ("*", 2): x[0] * x[1]
    case ("/", 2): x[0] / x[1]
    case ("^", 2): x[0].power(x[1])
    case ("sqrt", 1): x[0].power(Complex(0.5))
    case ("root", 2): x[1].realRoot(x[0]) ?? x[1].power(Complex(1) / x[0])
    case ("log", 2): x[1].logarithm / x[0].logarithm
    case ("binom", 2): binomial(x[0], x[1])
    case (_, 1): function(name, x[0])
    default: Complex(.nan)
    }
  }

  /// Functions of one number.
  static let functions: Set<String> = [
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "ln", "log", "exp",
    "Re", "Im",
  ]

  private static func function(_ name: String, _ x: Complex) -> Complex {
    let i = Complex(0, 1)
    let (sine, cosine) = (
      ((i * x).exponential - (Complex(0) - i * x).exponential) / (Complex(2) * i),
      ((i * x).exponential + (Complex(0) - i * x).exponential) / Complex(2)
    )
    let (up, down) = (x.exponential, (Complex(0) - x).exponential)
    switch name {
    case "sin": return x.isReal ? Complex(sin(x.real)) : sine
    case "cos": return x.isReal ? Complex(cos(x.real)) : cosine
    case "tan": return sine / cosine
    case "cot": return cosine / sine
    case "sec": return Complex(1) / cosine
    case "csc": return Complex(1) / sine
    case "arcsin": return x.isReal ? Complex(asin(x.real)) : Complex(.nan)
    case "arccos": return x.isReal ? Complex(acos(x.real)) : Complex(.nan)
    case "arctan": return x.isReal ? Complex(atan(x.real)) : Complex(.nan)
    case "sinh": return (up - down) / Complex(2)
    case "cosh": return (up + down) / Complex(2)
    case "tanh": return (up - down) / (up + down)
    case "ln", "log": return x.logarithm
    case "exp": return up
    case "abs": return Complex(hypot(x.real, x.imaginary))
    case "floor": return x.isReal ? Complex(x.real.rounded(.down)) : Complex(.nan)
    case "ceil": return x.isReal ? Complex(x.real.rounded(.up)) : Complex(.nan)
    case "!": return x.isReal ? Complex(tgamma(x.real + 1).rounded()) : Complex(.nan)
    case "Re": return Complex(x.real)
    case "Im": return Complex(x.imaginary)
    default: return Complex(.nan)
    }
  }

  private static func binomial(_ n: Complex, _ k: Complex) -> Complex {
    guard n.isReal, k.isReal, k.real >= 0, k.real < 1000, k.real == k.real.rounded() else { return Complex(.nan) }
    return Complex((0..<Int(k.real)).reduce(1.0) { $0 * (n.real - Double($1)) / Double($1 + 1) })
  }
}

/// A complex number.
struct Complex {
  let (real, imaginary): (Double, Double)

  init(_ real: Double, _ imaginary: Double = 0) { (self.real, self.imaginary) = (real, imaginary) }

  var isReal: Bool { imaginary == 0 }
  var isFinite: Bool { real.isFinite && imaginary.isFinite }
  var size: Double { hypot(real, imaginary) }

  static func + (a: Complex, b: Complex) -> Complex { Complex(a.real + b.real, a.imaginary + b.imaginary) }
  static func - (a: Complex, b: Complex) -> Complex { Complex(a.real - b.real, a.imaginary - b.imaginary) }
  static func * (a: Complex, b: Complex) -> Complex {
    Complex(a.real * b.real - a.imaginary * b.imaginary, a.real * b.imaginary + a.imaginary * b.real)
  }
  static func / (a: Complex, b: Complex) -> Complex {
    if b.isReal { return Complex(a.real / b.real, a.imaginary / b.real) }
    let size = b.real * b.real + b.imaginary * b.imaginary
    let product = a * Complex(b.real, -b.imaginary)
    return Complex(product.real / size, product.imaginary / size)
  }

  var exponential: Complex {
    isReal ? Complex(exp(real)) : Complex(exp(real) * cos(imaginary), exp(real) * sin(imaginary))
  }
  /// The principal one.
  var logarithm: Complex { isReal && real > 0 ? Complex(log(real)) : Complex(log(size), atan2(imaginary, real)) }

  func power(_ exponent: Complex) -> Complex {
    if isReal, exponent.isReal, real >= 0 || exponent.real == exponent.real.rounded() {
      return Complex(pow(real, exponent.real))
    }
    if size == 0 { return Complex(0) }
    if exponent.isReal, exponent.real == exponent.real.rounded(), abs(exponent.real) <= 64 {
      let power = (0..<Int(abs(exponent.real))).reduce(Complex(1)) { product, _ in product * self }
      return exponent.real < 0 ? Complex(1) / power : power
    }
    return (exponent * logarithm).exponential
  }

  /// The real root of an odd degree of a negative number; `nil` for anything else.
  func realRoot(_ degree: Complex) -> Complex? {
    guard isReal, degree.isReal, real < 0, abs(degree.real).truncatingRemainder(dividingBy: 2) == 1 else { return nil }
    return Complex(-pow(-real, 1 / degree.real))
  }

  /// Whether they agree to so much of the larger one, or of 1.
  func isClose(to other: Complex, within tolerance: Double) -> Bool {
    let scale = max(1, size, other.size)
    return isFinite && other.isFinite && (self - other).size <= tolerance * scale
  }
}
