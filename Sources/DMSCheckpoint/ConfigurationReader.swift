// Typed reading of a configuration's keys: every value is checked where it is read, and the error says file, key, what was
// expected and what was found.

import DMSPlatform
import DMSText

package struct ConfigurationReader {
  package let json: JSON
  package let source: String
  private let remedy: String

  init(file path: String) throws { try self.init(JSON(file: path), source: path) }

  /// - Parameter remedy: what to do about values that cannot be.
  package init(_ json: JSON, source: String, remedy: String = Self.remedy) throws {
    self.json = json
    self.source = source
    self.remedy = remedy
    try checkObject()
  }

  /// What to do about a configuration that people have edited or cut off.
  package static let remedy = "restore the file as it was published"

  private func checkObject() throws {
    guard json.object == nil else { return }
    throw InputError("a JSON object expected, found \(brief(json))", at: source, remedy: remedy)
  }

  /// The value of a key; `nil` if it is absent or null.
  package func value(_ key: String) -> JSON? {
    guard let value = json[key], !value.isNull else { return nil }
    return value
  }

  /// The object under a key as a reader of its own.
  package func object(_ key: String) throws -> ConfigurationReader? {
    try value(key).map { try ConfigurationReader($0, source: "\(source): \(key)", remedy: remedy) }
  }

  package func string(_ key: String) throws -> String? {
    guard let value = value(key) else { return nil }
    guard let string = value.string else { throw wrong(key, "a string", value) }
    return string
  }

  package func bool(_ key: String) throws -> Bool? {
    guard let value = value(key) else { return nil }
    guard let bool = value.bool else { throw wrong(key, "true or false", value) }
    return bool
  }

  package func integer(_ key: String, in range: ClosedRange<Int>) throws -> Int? {
    guard let value = value(key) else { return nil }
    guard let integer = value.integer, range.contains(integer) else {
      throw wrong(key, "an integer from \(range.lowerBound) to \(range.upperBound)", value)
    }
    return integer
  }

  package func number(_ key: String, in range: ClosedRange<Double>) throws -> Double? {
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

  /// One string or a list of strings, none empty.
  func strings(_ key: String) throws -> [String] {
    guard let value = value(key) else { return [] }
    return try (value.array ?? [value]).map { element in
      guard let string = element.string, !string.isEmpty else {
        throw wrong(key, "texts that are not empty", value)
      }
      return string
    }
  }

  package func required<Value>(_ key: String, _ value: Value?) throws -> Value {
    guard let value else { throw InputError("the key \(key) is missing", at: source, remedy: remedy) }
    return value
  }

  package func wrong(_ key: String, _ expected: String, _ found: JSON) -> InputError {
    InputError("\(expected) expected, found \(brief(found))", at: "\(source): \(key)", remedy: remedy)
  }

  /// The readers of a list's objects.
  package func objects(_ key: String) throws -> [ConfigurationReader]? {
    guard let value = value(key) else { return nil }
    guard let list = value.array else { throw wrong(key, "a list", value) }
    return try list.enumerated().map { try ConfigurationReader($1, source: "\(source): \(key)[\($0)]", remedy: remedy) }
  }

  /// A value of an enumeration by its name.
  package func choice<Value: RawRepresentable & CaseIterable>(_ key: String, _: Value.Type = Value.self) throws
    -> Value?
  where Value.RawValue == String {
    guard let name = try string(key) else { return nil }
    guard let value = Value(rawValue: name) else {
      throw wrong(key, "one of \(Value.allCases.map(\.rawValue).joined(separator: ", "))", .string(name))
    }
    return value
  }

  /// - Throws: `InputError` for the first key that is none of `known`.
  package func refuseUnknownKeys(_ known: [String]) throws {
    for key in json.object?.keys ?? [] where !known.contains(key) {
      throw InputError(
        "unknown key \(quoted(key))", at: source, remedy: "known are \(known.sorted().joined(separator: ", "))")
    }
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
