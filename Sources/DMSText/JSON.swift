// JSON as models' files use it: configurations, tool descriptions in templates, whatever is small. Large tables are pulled
// from their bytes by `JSONReader`, which builds nothing. The order of keys is kept, because templates print it. JSONText.swift
// writes values.

import DMSPlatform

/// A JSON value. Integers that fit `Int` stay exact.
package enum JSON: Equatable, Sendable {
  case null
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case string(String)
  case array([JSON])
  case object(JSONObject)

  /// Parses a whole document. `source` names it in errors.
  package init(parsing bytes: UnsafeRawBufferPointer, source: String) throws {
    var reader = JSONReader(bytes, source: source)
    self = try reader.value()
    try reader.finish()
  }

  package init(parsing text: String, source: String) throws {
    var text = text
    self = try text.withUTF8 { try JSON(parsing: UnsafeRawBufferPointer($0), source: source) }
  }

  package init(file path: String) throws {
    let file = try MappedFile(path: path)
    self = try withExtendedLifetime(file) { try JSON(parsing: file.bytes, source: path) }
  }

  /// An object by its members.
  package static func members(_ members: KeyValuePairs<String, JSON>) -> JSON { .object(JSONObject(members)) }

  /// The member `key` of an object; `nil` for an absent key and for every other kind of value.
  package subscript(key: String) -> JSON? {
    if case .object(let object) = self { object[key] } else { nil }
  }

  package var string: String? { if case .string(let value) = self { value } else { nil } }
  package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  package var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
  package var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
  package var isNull: Bool { self == .null }
  /// An integer, also when written `4.0`.
  package var integer: Int? {
    switch self {
    case .integer(let value): value
    case .number(let value): Int(exactly: value)
    default: nil
    }
  }
  package var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }
}

/// An object that remembers the order of its keys. A repeated key keeps its first place and its last value. Keys are the
/// same when their code points are: Swift's own equality would take two spellings of "é" for one.
package struct JSONObject: Equatable, Sendable {
  private var entries: [(key: String, value: JSON)] = []
  /// By key, where it stands; empty while the object is small enough to be searched.
  private var places: [ExactText: Int] = [:]
  private static let mostSearched = 16

  package init() {}
  package init(_ members: KeyValuePairs<String, JSON>) {
    for (key, value) in members { self[key] = value }
  }

  package var keys: [String] { entries.map(\.key) }
  package var members: some Collection<(key: String, value: JSON)> { entries }

  package subscript(key: String) -> JSON? {
    get { place(of: key).map { entries[$0].value } }
    set {
      switch (place(of: key), newValue) {
      case (let place?, let value?): entries[place].value = value
      case (nil, let value?): append(key, value)
      // Nothing that is read removes a key: the cost of a new index does not matter.
      case (let place?, nil):
        entries.remove(at: place)
        places = [:]
        index()
      case (nil, nil): break
      }
    }
  }

  private mutating func append(_ key: String, _ value: JSON) {
    entries.append((key, value))
    if places.isEmpty { index() } else { places[ExactText(key)] = entries.count - 1 }
  }

  private mutating func index() {
    guard entries.count > Self.mostSearched else { return }
    for (place, entry) in entries.enumerated() { places[ExactText(entry.key)] = place }
  }

  private func place(of key: String) -> Int? {
    places.isEmpty ? entries.firstIndex { $0.key.isIdentical(to: key) } : places[ExactText(key)]
  }

  package static func == (left: JSONObject, right: JSONObject) -> Bool {
    left.entries.elementsEqual(right.entries) { $0.key.isIdentical(to: $1.key) && $0.value == $1.value }
  }
}
