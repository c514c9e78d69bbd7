// Sums: "… cat38; … dog47; … fox12; … What is cat + dog - fox?" The reasoning recalls each value when it is needed
// and adds or subtracts it digit by digit, units first:
//
//   cat38; dog47; 38+47: 8+7=15, 3+4+1=8, 85; fox12; 85-12: 5-2=3, 8-1=7, 73
//
// A carry or a borrow stands as a third number in the next digit's step.

import DMSPlatform

struct SumsFacts: FactSheet {
  private let names: [String]
  private let values: [Int]
  let factSize = 4
  private static let mostTerms = 5

  init(_ size: Int, _ random: inout RandomStream) {
    names = ProblemText.names(forSize: size, factSize: factSize, atLeast: 3, &random)
    values = names.map { _ in Int.random(in: 10...99, using: &random) }
  }

  var facts: [String] { zip(names, values).map { "\($0)\($1);" } }

  func question(_ random: inout RandomStream) -> (asked: String, reasoning: String, answer: String) {
    let terms = Array(names.indices.shuffled(using: &random).prefix(Int.random(in: 2...Self.mostTerms, using: &random)))
    var (total, asked, reasoning) = (values[terms[0]], names[terms[0]], "\(names[terms[0]])\(values[terms[0]])")
    for term in terms.dropFirst() {
      let value = values[term]
      let subtracts = value <= total && Bool.random(using: &random)
      let sign = subtracts ? "-" : "+"
      let steps = subtracts ? Self.subtraction(total, value) : Self.addition(total, value)
      asked += " \(sign) \(names[term])"
      reasoning += "; \(names[term])\(value); \(total)\(sign)\(value): \(steps)"
      total += subtracts ? -value : value
      reasoning += ", \(total)"
    }
    return (asked, reasoning, "\(total)")
  }

  private static func digits(_ a: Int, _ b: Int) -> [(Int, Int)] {
    var (a, b) = (a, b)
    var digits: [(Int, Int)] = []
    repeat {
      digits.append((a % 10, b % 10))
      (a, b) = (a / 10, b / 10)
    } while a > 0 || b > 0
    return digits
  }

  static func addition(_ a: Int, _ b: Int) -> String {
    var carry = 0
    return digits(a, b).map { x, y in
      let sum = x + y + carry
      let step = "\(x)+\(y)\(carry > 0 ? "+1" : "")=\(sum)"
      carry = sum / 10
      return step
    }.joined(separator: ", ")
  }

  static func subtraction(_ a: Int, _ b: Int) -> String {
    var borrow = 0
    return digits(a, b).map { x, y in
      let lent = x - y - borrow < 0 ? 10 : 0
      let difference = x + lent - y - borrow
      let step = "\(x + lent)-\(y)\(borrow > 0 ? "-1" : "")=\(difference)"
      borrow = lent / 10
      return step
    }.joined(separator: ", ")
  }
}
