// Writing GGUF (version 3, little-endian): keys and tensors are declared first, the tensors' bytes come in any order. What the keys
// mean is not known here.

import DMSPlatform
import DMSTensor

/// One GGUF file in the making. Dropped before `finish`, it leaves nothing behind.
package final class GGUFWriter {
  /// A value of the metadata.
  package enum Value {
    case integer(Int)
    case number(Double)
    case bool(Bool)
    case string(String)
    case strings([[UInt8]])
    case integers([Int])
    case numbers([Float])
    /// Elements as another file has them.
    case array(GGUFArray)
  }

  /// What a tensor will be.
  package struct Declaration {
    package var name: String
    package var type: GGMLType
    /// Outermost first.
    package var shape: [Int]

    package init(_ name: String, _ type: GGMLType, _ shape: [Int]) {
      (self.name, self.type, self.shape) = (name, type, shape)
    }

    /// - Precondition: rows of whole blocks.
    package var bytes: Int {
      let bytes = type.bytes(of: shape.reduce(1, *), columns: shape.last ?? 1)
      guard let bytes else { preconditionFailure("rows of whole blocks") }
      return bytes
    }
  }

  private static let alignment = 32
  private let file: FileInTheMaking
  private var places: [String: Int] = [:]

  /// Creates the file with its header, in the order that is given.
  /// - Precondition: names are unique.
  /// - Throws: `InputError` if the file cannot be created or the disk has no room for it; nothing is left behind then.
  package init(path: String, keys: [(key: String, value: Value)], tensors: [Declaration]) throws {
    var header = Bytes()
    header.append("GGUF".utf8)
    header.append(UInt32(3))
    header.append(UInt64(tensors.count))
    header.append(UInt64(keys.count))
    for (key, value) in keys {
      header.append(string: key.utf8)
      header.append(value)
    }
    var end = 0
    for tensor in tensors {
      header.append(string: tensor.name.utf8)
      header.append(UInt32(tensor.shape.count))
      for size in tensor.shape.reversed() { header.append(UInt64(size)) }
      header.append(tensor.type.rawValue)
      header.append(UInt64(end))
      places[tensor.name] = end
      end = Self.aligned(end + tensor.bytes)
    }
    let data = Self.aligned(header.bytes.count)
    places = places.mapValues { data + $0 }
    file = try FileInTheMaking(path, size: data + end)
    try header.bytes.withUnsafeBytes { try file.write($0, at: 0) }
  }

  private static func aligned(_ place: Int) -> Int { (place + alignment - 1) / alignment * alignment }

  /// Writes part of a tensor, beginning at one of its bytes.
  /// - Precondition: the tensor was declared, and the bytes fit.
  package func write(_ bytes: UnsafeRawBufferPointer, to name: String, atByte offset: Int = 0) throws {
    guard let place = places[name] else { preconditionFailure("\(name) was not declared") }
    try file.write(bytes, at: place + offset)
  }

  /// Makes the file durable and gives it its name, replacing what had it. Nothing can be written afterwards.
  package func finish() throws { try file.finish() }
}

private struct Bytes {
  var bytes: [UInt8] = []

  mutating func append(_ text: some Sequence<UInt8>) { bytes.append(contentsOf: text) }

  mutating func append(string text: some Collection<UInt8>) {
    append(UInt64(text.count))
    append(text)
  }

  mutating func append(_ number: some FixedWidthInteger) {
    withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
  }

  private mutating func append(_ kind: GGUFKind) { append(kind.rawValue) }

  private mutating func append(_ kind: GGUFKind, count: Int) {
    append(.array)
    append(kind)
    append(UInt64(count))
  }

  /// Counts and ids are 32 bits wide where they can be, as llama.cpp's readers want them.
  mutating func append(_ value: GGUFWriter.Value) {
    switch value {
    case .integer(let value):
      if let value = UInt32(exactly: value) {
        append(.uint32)
        append(value)
      } else {
        append(.int64)
        append(Int64(value))
      }
    case .number(let value):
      append(.float32)
      append(Float(value).bitPattern)
    case .bool(let value):
      append(.bool)
      append(UInt8(value ? 1 : 0))
    case .string(let text):
      append(.string)
      append(string: text.utf8)
    case .strings(let texts):
      append(.string, count: texts.count)
      for text in texts { append(string: text) }
    case .integers(let values):
      append(.int32, count: values.count)
      for value in values { append(Int32(truncatingIfNeeded: value)) }
    case .numbers(let values):
      append(.float32, count: values.count)
      for value in values { append(value.bitPattern) }
    case .array(let list):
      append(list.kind, count: list.count)
      append(list.bytes)
    }
  }
}
