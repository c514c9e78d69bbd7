// Lines as people type them and pipes bring them: ended by LF, CR LF or a lone CR, the last one perhaps by nothing. What the
// lines say is not known here.

import DMSPlatform
import Glibc

/// Bytes cut into lines, however they come.
struct LineSplitter {
  private var bytes: [UInt8] = []
  /// How many of the bytes hold no line end.
  private var searched = 0
  /// The last line ended with CR: LF belongs to that end.
  private var skipsNewline = false

  mutating func append(_ more: some Collection<UInt8>) {
    bytes.append(contentsOf: more)
    guard skipsNewline, let first = bytes.first else { return }
    skipsNewline = false
    if first == 0x0A { bytes.removeFirst() }
  }

  /// The next whole line, without its end; `nil` if none is there yet.
  mutating func next() -> [UInt8]? {
    guard let end = bytes[searched...].firstIndex(where: { $0 == 0x0A || $0 == 0x0D }) else {
      searched = bytes.count
      return nil
    }
    let line = Array(bytes[..<end])
    let isReturn = bytes[end] == 0x0D
    bytes.removeFirst(end + 1)
    searched = 0
    if isReturn, let first = bytes.first {
      if first == 0x0A { bytes.removeFirst() }
    } else {
      skipsNewline = isReturn
    }
    return line
  }

  /// What comes after the last line's end; `nil` if nothing does.
  mutating func rest() -> [UInt8]? {
    defer { (bytes, searched) = ([], 0) }
    return bytes.isEmpty ? nil : bytes
  }
}

/// The lines of stdin.
struct InputLines {
  enum Line {
    case text(String)
    /// A line that is no text, and why.
    case damaged(InputError)
    /// Ctrl-C came before the line was whole: there is none.
    case interrupted
    case end
  }

  private var splitter = LineSplitter()
  private var hasEnded = false
  static let source = "stdin"
  /// The last line's number, from 1 on.
  private(set) var number = 0
  var place: String { "\(Self.source), line \(number)" }

  /// Waits for a line.
  /// - Throws: `InputError` if stdin cannot be read, or is no text from its beginning on.
  mutating func next() throws -> Line {
    while true {
      if let line = hasEnded ? splitter.rest() : splitter.next() { return try decoded(line) }
      if hasEnded { return .end }
      guard Interrupt.waitForInput(STDIN_FILENO) else {
        // The terminal has dropped what was typed; what it had passed on already goes, too.
        _ = splitter.rest()
        return .interrupted
      }
      try readMore()
    }
  }

  private mutating func readMore() throws {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    let count = read(STDIN_FILENO, &buffer, buffer.count)
    guard count >= 0 || errno == EINTR else {
      throw InputError("cannot be read: \(systemMessage(errno))", at: Self.source)
    }
    if count > 0 { splitter.append(buffer[..<count]) }
    hasEnded = count == 0
  }

  private mutating func decoded(_ line: [UInt8]) throws -> Line {
    number += 1
    do {
      return .text(try decodedText(line, source: place, isBeginning: number == 1))
    } catch let error as InputError {
      // In UTF-16 every line is damaged, and none is where it seems to end.
      if number == 1, error.problem.hasPrefix("UTF-") { throw error }
      return .damaged(error)
    }
  }
}
