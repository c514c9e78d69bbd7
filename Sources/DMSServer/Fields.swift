// The fields of a request's object, asked for one by one: each has a type and a range, and whatever was not asked for in the end
// is unknown. Null is as good as absent, for clients write out what they leave to the server.

import DMSText

/// Reads an object's members, and remembers which it was asked for.
struct Fields {
  private let object: JSONObject
  /// Where the object stands, with a full stop at the end; empty at the top.
  private let path: String
  private var known: Set<String> = []

  init(_ json: JSON, at path: String = "") throws {
    guard let object = json.object else {
      throw APIError.invalid("\(path.isEmpty ? "the body" : path) must be an object", path.isEmpty ? nil : path)
    }
    self.object = object
    self.path = path.isEmpty ? "" : path + "."
  }

  /// A member as it is; `nil` if it is absent or null.
  mutating func value(_ name: String) -> JSON? {
    known.insert(name)
    guard let value = object[name], !value.isNull else { return nil }
    return value
  }

  mutating func string(_ name: String) throws -> String? {
    try value(name).map { try $0.string ?? wrong(name, "a string") }
  }

  mutating func bool(_ name: String) throws -> Bool? {
    try value(name).map { try $0.bool ?? wrong(name, "true or false") }
  }

  mutating func integer(_ name: String, in range: ClosedRange<Int>) throws -> Int? {
    guard let value = value(name) else { return nil }
    guard let integer = value.integer, range.contains(integer) else {
      let wanted =
        range.upperBound == .max
        ? "an integer, \(range.lowerBound) or more" : "an integer from \(range.lowerBound) to \(range.upperBound)"
      return try wrong(name, wanted)
    }
    return integer
  }

  mutating func number(_ name: String, in range: ClosedRange<Double>) throws -> Double? {
    guard let value = value(name) else { return nil }
    guard let number = value.double, range.contains(number) else {
      return try wrong(name, "a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  mutating func array(_ name: String) throws -> [JSON]? {
    try value(name).map { try $0.array ?? wrong(name, "a list") }
  }

  mutating func object(_ name: String) throws -> Fields? {
    try value(name).map { try Fields($0, at: path + name) }
  }

  /// Names that nobody asked for, with their path.
  var unknown: [String] { object.keys.filter { !known.contains($0) }.map { path + $0 } }

  /// Refuses a field, in the place of its value.
  func wrong<Value>(_ name: String, _ wanted: String) throws -> Value {
    throw APIError.invalid("\(path)\(name) must be \(wanted)", path + name)
  }

  /// Refuses a field.
  func refuse(_ name: String, _ wanted: String) throws { let _: Void = try wrong(name, wanted) }

  /// The full name of a field.
  func name(_ name: String) -> String { path + name }
}

/// What unknown fields come to.
struct UnknownFields {
  private(set) var names: [String] = []

  mutating func add(_ fields: Fields) { names += fields.unknown }

  /// - Throws: an error that names the first one, unless they are to be passed over.
  func check(isLenient: Bool) throws {
    guard !isLenient, let first = names.first else { return }
    throw APIError.invalid("unknown field \(first)", first, code: "unknown_field")
  }
}
