// A file that appears under its name only when it is whole. What is written into it is not known here.

import DMSPlatform
import Glibc

/// A file without a name (or as `path.partial`, where the file system wants one) and of a known size. Dropped before `finish`, it
/// leaves nothing behind. Its place on the disk is reserved at once, so a full disk is an error before the work and not after it.
/// Bytes that are never written are zeros.
final class FileInTheMaking {
  private let path: String
  /// Where the file will be: `path`, or what it leads to as a symbolic link.
  private let target: String
  private let partial: String
  private var descriptor: Int32
  /// Whether the file is `path.partial` already.
  private var isNamed = false

  /// - Throws: `InputError` if the file cannot be created or the disk has no room for it; nothing is left behind then.
  init(_ path: String, size: Int) throws {
    self.path = path
    target = try followingLinks(path)
    partial = target + ".partial"
    descriptor = -1
    var status = stat()
    // Its parts are written out of order, which only a regular file can take.
    if stat(target, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
      throw cannotWrite(path, status.st_mode & S_IFMT == S_IFDIR ? EISDIR : ESPIPE)
    }
    descriptor = open(folder(of: target), nameless | O_RDWR | O_CLOEXEC, 0o644)
    isNamed = descriptor < 0
    // Some file systems know no file without a name.
    if isNamed { descriptor = open(partial, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644) }
    guard descriptor >= 0 else { throw failure(errno) }
    try reserve(size)
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

  /// Makes the file durable and gives it its name, replacing what had it. Nothing can be written afterwards.
  func finish() throws {
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

  /// Any order; a place may be written again.
  func write(_ bytes: UnsafeRawBufferPointer, at start: Int) throws {
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
