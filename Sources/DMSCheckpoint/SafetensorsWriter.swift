// Writing safetensors: the tensors are declared first, their bytes come in any order. How the file appears under its name only
// when it is whole: FileInTheMaking.swift.

import DMSPlatform
import DMSTensor
import DMSText

/// One .safetensors file in the making, without a name (or as `path.partial`, where the file system wants one). Dropped before `finish`, it leaves nothing behind.
///
/// The data's place on the disk is reserved when the writer is made, so a full disk is an error before the work and not
/// after it. Bytes that are never written are zeros.
public final class SafetensorsWriter {
  /// What a tensor will be.
  public struct Declaration: Sendable {
    /// Unique in a file.
    public var name: String
    /// Of its elements.
    public var type: ElementType
    /// Row-major, the outermost dimension first.
    public var shape: [Int]

    /// A tensor of a name, a type and a shape.
    public init(_ name: String, _ type: ElementType, _ shape: [Int]) {
      self.name = name
      self.type = type
      self.shape = shape
    }

    /// `nil` if it has no size in bytes that a file could have.
    fileprivate var bytes: Int? {
      var count = 1
      for dimension in shape {
        let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
        guard dimension >= 0, !overflow else { return nil }
        count = product
      }
      return type.bytes(of: count)
    }
  }

  /// Where the tensors lie in the file.
  public enum Order: Sendable {
    /// As the official library writes them: wide types first, so that every tensor is aligned to its element.
    case byType
    /// As they are declared, after a header that ends at a multiple of 64 bytes: so does every tensor then, as long as
    /// those before it have such sizes.
    case asDeclared

    fileprivate var headerAlignment: Int { self == .byType ? 8 : 64 }
  }

  private let file: FileInTheMaking
  /// Where each tensor lies in the file.
  private var places: [String: Range<Int>] = [:]

  /// Creates `path.partial` with the header and room for the data. The tensors lie in the order of their declaration, by
  /// default wide types first, and the header has the official library's form.
  /// - Precondition: names are unique.
  /// - Throws: `InputError` if the file cannot be created or the disk has no room for it; nothing is left behind then.
  public init(
    path: String, tensors: [Declaration], metadata: KeyValuePairs<String, String> = [:], order: Order = .byType
  ) throws {
    // By size and then by place, for Swift does not promise that sorting is stable.
    let ordered =
      order == .asDeclared
      ? tensors
      : tensors.enumerated()
        .sorted { ($1.element.type.size, $0.offset) < ($0.element.type.size, $1.offset) }.map(\.element)
    var members = JSONObject()
    if !metadata.isEmpty {
      var entries = JSONObject()
      for (key, value) in metadata { entries[key] = .string(value) }
      members["__metadata__"] = .object(entries)
    }
    var end = 0
    for tensor in ordered {
      let begin = end
      guard let bytes = tensor.bytes, case (let sum, false) = begin.addingReportingOverflow(bytes), sum < 1 << 62 else {
        throw InputError("tensor \(quoted(tensor.name)) of shape \(tensor.shape) is too large for a file", at: path)
      }
      end = sum
      members[tensor.name] = .members([
        "dtype": .string(tensor.type.rawValue), "shape": .array(tensor.shape.map(JSON.integer)),
        "data_offsets": .array([.integer(begin), .integer(end)]),
      ])
      let former = places.updateValue(begin..<end, forKey: tensor.name)
      precondition(former == nil, "\(tensor.name) was declared twice")
    }
    var header = Array(JSON.object(members).line.utf8)
    while (8 + header.count) % order.headerAlignment != 0 { header.append(UInt8(ascii: " ")) }
    let data = 8 + header.count
    places = places.mapValues { data + $0.lowerBound..<data + $0.upperBound }
    file = try FileInTheMaking(path, size: data + end)
    try withUnsafeBytes(of: UInt64(header.count).littleEndian) { try file.write($0, at: 0) }
    try header.withUnsafeBytes { try file.write($0, at: 8) }
  }

  /// Writes part of a tensor, beginning at one of its bytes. Any order; a place may be written again.
  /// - Precondition: the tensor was declared, and the bytes fit.
  public func write(_ bytes: UnsafeRawBufferPointer, to name: String, atByte offset: Int = 0) throws {
    guard let place = places[name] else { preconditionFailure("\(name) was not declared") }
    precondition(offset >= 0 && offset <= place.count - bytes.count, "bytes beyond the end of \(name)")
    try file.write(bytes, at: place.lowerBound + offset)
  }

  /// Makes the file durable and gives it its name, replacing what had it. Nothing can be written afterwards.
  public func finish() throws { try file.finish() }
}
