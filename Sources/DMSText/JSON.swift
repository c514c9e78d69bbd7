// JSON as models' files use it: configurations, tool descriptions in templates, whatever is small. Large tables are pulled
// from their bytes by `JSONReader`, which builds nothing. The order of keys is kept, because templates print it. JSONText.swift
// writes values.

import DMSPlatform

/// A JSON value: what a message or a tool may say beyond role and text. Integers that fit `Int` stay exact.
public enum JSON: Equatable, Sendable {
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

  /// Parses a whole document, strictly (RFC 8259).
  /// - Parameter source: names it in errors.
  /// - Throws: `InputError` with the line of what is malformed.
  public init(parsing text: String, source: String = "JSON") throws {
    var text = text
    self = try text.withUTF8 { try JSON(parsing: UnsafeRawBufferPointer($0), source: source) }
  }

  /// Parses a file. Takes several times its size in memory.
  /// - Throws: `InputError`, as `init(parsing:source:)`, and for a file that cannot be read.
  public init(file path: String) throws {
    let file = try MappedFile(path: path)
    self = try withExtendedLifetime(file) { try JSON(parsing: file.bytes, source: path) }
  }

  /// An object by its members.
  public static func members(_ members: KeyValuePairs<String, JSON>) -> JSON { .object(JSONObject(members)) }

  /// The member `key` of an object; `nil` for an absent key and for every other kind of value.
  public subscript(key: String) -> JSON? {
    if case .object(let object) = self { object[key] } else { nil }
  }

  /// The text of a string; `nil` for every other kind of value, as for those that follow.
  public var string: String? { if case .string(let value) = self { value } else { nil } }
  /// The truth of a boolean.
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  /// The elements of a list.
  public var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
  /// The members of an object.
  public var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
  /// Whether it is null.
  public var isNull: Bool { self == .null }
  /// An integer, also when written `4.0`.
  public var integer: Int? {
    switch self {
    case .integer(let value): value
    case .number(let value): Int(exactly: value)
    default: nil
    }
  }
  /// The value of a number.
  public var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }
}

/// An object that remembers the order of its keys. A repeated key keeps its first place and its last value. Keys are the
/// same when their code points are: Swift's own equality would take two spellings of "é" for one.
public struct JSONObject: Equatable, Sendable {
  private var entries: [(key: String, value: JSON)] = []
  /// By key, where it stands; empty while the object is small enough to be searched.
  private var places: [ExactText: Int] = [:]
  private static let mostSearched = 16

  /// No members.
  public init() {}
  /// Members in their order.
  public init(_ members: KeyValuePairs<String, JSON>) {
    for (key, value) in members { self[key] = value }
  }

  /// In the order of the members.
  public var keys: [String] { entries.map(\.key) }
  /// Keys and values, in order.
  public var members: some Collection<(key: String, value: JSON)> { entries }

  /// The member of a key; setting nil removes it.
  public subscript(key: String) -> JSON? {
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

  /// Whether both have the same members in the same order.
  public static func == (left: JSONObject, right: JSONObject) -> Bool {
    left.entries.elementsEqual(right.entries) { $0.key.isIdentical(to: $1.key) && $0.value == $1.value }
  }
}
