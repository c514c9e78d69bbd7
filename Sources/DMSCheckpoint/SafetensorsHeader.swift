// The header of a safetensors file: eight bytes of length, then JSON. As strict as the official library: the tensors must
// fill the data without gaps, and every number is checked before it is used. It must not know where the bytes come from.

import DMSPlatform
import DMSTensor
import DMSText

/// The header of a file, checked against itself and against the file's size.
struct SafetensorsHeader {
  struct Entry {
    let name: String
    let type: ElementType
    let shape: [Int]
    /// Place in the data, which begins after the header.
    let range: Range<Int>
  }

  /// In the order of the header.
  private(set) var entries: [Entry] = []
  private(set) var metadata: [String: String] = [:]
  /// Where the data begins in the file.
  let dataOffset: Int

  /// The official library's bound.
  private static let largest: UInt64 = 100_000_000

  /// - Parameter bytes: the whole file.
  /// - Throws: `InputError` that names the file, the tensor and the reason.
  init(_ bytes: UnsafeRawBufferPointer, path: String) throws {
    guard bytes.count >= 8 else { throw damaged("it has \(bytes.count) bytes, too few for a header's length", path) }
    let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    guard length <= Self.largest else { throw damaged("its header would have \(length) bytes", path) }
    dataOffset = 8 + Int(length)
    guard dataOffset <= bytes.count else {
      throw damaged("its header of \(length) bytes ends after the file, which has \(bytes.count)", path)
    }
    do {
      try parse(UnsafeRawBufferPointer(rebasing: bytes[8..<dataOffset]), path: path)
    } catch let error as InputError where error.location != path {
      // What the JSON reader says already tells its line; the file is named once.
      throw damaged("\(error.problem) in its header", path)
    }
    try checkCoverage(of: bytes.count - dataOffset, path: path)
  }

  private mutating func parse(_ text: UnsafeRawBufferPointer, path: String) throws {
    var reader = JSONReader(text, source: "header")
    guard !text.isEmpty else { throw damaged("its header is empty", path) }
    guard String(validating: text, as: UTF8.self) != nil else { throw damaged("its header is not UTF-8", path) }
    var seen: Set<String> = []
    try reader.object { reader, name in
      guard seen.insert(name).inserted else { throw damaged("tensor \(quoted(name)) is described twice", path) }
      if name == "__metadata__" {
        metadata = try Self.metadata(&reader, path)
      } else {
        entries.append(try Entry(&reader, name: name, path: path))
      }
    }
    try reader.finish()
  }

  private static func metadata(_ reader: inout JSONReader, _ path: String) throws -> [String: String] {
    switch try reader.value() {
    case .null: return [:]
    case .object(let object):
      return try object.members.reduce(into: [:]) { metadata, member in
        guard let text = member.value.string else {
          throw damaged("__metadata__ \(quoted(member.key)) is not a string", path)
        }
        metadata[member.key] = text
      }
    default: throw damaged("__metadata__ is not an object", path)
    }
  }

  /// The tensors, in the order of their offsets, must lie end to end: no gap, no overlap, nothing left.
  private func checkCoverage(of size: Int, path: String) throws {
    var reached = 0
    let ordered = entries.sorted {
      ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
    }
    for entry in ordered {
      guard entry.range.lowerBound == reached else {
        throw damaged(
          "tensor \(quoted(entry.name)) begins at byte \(entry.range.lowerBound) of the data, expected \(reached)", path
        )
      }
      guard entry.range.upperBound <= size else {
        throw damaged(
          "tensor \(quoted(entry.name)) ends at byte \(entry.range.upperBound) of the data, which has \(size)", path)
      }
      reached = entry.range.upperBound
    }
    guard reached == size else {
      throw damaged("its tensors end at byte \(reached) of the data, which has \(size)", path)
    }
  }
}

extension SafetensorsHeader.Entry {
  /// Consumes the description of one tensor. Unknown fields are passed over, as the official library does; a repeated
  /// known one is refused.
  fileprivate init(_ reader: inout JSONReader, name: String, path: String) throws {
    func wrong(_ problem: String) -> InputError { damaged("tensor \(quoted(name)) \(problem)", path) }
    guard try reader.peek() == .object else { throw wrong("is not described by an object") }
    var fields: [String: JSON] = [:]
    try reader.object { reader, key in
      guard ["dtype", "shape", "data_offsets"].contains(key) else { return try reader.skip() }
      guard fields.updateValue(try reader.value(), forKey: key) == nil else { throw wrong("has two fields \(key)") }
    }
    guard let typeName = fields["dtype"]?.string else { throw wrong("has no dtype") }
    guard let type = ElementType(rawValue: typeName) else { throw wrong("has the unknown dtype \(quoted(typeName))") }
    func naturals(_ key: String) throws -> [Int] {
      guard let array = fields[key]?.array else { throw wrong("has no \(key)") }
      return try array.map { element in
        guard case .integer(let number) = element, number >= 0 else {
          throw wrong("has a \(key) that is not made of natural numbers")
        }
        return number
      }
    }
    let offsets = try naturals("data_offsets")
    guard offsets.count == 2, offsets[0] <= offsets[1] else { throw wrong("has data_offsets that are not a range") }
    let shape = try naturals("shape")
    var count = 1
    for dimension in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
      guard !overflow else { throw wrong("has the shape \(shape), which overflows") }
      count = product
    }
    guard let bytes = type.bytes(of: count) else {
      throw wrong("of shape \(shape) and dtype \(typeName) does not take a whole, representable number of bytes")
    }
    guard bytes == offsets[1] - offsets[0] else {
      throw wrong(
        "of shape \(shape) and dtype \(typeName) needs \(bytes) bytes, its data_offsets give \(offsets[1] - offsets[0])"
      )
    }
    self.init(name: name, type: type, shape: shape, range: offsets[0]..<offsets[1])
  }
}

private func damaged(_ problem: String, _ path: String) -> InputError {
  InputError("not a valid safetensors file: \(problem)", at: path, remedy: "download or write it again")
}
