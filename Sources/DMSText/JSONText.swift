// JSON values as text, for configurations that are written again with a key more. The order of keys is kept, and numbers
// are written so that reading gives them back.

extension JSON {
  /// The value over several lines, two spaces a level, as configurations are published. No line end at the end.
  ///
  /// - Precondition: numbers are finite, as all parsed ones are.
  package var text: String {
    var out = ""
    write(level: 0, into: &out)
    return out
  }

  /// The value in one line, for logs.
  package var line: String {
    switch self {
    case .array(let elements): "[" + elements.map(\.line).joined(separator: ",") + "]"
    case .object(let object):
      "{" + object.members.map { "\($0.key.jsonLiteral):\($0.value.line)" }.joined(separator: ",") + "}"
    default: text
    }
  }

  private func write(level: Int, into out: inout String) {
    switch self {
    case .null: out += "null"
    case .bool(let value): out += value ? "true" : "false"
    case .integer(let value): out += String(value)
    case .number(let value): out += value.description
    case .string(let value): out += value.jsonLiteral
    case .array(let elements):
      Self.write(elements.map { ("", $0) }, between: "[", "]", level, into: &out)
    case .object(let object):
      Self.write(object.members.map { ("\($0.key.jsonLiteral): ", $0.value) }, between: "{", "}", level, into: &out)
    }
  }

  private static func write(
    _ members: [(label: String, value: JSON)], between open: String, _ close: String, _ level: Int,
    into out: inout String
  ) {
    out += open
    for (index, member) in members.enumerated() {
      out += (index > 0 ? "," : "") + "\n" + String(repeating: "  ", count: level + 1) + member.label
      member.value.write(level: level + 1, into: &out)
    }
    if !members.isEmpty { out += "\n" + String(repeating: "  ", count: level) }
    out += close
  }
}

extension String {
  /// A JSON string literal; text beyond ASCII stays as it is.
  package var jsonLiteral: String {
    var out = "\""
    for scalar in unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out + "\""
  }
}

/// A JSON string literal.
package func quoted(_ text: String) -> String { text.jsonLiteral }
