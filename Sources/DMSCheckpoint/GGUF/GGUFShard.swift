// One file of a GGUF model: header, metadata and the table of its tensors, checked against each other and against the
// file's size before anything is used.

import DMSPlatform
import DMSTensor
import DMSText

struct GGUFShard {
  struct Tensor {
    let type: GGMLType
    /// Outermost first; the file has them innermost first.
    let shape: [Int]
    /// Place in the file.
    let range: Range<Int>
  }

  let file: MappedFile
  /// In the file's order.
  private(set) var keys: [String] = []
  private(set) var values: [String: GGUFValue] = [:]
  /// In the file's order.
  private(set) var names: [String] = []
  private(set) var tensors: [String: Tensor] = [:]
  /// Whether the file ends where its tensors' data should begin.
  private(set) var lacksData = false

  // Far above every model: what a file may make a reader allocate.
  private static let mostKeys = 1 << 16
  private static let mostTensors = 1 << 17
  private static let longestKey = 65_535
  private static let longestName = 256

  init(path: String) throws {
    file = try MappedFile(path: path)
    var cursor = GGUFCursor(file.bytes, path: path)
    guard file.bytes.count >= 4, file.bytes.prefix(4).elementsEqual("GGUF".utf8) else {
      throw InputError(
        file.bytes.isEmpty ? "the file is empty" : "not a GGUF file: it does not begin with GGUF", at: path,
        remedy: "give a .gguf file, or the folder of a Hugging Face checkpoint")
    }
    _ = try cursor.take(4, "its magic")
    let version = try cursor.number(UInt32.self, "its version")
    guard version == 2 || version == 3 else {
      let isSwapped = (1...3).contains(version.byteSwapped)
      throw InputError(
        isSwapped ? "a big-endian GGUF file" : "GGUF version \(version)", at: path,
        remedy: "supported are versions 2 and 3, little-endian; convert the model again")
    }
    let tensorCount = try cursor.count(of: 24, most: Self.mostTensors, "the count of tensors")
    let keyCount = try cursor.count(of: 13, most: Self.mostKeys, "the count of keys")
    for _ in 0..<keyCount {
      let key = try cursor.name(most: Self.longestKey, "a key")
      guard values.updateValue(try cursor.value(of: key), forKey: key) == nil else {
        throw cursor.damaged("key \(quoted(key)) stands twice")
      }
      keys.append(key)
    }
    try readTensors(tensorCount, &cursor)
  }

  private func alignment(_ cursor: GGUFCursor) throws -> Int {
    guard let value = values["general.alignment"] else { return 32 }
    guard let alignment = value.integer, alignment >= 8, alignment <= 1 << 20, alignment & (alignment - 1) == 0 else {
      throw cursor.damaged("general.alignment is not a power of two from 8 to \(1 << 20)")
    }
    return alignment
  }

  private mutating func readTensors(_ count: Int, _ cursor: inout GGUFCursor) throws {
    let alignment = try alignment(cursor)
    var entries: [(name: String, type: GGMLType, shape: [Int], offset: Int, bytes: Int)] = []
    for _ in 0..<count {
      let name = try cursor.name(most: Self.longestName, "a tensor's name")
      let (shape, type) = (try Self.shape(name, &cursor), try Self.type(name, &cursor))
      let stored = try cursor.number(UInt64.self, "the offset of tensor \(quoted(name))")
      guard let columns = shape.last, let bytes = type.bytes(of: shape.reduce(1, *), columns: columns) else {
        throw cursor.damaged(
          "tensor \(quoted(name)) of shape \(shape) and type \(type.name) does not take whole blocks of "
            + "\(type.block.elements) numbers a row")
      }
      guard let offset = Int(exactly: stored), offset % alignment == 0 else {
        throw cursor.damaged(
          "tensor \(quoted(name)) begins at byte \(stored) of the data, which is no multiple of \(alignment)")
      }
      entries.append((name, type, shape, offset, bytes))
    }
    let start = (cursor.position + alignment - 1) / alignment * alignment
    lacksData = !entries.isEmpty && file.bytes.count <= start
    for entry in entries {
      let (first, startOverflows) = start.addingReportingOverflow(entry.offset)
      let (end, endOverflows) = first.addingReportingOverflow(entry.bytes)
      guard !startOverflows, !endOverflows, lacksData || end <= file.bytes.count else {
        throw cursor.damaged(
          "tensor \(quoted(entry.name)) of \(entry.bytes) bytes at byte \(entry.offset) of the data ends after the file"
        )
      }
      let tensor = Tensor(type: entry.type, shape: entry.shape, range: first..<end)
      guard tensors.updateValue(tensor, forKey: entry.name) == nil else {
        throw cursor.damaged("tensor \(quoted(entry.name)) stands twice")
      }
      names.append(entry.name)
    }
    try refuseOverlaps(cursor)
  }

  /// Tensors that share bytes would let a small file ask for any amount of converted weights.
  private func refuseOverlaps(_ cursor: GGUFCursor) throws {
    let places = tensors.map { (name: $0.key, range: $0.value.range) }
      .sorted { ($0.range.lowerBound, $0.name) < ($1.range.lowerBound, $1.name) }
    for (first, second) in zip(places, places.dropFirst()) where second.range.lowerBound < first.range.upperBound {
      throw cursor.damaged("tensors \(quoted(first.name)) and \(quoted(second.name)) share bytes")
    }
  }

  private static func shape(_ name: String, _ cursor: inout GGUFCursor) throws -> [Int] {
    let dimensions = try cursor.number(UInt32.self, "the dimensions of tensor \(quoted(name))")
    guard (1...4).contains(dimensions) else {
      throw cursor.damaged("tensor \(quoted(name)) has \(dimensions) dimensions, expected 1 to 4")
    }
    var (shape, count): ([Int], Int) = ([], 1)
    for _ in 0..<dimensions {
      let size = try cursor.number(UInt64.self, "the shape of tensor \(quoted(name))")
      let (product, overflow) = count.multipliedReportingOverflow(by: Int(exactly: size) ?? .max)
      guard size > 0, size <= UInt64(Int.max), !overflow else {
        throw cursor.damaged("tensor \(quoted(name)) has a dimension of \(size): its size is zero or overflows")
      }
      count = product
      shape.insert(Int(size), at: 0)
    }
    return shape
  }

  private static func type(_ name: String, _ cursor: inout GGUFCursor) throws -> GGMLType {
    let id = try cursor.number(UInt32.self, "the type of tensor \(quoted(name))")
    guard let type = GGMLType(rawValue: id) else {
      throw cursor.damaged("tensor \(quoted(name)) has the unknown type \(id)")
    }
    return type
  }
}
