// Texts as files, pipes and terminals give them. What is no part of a text, a byte order mark and the end of its last line, is
// taken off; what is no text is refused by name; everything inside stays. What a text is for is not known here.

import DMSPlatform
import Glibc

/// A whole text in UTF-8, from a file of any kind: a regular one, a pipe, /dev/stdin.
func readText(_ path: String) throws -> String {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { throw InputError(systemMessage(errno), at: path) }
  defer { close(descriptor) }
  return try text(from: descriptor, source: path)
}

func readStandardInput() throws -> String { try text(from: STDIN_FILENO, source: "stdin") }

/// A text as a file or a pipe ends it: the end of its last line, LF, CR LF or CR, is not part of it.
func withoutLineEnd(_ text: String) -> String {
  // CR LF is one character.
  ["\n", "\r\n", "\r"].contains(text.last) ? String(text.dropLast()) : text
}

/// What pipes may give: a terabyte of "y" is no prompt.
private let largest = 1 << 30

private func text(from descriptor: Int32, source: String) throws -> String {
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 65_536)
  while true {
    let count = read(descriptor, &buffer, buffer.count)
    if count < 0, errno == EINTR { continue }
    guard count >= 0 else { throw InputError("cannot be read: \(systemMessage(errno))", at: source) }
    bytes.append(contentsOf: buffer[..<count])
    // What is no text may have no end either: /dev/zero.
    if count == 0 || buffer[..<count].contains(0) { break }
    guard bytes.count <= largest else {
      throw InputError("longer than \(byteCount(largest))", at: source, remedy: "give a shorter text")
    }
  }
  return try decodedText(bytes, source: source)
}

/// Bytes as text.
/// - Parameter isBeginning: whether a byte order mark may come first.
/// - Throws: `InputError` that says what they are instead.
func decodedText(_ bytes: [UInt8], source: String, isBeginning: Bool = true) throws -> String {
  var bytes = bytes[...]
  if isBeginning {
    // UTF-32's mark begins with UTF-16's.
    for (form, mark) in [
      ("UTF-32", [0xFF, 0xFE, 0, 0]), ("UTF-32", [0, 0, 0xFE, 0xFF]), ("UTF-16", [0xFF, 0xFE]),
      ("UTF-16", [0xFE, 0xFF]),
    ] as [(String, [UInt8])] where bytes.starts(with: mark) {
      throw InputError("\(form) text", at: source, remedy: "convert it to UTF-8")
    }
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes = bytes.dropFirst(3) }
  }
  if let place = bytes.firstIndex(of: 0) {
    throw InputError("no text: byte \(place + 1) is NUL", at: source, remedy: "give a text in UTF-8")
  }
  guard let text = String(validating: bytes, as: UTF8.self) else {
    let place = firstInvalidByte(bytes)
    throw InputError("not UTF-8 text: byte \(place + 1) is wrong", at: source, remedy: "convert it to UTF-8")
  }
  return text
}

private func firstInvalidByte(_ bytes: ArraySlice<UInt8>) -> Int {
  var (parser, iterator) = (Unicode.UTF8.ForwardParser(), bytes.makeIterator())
  var place = bytes.startIndex
  while case .valid(let scalar) = parser.parseScalar(from: &iterator) { place += scalar.count }
  return place
}
