// The safetensors format, read by mapping: eight bytes of header length, a JSON header, the tensors' bytes. As strict as the
// official library: the tensors must fill the data without gaps, and every number is checked before it is used.

import DMSPlatform
import DMSTensor
import DMSText

/// One .safetensors file. Tensors are views into the mapping and are valid while the file object lives.
public final class SafetensorsFile: @unchecked Sendable {
  public let path: String
  /// In the order of the header.
  public let names: [String]
  public let metadata: [String: String]
  private let file: MappedFile
  private let views: [String: TensorView]
  /// Copies of tensors that lie at addresses which do not suit their type; the format does not forbid that.
  private let aligned: [UnsafeMutableRawPointer]

  private static let largestHeader = 100_000_000

  /// - Throws: `InputError` that names the file, the tensor and the reason.
  public init(path: String) throws {
    self.path = path
    file = try MappedFile(path: path)
    let bytes = file.bytes
    guard bytes.count >= 8 else { throw damaged("it has \(bytes.count) bytes, less than a header's length", path) }
    let length = bytes.loadUnaligned(as: UInt64.self)
    guard length <= Self.largestHeader else { throw damaged("its header would have \(length) bytes", path) }
    let end = 8 + Int(length)
    guard end <= bytes.count else { throw damaged("its header ends after the file", path) }
    let text = UnsafeRawBufferPointer(rebasing: bytes[8..<end])
    guard String(validating: text, as: UTF8.self) != nil else { throw damaged("its header is not UTF-8", path) }
    guard case .object(let header) = try JSON(parsing: text, source: path) else {
      throw damaged("its header is not a JSON object", path)
    }
    let data = UnsafeRawBufferPointer(rebasing: bytes[end...])
    var metadata: [String: String] = [:]
    var tensors: [(name: String, tensor: HeaderEntry)] = []
    for (name, value) in header.members {
      if name == "__metadata__" {
        metadata = try Self.metadata(value, path)
      } else {
        tensors.append((name, try HeaderEntry(value, name: name, path: path)))
      }
    }
    var reached = 0
    for (name, tensor) in tensors.sorted(by: { ($0.tensor.begin, $0.tensor.end) < ($1.tensor.begin, $1.tensor.end) }) {
      guard tensor.begin == reached else {
        throw damaged("tensor \"\(name)\" begins at byte \(tensor.begin) of the data, expected \(reached)", path)
      }
      reached = tensor.end
    }
    guard reached == data.count else {
      throw damaged("its tensors end at byte \(reached) of the data, which has \(data.count)", path)
    }
    var views: [String: TensorView] = [:]
    var aligned: [UnsafeMutableRawPointer] = []
    for (name, tensor) in tensors {
      var slice = UnsafeRawBufferPointer(rebasing: data[tensor.begin..<tensor.end])
      if let base = slice.baseAddress, Int(bitPattern: base) % tensor.type.size != 0 {
        let copy = UnsafeMutableRawPointer.allocate(byteCount: slice.count, alignment: 64)
        copy.copyMemory(from: base, byteCount: slice.count)
        aligned.append(copy)
        slice = UnsafeRawBufferPointer(start: copy, count: slice.count)
      }
      views[name] = TensorView(type: tensor.type, shape: tensor.shape, bytes: slice)
    }
    names = tensors.map(\.name)
    self.metadata = metadata
    self.views = views
    self.aligned = aligned
  }

  deinit { for copy in aligned { copy.deallocate() } }

  public func view(_ name: String) -> TensorView? { views[name] }

  private static func metadata(_ value: JSON, _ path: String) throws -> [String: String] {
    guard let members = value.object else { throw damaged("__metadata__ is not an object", path) }
    var metadata: [String: String] = [:]
    for (key, value) in members.members {
      guard let text = value.string else { throw damaged("__metadata__ \"\(key)\" is not a string", path) }
      metadata[key] = text
    }
    return metadata
  }
}

/// What the header says of one tensor, checked against itself.
private struct HeaderEntry {
  let type: ElementType
  let shape: [Int]
  let begin: Int
  let end: Int

  init(_ value: JSON, name: String, path: String) throws {
    func wrong(_ problem: String) -> InputError { damaged("tensor \"\(name)\" \(problem)", path) }
    guard value.object != nil else { throw wrong("is not described by an object") }
    guard let typeName = value["dtype"]?.string else { throw wrong("has no dtype") }
    guard let type = ElementType(rawValue: typeName) else { throw wrong("has the unknown dtype \"\(typeName)\"") }
    func naturals(_ key: String) throws -> [Int] {
      guard let array = value[key]?.array else { throw wrong("has no \(key)") }
      return try array.map { element in
        guard case .integer(let number) = element, number >= 0 else {
          throw wrong("has a \(key) that is not made of natural numbers")
        }
        return number
      }
    }
    let offsets = try naturals("data_offsets")
    guard offsets.count == 2, offsets[0] <= offsets[1] else { throw wrong("has data_offsets that are not a range") }
    shape = try naturals("shape")
    self.type = type
    begin = offsets[0]
    end = offsets[1]
    var bytes = type.size
    for dimension in shape {
      let (product, overflow) = bytes.multipliedReportingOverflow(by: dimension)
      guard !overflow else { throw wrong("has the shape \(shape), which overflows") }
      bytes = product
    }
    guard bytes == end - begin else {
      throw wrong("of shape \(shape) and dtype \(typeName) needs \(bytes) bytes, its data_offsets give \(end - begin)")
    }
  }
}

private func damaged(_ problem: String, _ path: String) -> InputError {
  InputError("not a valid safetensors file: \(problem)", at: path, remedy: "download or write it again")
}
