// A file with a JSON value a line: data, prompts, problems. Empty lines count as none, and what is wrong is said with the
// line's number. A value is parsed when it is asked for, so that a file may be larger than memory.

import DMSPlatform

/// The lines of a file that hold a JSON value each.
package struct JSONLines {
  private let file: MappedFile
  private let lines: [(number: Int, range: Range<Int>)]

  /// Finds the lines that are not empty; one pass over the file.
  /// - Throws: `InputError` for a file that cannot be read.
  package init(path: String) throws {
    file = try MappedFile(path: path)
    let bytes = file.bytes
    var (lines, start, number) = ([(Int, Range<Int>)](), 0, 0)
    while start < bytes.count {
      number += 1
      let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
      if bytes[start..<end].contains(where: { $0 > 0x20 }) { lines.append((number, start..<end)) }
      start = end + 1
    }
    self.lines = lines
  }

  /// Lines that are not empty.
  package var count: Int { lines.count }

  package var isEmpty: Bool { lines.isEmpty }

  /// File and line, for errors.
  package func place(_ index: Int) -> String { "\(file.path), line \(lines[index].number)" }

  /// The value of a line.
  /// - Throws: `InputError` naming a line that is no JSON.
  package func value(_ index: Int) throws -> JSON {
    let place = place(index)
    do {
      return try JSON(parsing: UnsafeRawBufferPointer(rebasing: file.bytes[lines[index].range]), source: place)
    } catch let error as InputError {
      throw InputError(error.problem, at: place, remedy: "give one JSON object a line")
    }
  }
}
