// A cursor over a document's bytes that pulls values without building anything: a tokenizer's 150,000 entries load in a
// tenth of a second, a safetensors header of any size. Strict as RFC 8259: no NaN, no comments, no trailing commas, no lone
// surrogates. Documents come from outside: how deep they nest and how many values are built is bounded.

import DMSPlatform

/// A cursor over the bytes of a document. The bytes must outlive it.
package struct JSONReader {
  private let bytes: UnsafeBufferPointer<UInt8>
  private let source: String
  private var index = 0
  private var depth = 0
  private var built = 0
  /// Deeper documents are refused: the parser recurses, and a stack is finite.
  private static let deepest = 256
  /// Values that are built rather than passed on: at most about 300 MB of them. Real configurations have thousands.
  private static let mostBuilt = 1 << 21
  /// Longer numbers are refused; 17 digits tell every one apart.
  private static let longestNumber = 1024

  package init(_ bytes: UnsafeRawBufferPointer, source: String) {
    self.bytes = bytes.bindMemory(to: UInt8.self)
    self.source = source
  }

  package enum Kind { case object, array, string, number, literal }

  /// What comes next, by its first byte.
  package mutating func peek() throws -> Kind {
    guard let byte = skippingSpace() else { throw error("the document ends where a value is expected") }
    switch byte {
    case UInt8(ascii: "{"): return .object
    case UInt8(ascii: "["): return .array
    case UInt8(ascii: "\""): return .string
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
    case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"): return .literal
    default: throw error("a value cannot begin with \(character(byte))")
    }
  }

  /// Calls `body` for every member; `body` must consume exactly the member's value.
  package mutating func object(_ body: (inout JSONReader, String) throws -> Void) throws {
    try container(open: "{", close: "}", named: "an object") { reader in
      guard reader.skippingSpace() == UInt8(ascii: "\"") else { throw reader.error("a key in quotes is expected") }
      let key = try reader.string()
      guard reader.skippingSpace() == UInt8(ascii: ":") else {
        throw reader.error("a colon is expected after a key")
      }
      reader.index += 1
      try body(&reader, key)
    }
  }

  /// As `object`, with the key's bytes instead of a string: for objects of a hundred thousand members. The bytes are valid
  /// during the call.
  package mutating func objectBytes(
    _ body: (inout JSONReader, UnsafeBufferPointer<UInt8>) throws -> Void
  ) throws {
    var unescaped: [UInt8] = []
    try container(open: "{", close: "}", named: "an object") { reader in
      let plain = try reader.plainStringBytes()
      if plain == nil {
        unescaped.removeAll(keepingCapacity: true)
        try reader.string(into: &unescaped)
      }
      guard reader.skippingSpace() == UInt8(ascii: ":") else { throw reader.error("a colon is expected after a key") }
      reader.index += 1
      func pass(_ key: UnsafeBufferPointer<UInt8>) throws {
        do { _ = try UTF8Span(validating: key.span) } catch { throw reader.error("a key is not valid UTF-8") }
        try body(&reader, key)
      }
      if let plain { try pass(plain) } else { try unescaped.withUnsafeBufferPointer(pass) }
    }
  }

  /// Calls `body` for every element; `body` must consume exactly the element.
  package mutating func array(_ body: (inout JSONReader) throws -> Void) throws {
    try container(open: "[", close: "]", named: "an array", body)
  }

  private mutating func container(
    open: Unicode.Scalar, close: Unicode.Scalar, named name: String, _ element: (inout JSONReader) throws -> Void
  ) throws {
    guard skippingSpace() == UInt8(ascii: open) else { throw error("\(name) is expected") }
    index += 1
    depth += 1
    guard depth <= Self.deepest else { throw tooMuch("nested deeper than \(Self.deepest) levels") }
    defer { depth -= 1 }
    if skippingSpace() == UInt8(ascii: close) {
      index += 1
      return
    }
    while true {
      try element(&self)
      let next = skippingSpace()
      if next == UInt8(ascii: ",") {
        index += 1
      } else if next == UInt8(ascii: close) {
        index += 1
        return
      } else {
        throw error("\",\" or \"\(close)\" is expected")
      }
    }
  }

  package mutating func string() throws -> String {
    if let plain = try plainStringBytes() {
      guard let text = String(validating: plain, as: UTF8.self) else { throw error("a string is not valid UTF-8") }
      return text
    }
    var unescaped: [UInt8] = []
    try string(into: &unescaped)
    guard let text = String(validating: unescaped, as: UTF8.self) else { throw error("a string is not valid UTF-8") }
    return text
  }

  /// The bytes of a string that has no escapes, in place; `nil`, with nothing consumed, if it has some.
  package mutating func plainStringBytes() throws -> UnsafeBufferPointer<UInt8>? {
    guard skippingSpace() == UInt8(ascii: "\"") else { throw error("a string is expected") }
    var end = index + 1
    while end < bytes.count {
      let byte = bytes[end]
      if byte == UInt8(ascii: "\"") {
        let plain = UnsafeBufferPointer(rebasing: bytes[(index + 1)..<end])
        index = end + 1
        return plain
      }
      if byte == UInt8(ascii: "\\") { return nil }
      if byte < 0x20 { throw error("a control character stands in a string") }
      end += 1
    }
    throw error("a string does not end")
  }

  /// Appends the unescaped bytes of the next string.
  package mutating func string(into out: inout [UInt8]) throws {
    guard skippingSpace() == UInt8(ascii: "\"") else { throw error("a string is expected") }
    index += 1
    while index < bytes.count {
      let byte = bytes[index]
      index += 1
      switch byte {
      case UInt8(ascii: "\""): return
      case UInt8(ascii: "\\"): try escape(into: &out)
      case 0..<0x20: throw error("a control character stands in a string")
      default: out.append(byte)
      }
    }
    throw error("a string does not end")
  }

  private mutating func escape(into out: inout [UInt8]) throws {
    guard index < bytes.count else { throw error("a string does not end") }
    let byte = bytes[index]
    index += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(byte)
    case UInt8(ascii: "b"): out.append(0x08)
    case UInt8(ascii: "f"): out.append(0x0C)
    case UInt8(ascii: "n"): out.append(0x0A)
    case UInt8(ascii: "r"): out.append(0x0D)
    case UInt8(ascii: "t"): out.append(0x09)
    case UInt8(ascii: "u"):
      var code = try fourHexDigits()
      if code & 0xFC00 == 0xD800 {
        guard index + 1 < bytes.count, bytes[index] == UInt8(ascii: "\\"), bytes[index + 1] == UInt8(ascii: "u") else {
          throw error("half of a surrogate pair stands alone")
        }
        index += 2
        let low = try fourHexDigits()
        guard low & 0xFC00 == 0xDC00 else { throw error("half of a surrogate pair stands alone") }
        code = 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF)
      }
      guard let scalar = Unicode.Scalar(code) else { throw error("half of a surrogate pair stands alone") }
      if let encoded = UTF8.encode(scalar) { out.append(contentsOf: encoded) }
    default: throw error("unknown escape \\\(character(byte))")
    }
  }

  private mutating func fourHexDigits() throws -> UInt32 {
    guard index + 4 <= bytes.count else { throw error("a string does not end") }
    var code: UInt32 = 0
    for offset in 0..<4 {
      guard let digit = Character(Unicode.Scalar(bytes[index + offset])).hexDigitValue else {
        throw error("four hexadecimal digits are expected after \\u")
      }
      code = code << 4 | UInt32(digit)
    }
    index += 4
    return code
  }

  package mutating func integer() throws -> Int {
    guard try peek() == .number, let value = try number().integer else { throw error("an integer is expected here") }
    return value
  }

  /// The next value, whole.
  package mutating func value() throws -> JSON {
    let kind = try peek()
    built += 1
    guard built <= Self.mostBuilt else { throw tooMuch("more than \(Self.mostBuilt) values") }
    switch kind {
    case .object:
      var members = JSONObject()
      try object { reader, key in members[key] = try reader.value() }
      return .object(members)
    case .array:
      var elements: [JSON] = []
      try array { reader in elements.append(try reader.value()) }
      return .array(elements)
    case .string: return .string(try string())
    case .number: return try number()
    case .literal: return try literal()
    }
  }

  private mutating func literal() throws -> JSON {
    for (word, value) in [("true", JSON.bool(true)), ("false", .bool(false)), ("null", .null)]
    where bytes[index...].starts(with: word.utf8) {
      index += word.utf8.count
      return value
    }
    throw error("true, false or null is expected")
  }

  /// Passes over the next value.
  package mutating func skip() throws {
    switch try peek() {
    case .object: try object { reader, _ in try reader.skip() }
    case .array: try array { reader in try reader.skip() }
    case .string:
      if try plainStringBytes() == nil {
        var ignored: [UInt8] = []
        try string(into: &ignored)
      }
    case .number: _ = try number()
    case .literal: _ = try literal()
    }
  }

  /// Checks that nothing but space follows.
  package mutating func finish() throws {
    guard skippingSpace() == nil else { throw error("more follows after the document's end") }
  }

  private mutating func number() throws -> JSON {
    let start = index
    func digits() -> Int {
      var count = 0
      while index + count < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[index + count]) {
        count += 1
      }
      return count
    }
    func next(_ characters: StaticString) -> Bool {
      index < bytes.count
        && UnsafeBufferPointer(start: characters.utf8Start, count: characters.utf8CodeUnitCount)
          .contains(bytes[index])
    }
    if next("-") { index += 1 }
    let whole = digits()
    guard whole > 0, whole == 1 || bytes[index] != UInt8(ascii: "0") else { throw error("a number is malformed") }
    index += whole
    var isInteger = true
    if next(".") {
      isInteger = false
      index += 1
      let fraction = digits()
      guard fraction > 0 else { throw error("a number is malformed") }
      index += fraction
    }
    if next("eE") {
      isInteger = false
      index += 1
      if next("+-") { index += 1 }
      let exponent = digits()
      guard exponent > 0 else { throw error("a number is malformed") }
      index += exponent
    }
    guard index - start <= Self.longestNumber else { throw tooMuch("a number of \(index - start) characters") }
    if isInteger, index - start <= 18 {
      var value = 0
      for byte in bytes[start..<index] where byte != UInt8(ascii: "-") { value = value * 10 + Int(byte & 0xF) }
      return .integer(bytes[start] == UInt8(ascii: "-") ? -value : value)
    }
    let text = String(decoding: bytes[start..<index], as: UTF8.self)
    if isInteger, let value = Int(text) { return .integer(value) }
    guard let value = Double(text), value.isFinite else { throw error("the number \(text) is out of range") }
    return .number(value)
  }

  private mutating func skippingSpace() -> UInt8? {
    while index < bytes.count {
      switch bytes[index] {
      case 0x20, 0x0A, 0x0D, 0x09: index += 1
      case let byte: return byte
      }
    }
    return nil
  }

  private func character(_ byte: UInt8) -> String {
    (0x21..<0x7F).contains(byte) ? "\"\(Unicode.Scalar(byte))\"" : "byte \(byte)"
  }

  /// An error at the current place.
  package func error(_ problem: String) -> InputError { InputError("not valid JSON: \(problem)", at: location) }

  private func tooMuch(_ problem: String) -> InputError { InputError("too large to be read: \(problem)", at: location) }

  private var location: String { "\(source), line \(1 + bytes[..<min(index, bytes.count)].count { $0 == 0x0A })" }
}
