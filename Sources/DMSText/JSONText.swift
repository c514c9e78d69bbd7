// JSON values as text: the one encoder of configurations, logs and reports. The order of keys is kept, and numbers are
// written so that reading gives them back. It knows nothing of what is written; templates print by Python's rules and have
// their own (TemplatePrinting.swift).

extension JSON {
  /// The value over several lines, two spaces a level, as configurations are published. No line end at the end.
  /// A number that is not finite becomes null, for which JSON has nothing else.
  public var text: String { JSONEncoding.text(of: self, isIndented: true) }

  /// The value in one line, for logs and reports; otherwise as `text`.
  public var line: String { JSONEncoding.text(of: self, isIndented: false) }
}

extension JSON {
  /// A measured number with so many decimals as are worth reading.
  package static func rounded(_ value: Double, _ places: Int) -> JSON {
    var scale = 1.0
    for _ in 0..<places { scale *= 10 }
    let rounded = (value * scale).rounded() / scale
    // Beyond what the scale can hold there are no decimals.
    return .number(rounded.isFinite ? rounded : value)
  }
}

extension String {
  /// A JSON string literal; text beyond ASCII stays as it is.
  package var jsonLiteral: String {
    var encoding = JSONEncoding(isIndented: false)
    encoding.write(self)
    return encoding.text
  }
}

/// A JSON string literal.
package func quoted(_ text: String) -> String { text.jsonLiteral }

/// Text that grows by one value after another: linear in its size.
private struct JSONEncoding {
  private var bytes: [UInt8] = []
  private let isIndented: Bool

  init(isIndented: Bool) { self.isIndented = isIndented }

  static func text(of value: JSON, isIndented: Bool) -> String {
    var encoding = JSONEncoding(isIndented: isIndented)
    encoding.write(value, level: 0)
    return encoding.text
  }

  var text: String { String(decoding: bytes, as: UTF8.self) }

  private mutating func write(_ value: JSON, level: Int) {
    switch value {
    case .null: write(plain: "null")
    case .bool(let value): write(plain: value ? "true" : "false")
    case .integer(let value): write(plain: String(value))
    case .number(let value): write(plain: value.isFinite ? value.description : "null")
    case .string(let value): write(value)
    case .array(let elements):
      write(elements, between: "[", "]", level) { $0.write($1, level: level + 1) }
    case .object(let object):
      write(object.members, between: "{", "}", level) { encoding, member in
        encoding.write(member.key)
        encoding.write(plain: encoding.isIndented ? ": " : ":")
        encoding.write(member.value, level: level + 1)
      }
    }
  }

  private mutating func write<Elements: Sequence>(
    _ elements: Elements, between open: String, _ close: String, _ level: Int,
    _ write: (inout JSONEncoding, Elements.Element) -> Void
  ) {
    self.write(plain: open)
    var isEmpty = true
    for element in elements {
      if !isEmpty { self.write(plain: ",") }
      isEmpty = false
      breakLine(level + 1)
      write(&self, element)
    }
    if !isEmpty { breakLine(level) }
    self.write(plain: close)
  }

  private mutating func breakLine(_ level: Int) {
    guard isIndented else { return }
    bytes.append(UInt8(ascii: "\n"))
    bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * level))
  }

  private mutating func write(plain text: String) { bytes.append(contentsOf: text.utf8) }

  mutating func write(_ string: String) {
    bytes.append(UInt8(ascii: "\""))
    for byte in string.utf8 {
      switch byte {
      case UInt8(ascii: "\""): write(plain: "\\\"")
      case UInt8(ascii: "\\"): write(plain: "\\\\")
      case UInt8(ascii: "\n"): write(plain: "\\n")
      case UInt8(ascii: "\r"): write(plain: "\\r")
      case UInt8(ascii: "\t"): write(plain: "\\t")
      case 0..<0x20: write(plain: (byte < 0x10 ? "\\u000" : "\\u00") + String(byte, radix: 16))
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }
}
