// One writer: what a process works on, no other may change. The lock is the system's, so it dies with its process, however
// that ends; what is locked is not known here.

import Glibc

/// An exclusive lock, held as long as the object lives.
package final class FileLock {
  private let descriptor: Int32
  /// The lock file, which goes with the lock; `nil` where a folder itself is locked.
  private let file: String?

  /// Locks a folder that exists.
  /// - Throws: `InputError` if another process or another object holds it.
  package init(folder: String) throws {
    descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    file = nil
    guard descriptor >= 0 else { throw InputError(systemMessage(errno), at: folder) }
    guard Self.lock(descriptor) else { throw Self.inUse(folder) }
  }

  /// Locks a file that need not exist and may be replaced while the lock is held: the lock lies on `.NAME.lock` beside it,
  /// or beside what a symbolic link leads to.
  /// - Throws: `InputError` if another process or another object holds it, or the folder cannot be written.
  package init(file path: String) throws {
    let target = try followingLinks(path)
    let name = target.lastIndex(of: "/").map { target[target.index(after: $0)...] } ?? target[...]
    let lock = "\(DMSPlatform.folder(of: target))/.\(name).lock"
    file = lock
    while true {
      let descriptor = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
      guard descriptor >= 0 else { throw cannotWrite(path, errno) }
      guard Self.lock(descriptor) else {
        close(descriptor)
        throw Self.inUse(path)
      }
      // Whoever held it may have removed it between the two calls: then it is another file that counts.
      if Self.isSame(descriptor, lock) {
        self.descriptor = descriptor
        return
      }
      close(descriptor)
    }
  }

  deinit {
    guard descriptor >= 0 else { return }
    if let file, Self.isSame(descriptor, file) { unlink(file) }
    close(descriptor)
  }

  /// File systems without locks give none, and refuse nobody.
  private static func lock(_ descriptor: Int32) -> Bool {
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      if errno == EINTR { continue }
      return errno != EWOULDBLOCK
    }
    return true
  }

  private static func isSame(_ descriptor: Int32, _ path: String) -> Bool {
    var (own, named) = (stat(), stat())
    return fstat(descriptor, &own) == 0 && stat(path, &named) == 0 && own.st_ino == named.st_ino
      && own.st_dev == named.st_dev
  }

  private static func inUse(_ path: String) -> InputError {
    InputError("in use by another process", at: path, remedy: "end that one first, or give another name")
  }
}
