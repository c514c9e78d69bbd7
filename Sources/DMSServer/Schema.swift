// A JSON Schema as the values that it allows: what of the standard can be promised byte by byte. A keyword that could not be
// kept is refused, not ignored.

import DMSText

/// A compiled schema: nodes that refer to each other by their places.
struct Schema: Sendable {
  /// What a value may be.
  indirect enum Node: Sendable {
    /// Anything.
    case any
    /// One of these texts.
    case texts([[UInt8]])
    case string
    case number(isInteger: Bool)
    /// Members in this order, and whatever else, if anything.
    case object([Member], rest: Int?)
    /// Elements, and how many.
    case array(Int, ClosedRange<Int>)
    case oneOf([Int])
  }

  /// A member of an object.
  struct Member: Sendable {
    /// The name as it is written, with quotes.
    let name: [UInt8]
    let node: Int
    let isRequired: Bool
  }

  private(set) var nodes: [Node] = [.any]
  private(set) var root = 0
  /// Definitions by their path, so that they may refer to themselves.
  private var known: [String: Int] = [:]
  private let document: JSON
  /// Of what is being compiled.
  private var depth = 0
  private static let mostNodes = 10_000
  private static let deepest = 128
  private static let annotations: Set<String> = [
    "title", "description", "default", "examples", "$schema", "$id", "$defs", "definitions", "$comment", "deprecated",
    "readOnly", "writeOnly", "strict",
  ]

  /// Any object.
  init() {
    document = .null
    nodes.append(.object([], rest: 0))
    root = 1
  }

  /// - Throws: `APIError` that names what cannot be promised.
  init(_ json: JSON) throws {
    document = json
    root = try compile(json, at: "schema")
    try flatten()
  }

  /// Choices of choices become the values that they come to, each once. One that leads back to itself adds none: what follows a
  /// choice never turns in circles, and never takes more steps than there are nodes.
  private mutating func flatten() throws {
    for place in nodes.indices {
      guard case .oneOf = nodes[place] else { continue }
      var (open, seen, values) = ([place], Set<Int>(), [Int]())
      while let next = open.popLast() {
        guard seen.insert(next).inserted else { continue }
        if case .oneOf(let places) = nodes[next] { open += places.reversed() } else { values.append(next) }
      }
      guard !values.isEmpty else { throw refused("a choice without values") }
      nodes[place] = .oneOf(values)
    }
  }

  private mutating func add(_ node: Node) throws -> Int {
    guard nodes.count < Self.mostNodes else { throw APIError.invalid("the schema is too large", "response_format") }
    nodes.append(node)
    return nodes.count - 1
  }

  private func refused(_ what: String) -> APIError { .invalid("\(what) cannot be promised", "response_format") }

  private mutating func compile(_ json: JSON, at path: String) throws -> Int {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.deepest else { throw APIError.invalid("\(path) nests too deep", "response_format") }
    if json == .bool(true) { return 0 }
    guard let object = json.object else { throw APIError.invalid("\(path) must be an object", "response_format") }
    var rest = Set(object.keys).subtracting(Self.annotations)
    func take(_ name: String) -> JSON? {
      rest.remove(name)
      return object[name]
    }
    if let list = object["enum"], list.array == nil { throw refused("\(path).enum that is no list") }
    let node: Int
    if let reference = take("$ref") {
      node = try self.reference(reference.string ?? "", at: path)
    } else if let values = take("const").map({ [$0] }) ?? take("enum")?.array {
      let types = take("type").map { $0.array ?? [$0] }
      let fitting = values.filter { value in types?.contains { Self.isOf($0.string ?? "", value) } ?? true }
      guard !fitting.isEmpty else { throw refused("\(path).enum without values") }
      node = try add(.texts(fitting.map { Array($0.line.utf8) }))
    } else if let choices = take("anyOf") {
      guard let list = choices.array, !list.isEmpty else { throw refused("\(path).anyOf without choices") }
      var places: [Int] = []
      for (index, choice) in list.enumerated() { places.append(try compile(choice, at: "\(path).anyOf[\(index)]")) }
      node = try add(.oneOf(places))
    } else {
      var places: [Int] = []
      let names = take("type").map { ($0.array ?? [$0]).map { $0.string ?? $0.line } }
      let implied = object["properties"] != nil ? ["object"] : object["items"] != nil ? ["array"] : nil
      guard let names = names ?? implied else {
        guard rest.isEmpty else { throw refused("\(path).\(rest.sorted()[0])") }
        return 0
      }
      for name in names { places.append(try typed(name, object, &rest, at: path)) }
      node = places.count == 1 ? places[0] : try add(.oneOf(places))
    }
    guard rest.isEmpty else { throw refused("\(path).\(rest.sorted()[0])") }
    return node
  }

  private static func isOf(_ type: String, _ value: JSON) -> Bool {
    switch (type, value) {
    case ("string", .string), ("boolean", .bool), ("null", .null), ("number", .integer), ("number", .number),
      ("integer", .integer), ("object", .object), ("array", .array):
      true
    default: false
    }
  }

  private mutating func typed(_ name: String, _ object: JSONObject, _ rest: inout Set<String>, at path: String) throws
    -> Int
  {
    switch name {
    case "string": return try add(.string)
    case "number": return try add(.number(isInteger: false))
    case "integer": return try add(.number(isInteger: true))
    case "boolean": return try add(.texts(["true", "false"].map { Array($0.utf8) }))
    case "null": return try add(.texts([Array("null".utf8)]))
    case "array":
      rest.subtract(["items", "minItems", "maxItems"])
      let least = max(0, object["minItems"]?.integer ?? 0)
      let most = object["maxItems"]?.integer ?? .max
      guard least <= most else { throw refused("\(path) with fewer than \(least) and more than \(most) elements") }
      let items = try object["items"].map { try compile($0, at: "\(path).items") } ?? 0
      return try add(.array(items, least...most))
    case "object":
      rest.subtract(["properties", "required", "additionalProperties"])
      let required = Set(object["required"]?.array?.compactMap(\.string) ?? [])
      let properties = object["properties"]?.object ?? JSONObject()
      var members: [Member] = []
      for (name, schema) in properties.members {
        let node = try compile(schema, at: "\(path).properties.\(name)")
        members.append(
          Member(name: Array(JSON.string(name).line.utf8), node: node, isRequired: required.contains(name)))
      }
      if let name = required.filter({ properties[$0] == nil }).min() {
        throw refused("\(path).required of \(name), which is no property")
      }
      // Names that nobody described come only where no others are: two of one name would be no object.
      var rest: Int?
      if members.isEmpty {
        switch object["additionalProperties"] {
        case .bool(false)?: rest = nil
        case nil, .bool(true)?: rest = 0
        case let schema?: rest = try compile(schema, at: "\(path).additionalProperties")
        }
      }
      return try add(.object(members, rest: rest))
    default: throw refused("\(path).type \(name)")
    }
  }

  private mutating func reference(_ text: String, at path: String) throws -> Int {
    if let place = known[text] { return place }
    guard text.hasPrefix("#") else { throw refused("\(path).$ref to elsewhere") }
    var target = document
    for part in text.dropFirst().split(separator: "/") {
      let name = String(part.replacing("~1", with: "/").replacing("~0", with: "~"))
      guard let next = target[name] else { throw refused("\(path).$ref to \(text), which is not there") }
      target = next
    }
    // Its place is known before it is compiled: it may refer to itself.
    let place = try add(.any)
    known[text] = place
    nodes[place] = .oneOf([try compile(target, at: text)])
    return place
  }
}
