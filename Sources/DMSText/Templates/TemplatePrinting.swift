// How values become text: Python's `str` and `repr`, and `tojson` as transformers defines it (json.dumps without HTML
// escapes, non-ASCII text as it is, the order of keys kept).

/// Which engine a template is rendered like. They differ in what a template shows of its language: `True` or `true`,
/// whether `1 + 'a'` is an error, whether `true == 1`.
package enum TemplateDialect: Sendable {
  /// Jinja2 in Python, as transformers uses it: what models were trained with.
  case transformers
  /// The engine of transformers.js: values print as JSON, `+` joins a string with anything.
  case transformersJS
}

/// The options of `tojson`.
struct TemplateJSONStyle {
  var escapesNonASCII = false
  var indent: String?
  var itemSeparator: String?
  var keySeparator: String?
  var sortsKeys = false
}

extension TemplateInterpreter {
  /// What `{{ value }}` prints.
  func text(of value: TemplateValue) throws -> String {
    switch value {
    case .undefined: return ""
    case .string(let text, _): return text
    default:
      var out = ""
      if dialect == .transformers {
        try writePython(value, into: &out)
      } else {
        try writeJSON(value, TemplateJSONStyle(), into: &out)
      }
      return out
    }
  }

  /// Python's `repr`.
  func representation(of value: TemplateValue) throws -> String {
    var out = ""
    try writePython(value, into: &out)
    return out
  }

  private func writePython(_ value: TemplateValue, into out: inout String) throws {
    try spend(Self.stepCost)
    switch value {
    case .undefined: out += "Undefined"
    case .none: out += "None"
    case .bool(let value): out += value ? "True" : "False"
    case .integer(let value): out += String(value)
    case .float(let value): out += value.pythonText
    case .string(let text, let isMarkup):
      // A byte becomes four at most.
      try spend(4, times: text.utf8.count)
      out += isMarkup ? "Markup(\(text.pythonLiteral))" : text.pythonLiteral
    case .list(let list):
      out += "["
      try writePython(list.elements, into: &out)
      out += "]"
    case .tuple(let list):
      out += "("
      try writePython(list.elements, into: &out)
      out += list.elements.count == 1 ? ",)" : ")"
    case .dictionary(let dictionary):
      out += "{"
      for (index, (key, value)) in dictionary.members.enumerated() {
        if index > 0 { out += ", " }
        try writePython(key.value, into: &out)
        out += ": "
        try writePython(value, into: &out)
      }
      out += "}"
    case .namespace, .function, .loop: throw fail("\(value.kind) cannot be printed")
    }
  }

  private func writePython(_ values: [TemplateValue], into out: inout String) throws {
    for (index, value) in values.enumerated() {
      if index > 0 { out += ", " }
      try writePython(value, into: &out)
    }
  }

  func json(of value: TemplateValue, _ style: TemplateJSONStyle) throws -> String {
    var out = ""
    try writeJSON(value, style, into: &out)
    return out
  }

  private func writeJSON(
    _ value: TemplateValue, _ style: TemplateJSONStyle, level: Int = 0, into out: inout String
  ) throws {
    try spend(Self.stepCost)
    switch value {
    case .undefined(let name):
      guard dialect == .transformersJS else { throw fail("\"\(name)\" is undefined and has no JSON form") }
      out += "undefined"
    case .none: out += "null"
    case .bool(let value): out += value ? "true" : "false"
    case .integer(let value): out += String(value)
    case .float(let value):
      out += value.isFinite ? value.pythonText : value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity"
    case .string(let text, _): try writeJSON(text, style, into: &out)
    case .list(let list), .tuple(let list):
      try writeJSON(list.elements, "[", "]", style, level, into: &out) { value, out in
        try writeJSON(value, style, level: level + 1, into: &out)
      }
    case .dictionary(let dictionary):
      var members = Array(dictionary.members)
      if style.sortsKeys {
        members = try members.map { (try keyText($0.key), $0) }.sorted { $0.0.precedes($1.0) }.map(\.1)
      }
      try writeJSON(members, "{", "}", style, level, into: &out) { member, out in
        try writeJSON(try keyText(member.key), style, into: &out)
        out += style.keySeparator ?? ": "
        try writeJSON(member.value, style, level: level + 1, into: &out)
      }
    case .namespace, .function, .loop: throw fail("\(value.kind) has no JSON form")
    }
  }

  private func writeJSON<Element>(
    _ elements: [Element], _ open: String, _ close: String, _ style: TemplateJSONStyle, _ level: Int,
    into out: inout String, _ write: (Element, inout String) throws -> Void
  ) throws {
    out += open
    func newLine(_ level: Int) throws {
      guard let indent = style.indent else { return }
      try spend(indent.utf8.count * level)
      out += "\n" + String(repeating: indent, count: level)
    }
    for (index, element) in elements.enumerated() {
      if index > 0 { out += style.itemSeparator ?? (style.indent == nil ? ", " : ",") }
      try newLine(level + 1)
      try write(element, &out)
    }
    if !elements.isEmpty { try newLine(level) }
    out += close
  }

  private func keyText(_ key: TemplateKey) throws -> String {
    if case .string(let text) = key { text } else { try json(of: key.value, TemplateJSONStyle()) }
  }

  private func writeJSON(_ text: String, _ style: TemplateJSONStyle, into out: inout String) throws {
    try spend(text.utf8.count)
    out += "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      case "\u{08}": out += "\\b"
      case "\u{0C}": out += "\\f"
      case "\u{00}"..."\u{1F}":
        try spend(Self.stepCost)
        out += "\\u" + scalar.value.hexadecimal(4)
      case "\u{7F}"... where style.escapesNonASCII:
        try spend(Self.stepCost)
        for unit in UTF16.encode(scalar) ?? UTF16.encodedReplacementCharacter {
          out += "\\u" + UInt32(unit).hexadecimal(4)
        }
      default: out.unicodeScalars.append(scalar)
      }
    }
    out += "\""
  }
}

extension Double {
  /// Python's `repr`: the shortest digits that read back, an exponent from 1e16 on.
  var pythonText: String {
    guard abs(self) >= 1e16, isFinite, case let text = description, !text.contains("e") else { return description }
    // Swift writes integers up to 2^54 in full.
    let digits = text.prefix { $0 != "." }.drop { $0 == "-" }
    let fraction = digits.dropFirst().reversed().drop { $0 == "0" }.reversed()
    let mantissa = String(digits.prefix(1)) + (fraction.isEmpty ? "" : "." + String(fraction))
    return (self < 0 ? "-" : "") + mantissa + "e+\(digits.count - 1)"
  }
}

extension String {
  /// Python's `repr` of a string.
  fileprivate var pythonLiteral: String {
    let quote: Unicode.Scalar = utf8.contains(0x27) && !utf8.contains(0x22) ? "\"" : "'"
    var result = String(Character(quote))
    for scalar in unicodeScalars {
      switch scalar {
      case quote, "\\": result += "\\" + String(Character(scalar))
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case " "..."~": result.unicodeScalars.append(scalar)
      default:
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
          .spaceSeparator:
          result +=
            scalar.value < 0x100
            ? "\\x" + scalar.value.hexadecimal(2)
            : scalar.value < 0x10000 ? "\\u" + scalar.value.hexadecimal(4) : "\\U" + scalar.value.hexadecimal(8)
        default: result.unicodeScalars.append(scalar)
        }
      }
    }
    result.unicodeScalars.append(quote)
    return result
  }
}

extension UInt32 {
  fileprivate func hexadecimal(_ width: Int) -> String {
    let digits = String(self, radix: 16)
    return String(repeating: "0", count: Swift.max(0, width - digits.count)) + digits
  }
}
