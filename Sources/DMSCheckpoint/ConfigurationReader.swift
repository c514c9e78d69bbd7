// Typed reading of a configuration's keys: every value is checked where it is read, and the error says file, key, what was
// expected and what was found.

import DMSPlatform
import DMSText

struct ConfigurationReader {
  let json: JSON
  let source: String

  init(file path: String) throws {
    source = path
    json = try JSON(file: path)
    try checkObject()
  }

  init(_ json: JSON, source: String) throws {
    self.json = json
    self.source = source
    try checkObject()
  }

  /// What to do about a configuration that people have edited or cut off.
  static let remedy = "restore the file as it was published"

  private func checkObject() throws {
    guard json.object == nil else { return }
    throw InputError("a JSON object expected, found \(brief(json))", at: source, remedy: Self.remedy)
  }

  /// The value of a key; `nil` if it is absent or null.
  func value(_ key: String) -> JSON? {
    guard let value = json[key], !value.isNull else { return nil }
    return value
  }

  /// The object under a key as a reader of its own.
  func object(_ key: String) throws -> ConfigurationReader? {
    try value(key).map { try ConfigurationReader($0, source: "\(source): \(key)") }
  }

  func string(_ key: String) throws -> String? {
    guard let value = value(key) else { return nil }
    guard let string = value.string else { throw wrong(key, "a string", value) }
    return string
  }

  func bool(_ key: String) throws -> Bool? {
    guard let value = value(key) else { return nil }
    guard let bool = value.bool else { throw wrong(key, "true or false", value) }
    return bool
  }

  func integer(_ key: String, in range: ClosedRange<Int>) throws -> Int? {
    guard let value = value(key) else { return nil }
    guard let integer = value.integer, range.contains(integer) else {
      throw wrong(key, "an integer from \(range.lowerBound) to \(range.upperBound)", value)
    }
    return integer
  }

  func number(_ key: String, in range: ClosedRange<Double>) throws -> Double? {
    guard let value = value(key) else { return nil }
    guard let number = value.double, range.contains(number) else {
      throw wrong(key, "a number from \(range.lowerBound) to \(range.upperBound)", value)
    }
    return number
  }

  /// One id or a list of ids.
  func ids(_ key: String, below limit: Int) throws -> [Int] {
    guard let value = value(key) else { return [] }
    return try (value.array ?? [value]).map { element in
      guard let id = element.integer, id >= 0, id < limit else {
        throw wrong(key, "token ids below \(limit)", value)
      }
      return id
    }
  }

  func required<Value>(_ key: String, _ value: Value?) throws -> Value {
    guard let value else { throw InputError("the key \(key) is missing", at: source, remedy: Self.remedy) }
    return value
  }

  func wrong(_ key: String, _ expected: String, _ found: JSON) -> InputError {
    InputError("\(expected) expected, found \(brief(found))", at: "\(source): \(key)", remedy: Self.remedy)
  }

  private func brief(_ value: JSON) -> String {
    switch value {
    case .null: "null"
    case .bool(let bool): "\(bool)"
    case .integer(let integer): "\(integer)"
    case .number(let number): "\(number)"
    case .string(let string): quoted(String(string.prefix(60)))
    case .array: "an array"
    case .object: "an object"
    }
  }
}
