// Formatting with `%`, as Python's strings do it: flags, widths and precisions, values in order or by name. Into markup
// values go escaped. `str.format` is not supported.

import Glibc

struct TemplateFormatting {
  enum Arguments {
    case list([TemplateValue])
    case dictionary(TemplateDictionary)
  }

  /// One conversion: `%(name)-08.3f`.
  struct Conversion {
    var name: String?
    var flags: Set<Unicode.Scalar> = []
    var width = 0
    var precision: Int?
    var kind: Unicode.Scalar
  }

  /// Wider fields are no text that a model was trained on.
  static let widest = 1 << 16
}

extension TemplateInterpreter {
  func formatted(_ text: String, _ arguments: TemplateFormatting.Arguments, isMarkup: Bool) throws -> String {
    var values: [TemplateValue] = if case .list(let list) = arguments { list } else { [] }
    values.reverse()
    var result = String.UnicodeScalarView()
    var rest = text.unicodeScalars[...]
    while let scalar = rest.popFirst() {
      guard scalar == "%" else {
        result.append(scalar)
        continue
      }
      let conversion = try conversion(&rest)
      if conversion.kind == "%" {
        result.append("%")
        continue
      }
      let value: TemplateValue
      if let name = conversion.name {
        guard case .dictionary(let members) = arguments else { throw fail("a format by name needs a dictionary") }
        guard let member = members[name] else { throw fail("the format's \"\(name)\" is missing") }
        value = member
      } else if case .dictionary(let members) = arguments {
        value = .dictionary(members)
      } else {
        guard let next = values.popLast() else { throw fail("a format has too few values") }
        value = next
      }
      let field = try field(conversion, value, isMarkup: isMarkup)
      try spend(field.utf8.count)
      result.append(contentsOf: field.unicodeScalars)
    }
    guard values.isEmpty else { throw fail("a format has too many values") }
    return String(result)
  }

  private func conversion(_ rest: inout Substring.UnicodeScalarView) throws -> TemplateFormatting.Conversion {
    var conversion = TemplateFormatting.Conversion(kind: "%")
    if rest.first == "(" {
      guard let end = rest.firstIndex(of: ")") else { throw fail("a name in a format does not end") }
      conversion.name = String(rest[rest.index(after: rest.startIndex)..<end])
      rest = rest[rest.index(after: end)...]
    }
    while let flag = rest.first, "-+ 0#".unicodeScalars.contains(flag) {
      conversion.flags.insert(flag)
      rest.removeFirst()
    }
    func number() throws -> Int? {
      var number: Int?
      while let digit = rest.first, ("0"..."9").contains(digit) {
        let value = (number ?? 0) * 10 + Int(digit.value - 0x30)
        guard value <= TemplateFormatting.widest else { throw fail("a field of a format is too wide") }
        number = value
        rest.removeFirst()
      }
      return number
    }
    conversion.width = try number() ?? 0
    if rest.first == "." {
      rest.removeFirst()
      conversion.precision = try number() ?? 0
    }
    while let length = rest.first, "hlL".unicodeScalars.contains(length) { rest.removeFirst() }
    guard let kind = rest.popFirst() else { throw fail("a format ends within a %") }
    conversion.kind = kind
    return conversion
  }

  private func field(
    _ conversion: TemplateFormatting.Conversion, _ value: TemplateValue, isMarkup: Bool
  ) throws -> String {
    var text: String
    var isNumber = true
    switch conversion.kind {
    case "s", "r", "a":
      isNumber = false
      text = conversion.kind == "s" ? try self.text(of: value) : try representation(of: value)
      if isMarkup, !(conversion.kind == "s" && value.isMarkup) { text = try escaped(.string(text)) }
      if let precision = conversion.precision { text = String(text.unicodeScalars.prefix(precision)) }
    case "c":
      isNumber = false
      let scalar = value.asInteger.flatMap { UInt32(exactly: $0) }.flatMap(Unicode.Scalar.init)
      guard let one = scalar.map({ String($0) }) ?? value.asString, one.unicodeScalars.count == 1 else {
        throw fail("%c needs one character")
      }
      text = one
    case "d", "i", "u", "x", "X", "o": text = try digits(conversion, value, isMarkup: isMarkup)
    case "f", "F", "e", "E", "g", "G":
      guard let number = value.asDouble else { throw fail("%\(conversion.kind) needs a number, not \(value.kind)") }
      let format = "%\(conversion.flags.contains("#") ? "#" : "").\(conversion.precision ?? 6)\(conversion.kind)"
      text = try printed(abs(number), format)
      if number.sign == .minus, !number.isNaN { text = "-" + text }
    default: throw fail("a format has no conversion \(conversion.kind.debugDescription)")
    }
    if isNumber, !text.hasPrefix("-") {
      text = (conversion.flags.contains("+") ? "+" : conversion.flags.contains(" ") ? " " : "") + text
    }
    let missing = conversion.width - text.unicodeScalars.count
    guard missing > 0 else { return text }
    let isLeft = conversion.flags.contains("-")
    if isNumber, conversion.flags.contains("0"), !isLeft {
      // Zeros stand after the sign.
      let sign = text.prefix { "+- ".contains($0) }
      return sign + String(repeating: "0", count: missing) + text.dropFirst(sign.count)
    }
    let space = String(repeating: " ", count: missing)
    return isLeft ? text + space : space + text
  }

  private func digits(
    _ conversion: TemplateFormatting.Conversion, _ value: TemplateValue, isMarkup: Bool
  ) throws -> String {
    var integer = value.asInteger
    let isDecimal = "diu".unicodeScalars.contains(conversion.kind)
    if isDecimal, integer == nil, let number = value.asDouble { integer = Int(exactly: number.rounded(.towardZero)) }
    guard let integer else { throw fail("%\(conversion.kind) needs an integer, not \(value.kind)") }
    // Python's wrapper around what is put into markup has no integer for these.
    if isMarkup, !isDecimal { throw fail("%\(conversion.kind) does not format into markup") }
    let radix = isDecimal ? 10 : conversion.kind == "o" ? 8 : 16
    var digits = String(integer.magnitude, radix: radix, uppercase: conversion.kind == "X")
    digits = String(repeating: "0", count: max(0, (conversion.precision ?? 0) - digits.utf8.count)) + digits
    if conversion.flags.contains("#"), !isDecimal { digits = "0\(conversion.kind)" + digits }
    return (integer < 0 ? "-" : "") + digits
  }

  private func printed(_ number: Double, _ format: String) throws -> String {
    // Digits before the point, the precision, and what stands around them.
    var buffer = [CChar](repeating: 0, count: TemplateFormatting.widest + 512)
    let length = withVaList([number]) { vsnprintf(&buffer, buffer.count, format, $0) }
    guard length >= 0, length < buffer.count else { throw fail("a number is too long") }
    return String(decoding: buffer.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
