// Writing safetensors: the tensors are declared first, their bytes come in any order, and the file appears under its name
// only when it is whole.

import DMSPlatform
import DMSTensor
import DMSText
import Glibc

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

  private let path: String
  /// Where the file will be: `path`, or what it leads to as a symbolic link.
  private let target: String
  private let partial: String
  private var descriptor: Int32
  /// Whether the file is `path.partial` already.
  private var isNamed = false
  /// Where each tensor lies in the file.
  private var places: [String: Range<Int>] = [:]

  /// Creates `path.partial` with the header and room for the data. The tensors lie in the order of their declaration, by
  /// default wide types first, and the header has the official library's form.
  /// - Precondition: names are unique.
  /// - Throws: `InputError` if the file cannot be created or the disk has no room for it; nothing is left behind then.
  public init(
    path: String, tensors: [Declaration], metadata: KeyValuePairs<String, String> = [:], order: Order = .byType
  ) throws {
    self.path = path
    target = try followingLinks(path)
    partial = target + ".partial"
    descriptor = -1
    var status = stat()
    // Its parts are written out of order, which only a regular file can take.
    if stat(target, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
      throw cannotWrite(path, status.st_mode & S_IFMT == S_IFDIR ? EISDIR : ESPIPE)
    }
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
    descriptor = open(folder(of: target), nameless | O_RDWR | O_CLOEXEC, 0o644)
    isNamed = descriptor < 0
    // Some file systems know no file without a name.
    if isNamed { descriptor = open(partial, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644) }
    guard descriptor >= 0 else { throw failure(errno) }
    try reserve(data + end)
    try withUnsafeBytes(of: UInt64(header.count).littleEndian) { try writeAll($0, at: 0) }
    try header.withUnsafeBytes { try writeAll($0, at: 8) }
  }

  private func reserve(_ size: Int) throws {
    var code = EINTR
    while code == EINTR { code = posix_fallocate(descriptor, 0, off_t(size)) }
    if code == 0 { return }
    // Some file systems cannot reserve; the file then has its size, and room is found when the bytes come.
    guard [EOPNOTSUPP, EINVAL, ENOSYS].contains(code) else { throw failure(code) }
    guard ftruncate(descriptor, off_t(size)) == 0 else { throw failure(errno) }
  }

  deinit {
    guard descriptor >= 0 else { return }
    close(descriptor)
    if isNamed { unlink(partial) }
  }

  /// Writes part of a tensor, beginning at one of its bytes. Any order; a place may be written again.
  /// - Precondition: the tensor was declared, and the bytes fit.
  public func write(_ bytes: UnsafeRawBufferPointer, to name: String, atByte offset: Int = 0) throws {
    guard let place = places[name] else { preconditionFailure("\(name) was not declared") }
    precondition(offset >= 0 && offset <= place.count - bytes.count, "bytes beyond the end of \(name)")
    try writeAll(bytes, at: place.lowerBound + offset)
  }

  /// Makes the file durable and gives it its name, replacing what had it. Nothing can be written afterwards.
  public func finish() throws {
    guard fsync(descriptor) == 0 else { throw failure(errno) }
    if !isNamed {
      // Only a rename replaces a file, and only a file with a name can be renamed.
      unlink(partial)
      let own = "/proc/self/fd/\(descriptor)"
      guard linkat(AT_FDCWD, own, AT_FDCWD, partial, AT_SYMLINK_FOLLOW) == 0 else { throw failure(errno) }
      isNamed = true
    }
    guard rename(partial, target) == 0 else { throw failure(errno) }
    close(descriptor)
    descriptor = -1
    syncFolder(of: target)
  }

  private func writeAll(_ bytes: UnsafeRawBufferPointer, at start: Int) throws {
    var done = 0
    while done < bytes.count {
      guard let base = bytes.baseAddress else { return }
      let count = pwrite(descriptor, base + done, bytes.count - done, off_t(start + done))
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw failure(count < 0 ? errno : ENOSPC) }
      done += count
    }
  }

  private func failure(_ code: Int32) -> InputError { cannotWrite(path, code) }
}

/// A file without a name: it vanishes with the process that made it, however that ends. Linux's O_TMPFILE, a macro that
/// Swift does not see.
private let nameless = 0o20_000_000 | O_DIRECTORY
