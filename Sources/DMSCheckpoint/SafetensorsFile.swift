// A safetensors file, read by mapping: its tensors are views into the page cache. What the header may say is checked in
// SafetensorsHeader.swift; what the tensors mean is not known here.

import DMSPlatform
import DMSTensor
import DMSText

/// One .safetensors file. Tensors are views into the mapping and are valid while the file object lives.
///
/// Opening reads the header and touches no data, with one exception: a tensor whose address does not suit its type (a
/// header's length is arbitrary, and an odd number of bytes may come before) is copied to an aligned place that the file
/// object owns. So every view is aligned to its element. Files of the official library have no such tensors, unless they
/// are older than its version 0.3.
public final class SafetensorsFile: @unchecked Sendable {
  /// Where it lies.
  public let path: String
  /// The tensors' names in the order of the header.
  public let names: [String]
  /// The header's `__metadata__`.
  public let metadata: [String: String]
  private let file: MappedFile
  private let views: [String: TensorView]
  private let copies: [UnsafeMutableRawPointer]

  /// - Throws: `InputError` that names the file, the tensor and the reason.
  public init(path: String) throws {
    self.path = path
    file = try MappedFile(path: path)
    let header = try SafetensorsHeader(file.bytes, path: path)
    let data = UnsafeRawBufferPointer(rebasing: file.bytes[header.dataOffset...])
    var views: [String: TensorView] = [:]
    var copies: [UnsafeMutableRawPointer] = []
    for entry in header.entries {
      var bytes = UnsafeRawBufferPointer(rebasing: data[entry.range])
      if let base = bytes.baseAddress, Int(bitPattern: base) % entry.type.size != 0 {
        do {
          try MemoryLimits.require(
            bytes.count, for: "a copy of tensor \(quoted(entry.name)), which is not aligned,",
            remedy: "write the file again with today's safetensors")
        } catch {
          for copy in copies { copy.deallocate() }
          throw error
        }
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 64)
        copy.copyMemory(from: bytes)
        if let base = copy.baseAddress { copies.append(base) }
        bytes = UnsafeRawBufferPointer(copy)
      }
      views[entry.name] = TensorView(type: entry.type, shape: entry.shape, bytes: bytes)
    }
    names = header.entries.map(\.name)
    metadata = header.metadata
    self.views = views
    self.copies = copies
  }

  deinit { for copy in copies { copy.deallocate() } }

  /// The tensor of a name; `nil` if the file has none. Its address is a multiple of its element's size.
  public func view(_ name: String) -> TensorView? { views[name] }
}
