// Published data: a JSON object a line, or a table of comma-separated values. What is wrong is said with the line's number.

import DMSPlatform
import DMSText

/// A record of a file of problems.
struct DataRecord {
  let json: JSON
  /// File and line, for errors.
  let place: String

  /// The records of a file of JSON lines; empty lines are none.
  static func all(of path: String) throws -> [DataRecord] {
    let lines = try JSONLines(path: path)
    guard !lines.isEmpty else { throw InputError("no problems", at: path, remedy: "give a JSON object a line") }
    return try (0..<lines.count).map { index in
      let (json, place) = (try lines.value(index), lines.place(index))
      guard json.object != nil else { throw InputError("a JSON object is expected", at: place) }
      return DataRecord(json: json, place: place)
    }
  }

  /// The records of a table: its first row has the names, unless they are given.
  static func table(of path: String, names given: [String]? = nil) throws -> [DataRecord] {
    var rows = try CSVTable(path: path).rows
    let names: [String]
    if let given {
      names = given
    } else {
      guard !rows.isEmpty else { throw InputError("no problems", at: path, remedy: "give a row a problem") }
      names = rows.removeFirst().fields
    }
    guard !rows.isEmpty else { throw InputError("no problems", at: path, remedy: "give a row a problem") }
    return try rows.map { row in
      let place = "\(path), line \(row.line)"
      guard row.fields.count == names.count else {
        throw InputError(
          "\(row.fields.count) columns, expected \(names.count)", at: place, remedy: "give the task's published form")
      }
      var object = JSONObject()
      for (name, field) in zip(names, row.fields) { object[name] = .string(field) }
      return DataRecord(json: .object(object), place: place)
    }
  }

  func string(_ key: String) throws -> String {
    guard let value = json[key]?.string else { throw missing(key, "a text") }
    return value
  }

  /// A text, or an integer as one.
  func word(_ key: String) throws -> String {
    guard let value = json[key]?.string ?? json[key]?.integer.map({ String($0) }), !value.isEmpty else {
      throw missing(key, "a text or a whole number")
    }
    return value
  }

  func strings(_ key: String) throws -> [String] {
    guard let list = json[key]?.array, list.count > 1, list.allSatisfy({ $0.string != nil }) else {
      throw missing(key, "a list of texts")
    }
    return list.compactMap(\.string)
  }

  /// The record's own name, by the first of these keys that it has; else its place among all.
  func id(_ keys: String..., place: Int) -> String {
    keys.lazy.compactMap { json[$0]?.string ?? json[$0]?.integer.map { String($0) } }.first ?? String(place)
  }

  func missing(_ key: String, _ form: String) -> InputError {
    InputError("\(quoted(key)) is not \(form)", at: place, remedy: "give the task's published form")
  }
}

/// A text file that must be UTF-8.
enum DataText {
  /// - Throws: `InputError` naming the line that is not.
  static func read(_ path: String) throws -> String {
    let file = try MappedFile(path: path)
    return try withExtendedLifetime(file) {
      if let text = String(validating: file.bytes, as: UTF8.self) { return text }
      let lines = file.bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      let wrong = lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0
      throw InputError("not UTF-8 text", at: "\(path), line \(wrong + 1)", remedy: "convert it to UTF-8")
    }
  }
}

/// Rows of comma-separated values (RFC 4180): fields in quotes may hold commas, line ends and doubled quotes.
struct CSVTable {
  /// Each row's fields, and the line that it begins in.
  private(set) var rows: [(line: Int, fields: [String])] = []

  /// - Throws: `InputError` for a file that cannot be read, is not UTF-8, or has a quote without end.
  init(path: String) throws {
    var (fields, field) = ([String](), [UInt8]())
    var (line, begin, isQuoted, wasQuoted) = (1, 1, false, false)
    func endField() {
      fields.append(String(decoding: field, as: UTF8.self))
      (field, wasQuoted) = ([], false)
    }
    func endRow() {
      if !fields.isEmpty || !field.isEmpty || wasQuoted {
        endField()
        rows.append((begin, fields))
      }
      (fields, begin) = ([], line)
    }
    var bytes = Array(try DataText.read(path).utf8)[...]
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes = bytes.dropFirst(3) }
    var place = bytes.startIndex
    while place < bytes.endIndex {
      let byte = bytes[place]
      place += 1
      if byte == UInt8(ascii: "\n") { line += 1 }
      if isQuoted {
        guard byte == UInt8(ascii: "\"") else {
          field.append(byte)
          continue
        }
        if place < bytes.endIndex, bytes[place] == byte {
          field.append(byte)
          place += 1
        } else {
          isQuoted = false
        }
        continue
      }
      switch byte {
      case UInt8(ascii: "\"") where field.isEmpty: (isQuoted, wasQuoted) = (true, true)
      case UInt8(ascii: ","): endField()
      case UInt8(ascii: "\n"): endRow()
      case UInt8(ascii: "\r") where place == bytes.endIndex || bytes[place] == UInt8(ascii: "\n"): break
      default: field.append(byte)
      }
    }
    guard !isQuoted else {
      throw InputError("a quote has no end", at: "\(path), line \(begin)", remedy: "give the task's published form")
    }
    endRow()
  }
}
