// Files and folders of the driver: written, linked, listed, removed.

import Glibc

struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

func writeFile(_ bytes: [UInt8], to path: String) throws {
  let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
  guard descriptor >= 0 else { throw Failure("\(path) cannot be written (\(errno))") }
  defer { close(descriptor) }
  var done = 0
  while done < bytes.count {
    let count = bytes.withUnsafeBytes { buffer in
      buffer.baseAddress.map { write(descriptor, $0 + done, buffer.count - done) } ?? 0
    }
    guard count > 0 else { throw Failure("\(path) cannot be written (\(errno))") }
    done += count
  }
}

func readFile(_ path: String, upTo limit: Int = .max) throws -> [UInt8] {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { throw Failure("\(path) cannot be read (\(errno))") }
  defer { close(descriptor) }
  var (bytes, buffer) = ([UInt8](), [UInt8](repeating: 0, count: 1 << 16))
  while bytes.count < limit, case let count = read(descriptor, &buffer, buffer.count), count > 0 {
    bytes += buffer[..<count]
  }
  return bytes
}

/// Makes a folder and those that it lies in.
func makeFolder(_ path: String) throws {
  if mkdir(path, 0o755) == 0 || errno == EEXIST { return }
  guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash > path.startIndex else {
    throw Failure("\(path) cannot be made (\(errno))")
  }
  try makeFolder(String(path[..<slash]))
  try makeFolder(path)
}

/// The names in a folder, ascending.
func entries(_ folder: String) throws -> [String] {
  guard let directory = opendir(folder), let offset = MemoryLayout<dirent>.offset(of: \.d_name) else {
    throw Failure("\(folder) cannot be read (\(errno))")
  }
  defer { closedir(directory) }
  var names: [String] = []
  while let entry = readdir(directory) {
    let name = String(cString: (UnsafeRawPointer(entry) + offset).assumingMemoryBound(to: CChar.self))
    if name != ".", name != ".." { names.append(name) }
  }
  return names.sorted()
}

func isFolder(_ path: String) -> Bool {
  var status = stat()
  return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}

/// Whether a regular file is there, not a link to one.
func isFile(_ path: String) -> Bool {
  var status = stat()
  return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
}

/// A file, or a folder with what is in it; nothing if it is not there.
func remove(_ path: String) throws {
  if isFolder(path) {
    for name in try entries(path) { try remove("\(path)/\(name)") }
    rmdir(path)
  } else {
    unlink(path)
  }
}

/// Gives a folder's contents a second place; files are shared unless they are to be `copied`.
func link(_ source: String, to target: String, copied: Bool) throws {
  if isFolder(source) {
    try makeFolder(target)
    for name in try entries(source) { try link("\(source)/\(name)", to: "\(target)/\(name)", copied: copied) }
  } else if copied || Glibc.link(source, target) != 0 {
    try writeFile(readFile(source), to: target)
  }
}

/// Everything under a folder with what shows a change: kind, size, place and time.
func listing(_ folder: String, under prefix: String = "") throws -> [String: String] {
  var found: [String: String] = [:]
  for name in try entries(folder) {
    let path = prefix + name
    var status = stat()
    guard lstat("\(folder)/\(name)", &status) == 0 else { continue }
    if status.st_mode & S_IFMT == S_IFDIR {
      found[path] = "folder"
      found.merge(try listing("\(folder)/\(name)", under: path + "/")) { one, _ in one }
    } else {
      found[path] =
        "\(status.st_mode) \(status.st_size) \(status.st_ino) \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
    }
  }
  return found
}
