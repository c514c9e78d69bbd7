// The metadata of a GGUF file: typed values whose texts and lists stay in the mapping. Every count and length is compared
// with the bytes that are left before anything is made of it.

import DMSPlatform
import DMSText

/// A value of a GGUF file's metadata. Texts and lists are ranges of the mapping, valid while the file object lives.
package enum GGUFValue {
  case integer(Int)
  /// An unsigned number beyond `Int`.
  case huge(UInt64)
  case number(Double)
  case bool(Bool)
  case string(UnsafeRawBufferPointer)
  case array(GGUFArray)

  package var integer: Int? { if case .integer(let value) = self { value } else { nil } }
  package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  package var array: GGUFArray? { if case .array(let value) = self { value } else { nil } }
  package var number: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .huge(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }
  /// A copy of a text; `nil` for one that is not UTF-8, as for every other kind of value.
  package var string: String? {
    if case .string(let bytes) = self { String(validating: bytes, as: UTF8.self) } else { nil }
  }
}

/// A list of numbers, booleans or texts, one kind throughout, read from the mapping as it is walked.
package struct GGUFArray {
  package let kind: GGUFKind
  package let count: Int
  /// The elements as the file has them.
  let bytes: UnsafeRawBufferPointer

  /// Calls `body` with each element in turn. Takes no memory, and throws only what `body` does: they were read before.
  package func forEach(_ body: (GGUFValue) throws -> Void) throws {
    var cursor = GGUFCursor(bytes, path: "")
    for _ in 0..<count { try body(cursor.scalar(kind)) }
  }
}

/// The kinds of values, by their numbers in the file.
package enum GGUFKind: UInt32 {
  case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

  /// The fewest bytes of a value.
  var size: Int {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64, .string: 8
    case .array: 12
    }
  }
}

/// Reads a header from its start; never beyond its end.
struct GGUFCursor {
  private let bytes: UnsafeRawBufferPointer
  private let path: String
  private(set) var position = 0

  init(_ bytes: UnsafeRawBufferPointer, path: String) {
    self.bytes = bytes
    self.path = path
  }

  var left: Int { bytes.count - position }

  // Words for an error are made when there is one: of each of a million texts they would take longer than reading it.

  /// What every refusal of a damaged file says.
  func damaged(_ problem: String) -> InputError {
    InputError("not a valid GGUF file: \(problem)", at: path, remedy: "download it again")
  }

  mutating func take(_ count: Int, _ what: @autoclosure () -> String) throws -> UnsafeRawBufferPointer {
    guard count >= 0, count <= left else {
      throw damaged("it ends within \(what()), at byte \(position): \(count) bytes expected, \(left) left")
    }
    defer { position += count }
    return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
  }

  mutating func number<Number: FixedWidthInteger>(
    _: Number.Type, _ what: @autoclosure () -> String
  ) throws -> Number {
    Number(littleEndian: try take(MemoryLayout<Number>.size, what()).loadUnaligned(as: Number.self))
  }

  /// A count of things that take at least `size` bytes each.
  mutating func count(of size: Int, most: Int = .max, _ what: @autoclosure () -> String) throws -> Int {
    let count = try number(UInt64.self, what())
    guard count <= UInt64(min(most, left / size)) else {
      throw damaged("\(what()) is \(count), more than \(left) bytes can hold or a model needs")
    }
    return Int(count)
  }

  mutating func text(_ what: @autoclosure () -> String) throws -> UnsafeRawBufferPointer {
    try take(count(of: 1, "the length of \(what())"), what())
  }

  mutating func name(most: Int, _ what: String) throws -> String {
    let bytes = try text(what)
    guard !bytes.isEmpty, bytes.count <= most, let name = String(validating: bytes, as: UTF8.self) else {
      throw damaged("\(what) is empty, longer than \(most) bytes or not UTF-8")
    }
    return name
  }

  mutating func kind(_ what: @autoclosure () -> String) throws -> GGUFKind {
    let id = try number(UInt32.self, what())
    guard let kind = GGUFKind(rawValue: id) else { throw damaged("\(what()) has the unknown type \(id)") }
    return kind
  }

  mutating func scalar(_ kind: GGUFKind) throws -> GGUFValue {
    let what = "a value"
    switch kind {
    case .uint8: return .integer(Int(try number(UInt8.self, what)))
    case .int8: return .integer(Int(try number(Int8.self, what)))
    case .uint16: return .integer(Int(try number(UInt16.self, what)))
    case .int16: return .integer(Int(try number(Int16.self, what)))
    case .uint32: return .integer(Int(try number(UInt32.self, what)))
    case .int32: return .integer(Int(try number(Int32.self, what)))
    case .int64: return .integer(Int(try number(Int64.self, what)))
    case .uint64:
      let value = try number(UInt64.self, what)
      return Int(exactly: value).map { .integer($0) } ?? .huge(value)
    case .float32: return .number(Double(Float(bitPattern: try number(UInt32.self, what))))
    case .float64: return .number(Double(bitPattern: try number(UInt64.self, what)))
    case .bool:
      let byte = try number(UInt8.self, what)
      guard byte <= 1 else { throw damaged("a truth value is \(byte), expected 0 or 1") }
      return .bool(byte == 1)
    case .string: return .string(try text("a text"))
    case .array: throw damaged("a list within a list")
    }
  }

  mutating func value(of key: String) throws -> GGUFValue {
    let kind = try kind("key \(quoted(key))")
    guard kind == .array else { return try scalar(kind) }
    let element = try self.kind("the list \(quoted(key))")
    guard element != .array else { throw damaged("key \(quoted(key)) is a list of lists, which no model has") }
    let count = try count(of: element.size, "the count of \(quoted(key))")
    let start = position
    if element == .string {
      for _ in 0..<count { _ = try text("a text of \(quoted(key))") }
    } else {
      // Cannot overflow: the count was bounded by the bytes that are left.
      let list = try take(count * element.size, "the list \(quoted(key))")
      guard element != .bool || list.allSatisfy({ $0 <= 1 }) else {
        throw damaged("key \(quoted(key)) has a truth value that is neither 0 nor 1")
      }
    }
    return .array(
      GGUFArray(kind: element, count: count, bytes: UnsafeRawBufferPointer(rebasing: bytes[start..<position])))
  }
}
