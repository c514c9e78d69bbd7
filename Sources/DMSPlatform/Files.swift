// Files and folders by their paths: small files written whole or not at all, and what lies in a folder. What files mean is
// not known here.

import Glibc

/// Replaces a small file by another: written beside it, made durable, then renamed. Whoever reads `path` meets the old file
/// or the new one, whole. A symbolic link stays, and what it leads to is replaced. What is no regular file (a pipe, a
/// terminal) is written to as it is.
/// - Throws: `InputError` that names `path`; it is as it was then, and nothing is left beside it.
package func writeAtomically(_ bytes: [UInt8], to path: String) throws {
  var status = stat()
  if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
    let descriptor = open(path, O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw cannotWrite(path, errno) }
    defer { close(descriptor) }
    if let code = bytes.withUnsafeBytes({ writeAll($0, to: descriptor) }) { throw cannotWrite(path, code) }
    return
  }
  let target = try followingLinks(path)
  let partial = target + ".partial"
  let descriptor = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
  guard descriptor >= 0 else { throw cannotWrite(path, errno) }
  var code = bytes.withUnsafeBytes { writeAll($0, to: descriptor) }
  if code == nil, fsync(descriptor) != 0 { code = errno }
  close(descriptor)
  if code == nil, rename(partial, target) != 0 { code = errno }
  if let code {
    unlink(partial)
    throw cannotWrite(path, code)
  }
  syncFolder(of: target)
}

/// Tries whether a file could be written, before the work whose result it will hold. What is no regular file and no folder is
/// not tried: a pipe's reader would notice.
/// - Throws: `InputError` as writing would; nothing is left.
package func checkCanBeWritten(_ path: String) throws {
  var status = stat()
  if stat(path, &status) == 0 {
    guard status.st_mode & S_IFMT != S_IFDIR else { throw cannotWrite(path, EISDIR) }
    guard access(path, W_OK) == 0 else { throw cannotWrite(path, errno) }
    guard status.st_mode & S_IFMT == S_IFREG else { return }
  }
  guard !path.isEmpty else { throw cannotWrite(path, ENOENT) }
  let partial = try followingLinks(path) + ".partial"
  let descriptor = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
  // What a killed process left is no obstacle.
  guard descriptor >= 0 || errno == EEXIST else { throw cannotWrite(path, errno) }
  guard descriptor >= 0 else { return }
  // A full disk takes a file's name, and not its first block.
  let code = [UInt8](repeating: 0, count: 4096).withUnsafeBytes { writeAll($0, to: descriptor) }
  close(descriptor)
  unlink(partial)
  if let code { throw cannotWrite(path, code) }
}

/// Writes all bytes, however many calls that takes.
/// - Returns: the error's number; `nil` if all were written.
package func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32? {
  var done = 0
  while done < bytes.count {
    let count = write(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
    if count > 0 {
      done += count
    } else if count == 0 {
      // A write of nothing sets no error number.
      return ENOSPC
    } else if errno != EINTR {
      return errno
    }
  }
  return nil
}

package func cannotWrite(_ path: String, _ code: Int32) -> InputError {
  InputError("cannot be written: \(systemMessage(code))", at: path, remedy: "choose a folder that exists and has room")
}

/// Where a path leads when symbolic links are followed; what does not exist yet is named as it will be.
/// - Throws: `InputError` for links that lead in a circle.
package func followingLinks(_ link: String) throws -> String {
  var path = link
  // As many as the system follows.
  for _ in 0..<40 {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink(path, &buffer, buffer.count)
    guard count > 0 else { return path }
    let target = String(decoding: buffer[..<count].lazy.map(UInt8.init(bitPattern:)), as: UTF8.self)
    path = target.hasPrefix("/") ? target : folder(of: path) + "/" + target
  }
  throw cannotWrite(link, ELOOP)
}

/// The folder that a path lies in.
package func folder(of path: String) -> String {
  guard let slash = path.lastIndex(of: "/") else { return "." }
  return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// Makes a rename durable, where the file system can.
package func syncFolder(of path: String) {
  let descriptor = open(folder(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  guard descriptor >= 0 else { return }
  fsync(descriptor)
  close(descriptor)
}

/// The names in a folder; none if it cannot be read.
package func folderEntries(_ folder: String) -> [String] {
  var names: [String] = []
  if let directory = opendir(folder), let offset = MemoryLayout<dirent>.offset(of: \.d_name) {
    defer { closedir(directory) }
    while let entry = readdir(directory) {
      // Not through `pointee`: an entry is shorter than the structure that declares it.
      names.append(String(cString: (UnsafeRawPointer(entry) + offset).assumingMemoryBound(to: CChar.self)))
    }
  }
  return names
}
