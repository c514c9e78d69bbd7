// Published data: a JSON object a line. What is wrong is said with the line's number.

import DMSPlatform
import DMSText

/// A record of a file of problems.
struct TaskRecord {
  let json: JSON
  /// File and line, for errors.
  let place: String

  /// The records of a file; empty lines are none.
  static func all(of path: String) throws -> [TaskRecord] {
    let file = try MappedFile(path: path)
    let text = withExtendedLifetime(file) { String(decoding: file.bytes, as: UTF8.self) }
    let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
    let records = try lines.enumerated().compactMap { index, line -> TaskRecord? in
      guard line.contains(where: { !$0.isWhitespace }) else { return nil }
      let place = "\(path), line \(index + 1)"
      let json = try JSON(parsing: String(line), source: place)
      guard json.object != nil else { throw InputError("a JSON object is expected", at: place) }
      return TaskRecord(json: json, place: place)
    }
    guard !records.isEmpty else { throw InputError("no problems", at: path, remedy: "give a JSON object a line") }
    return records
  }

  func string(_ key: String) throws -> String {
    guard let value = json[key]?.string else { throw missing(key, "a text") }
    return value
  }

  func strings(_ key: String) throws -> [String] {
    guard let list = json[key]?.array, list.count > 1, list.allSatisfy({ $0.string != nil }) else {
      throw missing(key, "a list of texts")
    }
    return list.compactMap(\.string)
  }

  func missing(_ key: String, _ form: String) -> InputError {
    InputError("\"\(key)\" is not \(form)", at: place, remedy: "give the task's published form")
  }
}
