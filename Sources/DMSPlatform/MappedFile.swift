// A file's bytes without a copy: read-only, shared with the page cache, so that loading a 3 GB checkpoint takes no 3 GB.

import Glibc

/// A whole file, mapped read-only for the lifetime of the object.
///
/// The bytes are valid while the object lives; whoever keeps a pointer into them keeps the object. A file that another
/// process truncates while it is mapped raises SIGBUS on access, as for every mapped reader; its size is checked at opening.
public final class MappedFile: @unchecked Sendable {
  /// The path that was opened.
  public let path: String
  /// The whole file; valid as long as the object lives. No address for a file without bytes.
  public let bytes: UnsafeRawBufferPointer

  /// Maps a regular file. Nothing is read before it is used.
  ///
  /// - Throws: `InputError` if the file cannot be opened, is not a regular file, or cannot be mapped.
  public init(path: String) throws {
    self.path = path
    // Without waiting: a pipe that nobody writes to would keep the program for ever before it is refused.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw InputError(systemMessage(errno), at: path) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw InputError(systemMessage(errno), at: path) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw InputError("not a regular file", at: path) }
    let count = Int(status.st_size)
    guard count > 0 else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let base = mmap(nil, count, PROT_READ, MAP_SHARED, descriptor, 0), base != MAP_FAILED else {
      throw InputError("cannot be mapped: \(systemMessage(errno))", at: path)
    }
    bytes = UnsafeRawBufferPointer(start: base, count: count)
  }

  /// Gives back the memory of bytes of a mapped file. They stay readable, from the page cache or the disk.
  ///
  /// - Precondition: they are a mapped file's.
  public static func letGo(of bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let first = (Int(bitPattern: base) + page - 1) / page * page
    let end = (Int(bitPattern: base) + bytes.count) / page * page
    if first < end { madvise(UnsafeMutableRawPointer(bitPattern: first), end - first, MADV_DONTNEED) }
  }

  deinit {
    if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
  }
}

/// The system's text for an error number, in lower case as it stands within a sentence.
package func systemMessage(_ code: Int32) -> String {
  guard let text = strerror(code) else { return "error \(code)" }
  let message = String(cString: text)
  return message.prefix(1).lowercased() + message.dropFirst()
}
