// Writing safetensors: the tensors are declared first, their bytes come in any order, and the file appears under its name
// only when it is whole.

import DMSPlatform
import DMSTensor
import Glibc

/// One .safetensors file in the making. Dropped before `finish`, it leaves nothing behind.
public final class SafetensorsWriter {
  public struct Declaration: Sendable {
    public var name: String
    public var type: ElementType
    public var shape: [Int]

    public init(_ name: String, _ type: ElementType, _ shape: [Int]) {
      self.name = name
      self.type = type
      self.shape = shape
    }

    var bytes: Int { shape.reduce(type.size, *) }
  }

  private let path: String
  private let partial: String
  private var descriptor: Int32
  private var offsets: [String: Range<Int>] = [:]

  /// Creates `path.partial` with the header. The tensors lie in the order of their declaration.
  public init(path: String, tensors: [Declaration], metadata: KeyValuePairs<String, String> = [:]) throws {
    self.path = path
    partial = path + ".partial"
    var members: [String] = []
    if !metadata.isEmpty {
      let entries = metadata.map { "\(quoted($0.key)):\(quoted($0.value))" }
      members.append("\"__metadata__\":{\(entries.joined(separator: ","))}")
    }
    var begin = 0
    for tensor in tensors {
      let end = begin + tensor.bytes
      let shape = tensor.shape.map(String.init).joined(separator: ",")
      members.append(
        "\(quoted(tensor.name)):{\"dtype\":\"\(tensor.type.rawValue)\",\"shape\":[\(shape)],"
          + "\"data_offsets\":[\(begin),\(end)]}")
      offsets[tensor.name] = begin..<end
      begin = end
    }
    var header = Array("{\(members.joined(separator: ","))}".utf8)
    while header.count % 8 != 0 { header.append(UInt8(ascii: " ")) }
    for (name, range) in offsets { offsets[name] = range.lowerBound + 8 + header.count..<range.upperBound + 8 + header.count }
    descriptor = open(partial, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw InputError("cannot be written: \(systemMessage(errno))", at: path) }
    try withUnsafeBytes(of: UInt64(header.count).littleEndian) { try writeAll($0, at: 0) }
    try header.withUnsafeBytes { try writeAll($0, at: 8) }
    // A tensor whose bytes never come would otherwise shorten the file.
    guard ftruncate(descriptor, off_t(8 + header.count + begin)) == 0 else { throw failure() }
  }

  deinit {
    guard descriptor >= 0 else { return }
    close(descriptor)
    unlink(partial)
  }

  /// Writes part of a tensor, beginning at one of its bytes.
  /// - Precondition: the tensor was declared, and the bytes fit.
  public func write(_ bytes: UnsafeRawBufferPointer, to name: String, atByte offset: Int = 0) throws {
    guard let range = offsets[name] else { preconditionFailure("\(name) was not declared") }
    precondition(offset >= 0 && offset + bytes.count <= range.count, "bytes beyond the end of \(name)")
    try writeAll(bytes, at: range.lowerBound + offset)
  }

  /// Makes the file durable and gives it its name.
  public func finish() throws {
    guard fsync(descriptor) == 0 else { throw failure() }
    guard rename(partial, path) == 0 else { throw failure() }
    close(descriptor)
    descriptor = -1
  }

  private func writeAll(_ bytes: UnsafeRawBufferPointer, at start: Int) throws {
    var done = 0
    while done < bytes.count {
      guard let base = bytes.baseAddress else { return }
      let count = pwrite(descriptor, base + done, bytes.count - done, off_t(start + done))
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw failure() }
      done += count
    }
  }

  private func failure() -> InputError {
    InputError("cannot be written: \(systemMessage(errno))", at: path, remedy: "nothing was kept of it")
  }
}

/// Replaces a small file by another: written beside it, then renamed.
package func writeAtomically(_ bytes: [UInt8], to path: String) throws {
  let partial = path + ".partial"
  func failure() -> InputError { InputError("cannot be written: \(systemMessage(errno))", at: path) }
  let descriptor = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
  guard descriptor >= 0 else { throw failure() }
  var done = 0
  while done < bytes.count {
    let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress.map { $0 + done }, bytes.count - done) }
    if count < 0 && errno == EINTR { continue }
    guard count > 0 else {
      let error = failure()
      close(descriptor)
      unlink(partial)
      throw error
    }
    done += count
  }
  guard fsync(descriptor) == 0, close(descriptor) == 0, rename(partial, path) == 0 else {
    let error = failure()
    unlink(partial)
    throw error
  }
}

/// A JSON string literal.
package func quoted(_ text: String) -> String {
  var out = "\""
  for scalar in text.unicodeScalars {
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
