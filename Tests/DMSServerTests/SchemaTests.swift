// Answers in the form of a schema: what is allowed is a value of it, what is a value of it is allowed, and a model that would rather
// say something else says a value all the same.

import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText
import Foundation
import Testing

@testable import DMSServer

private let schemas: [String] = [
  #"{"type":"object"}"#,
  #"{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"},"tags":{"type":"array","items":{"type":"string"},"maxItems":3}},"required":["name","tags"],"additionalProperties":false}"#,
  #"{"type":"array","items":{"anyOf":[{"type":"number"},{"type":"null"},{"enum":["a","ab",3]}]},"minItems":1,"maxItems":4}"#,
  ##"{"type":"object","properties":{"kind":{"const":"leaf"},"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["kind","next"]}"##,
  ##"{"$ref":"#/$defs/pair","$defs":{"pair":{"type":"object","properties":{"é\"":{"type":"boolean"},"b":{"type":["string","null"]}},"required":["é\"","b"]}}}"##,
  #"{"type":"object","additionalProperties":{"type":"integer"}}"#,
  // Choices that lead back to themselves, and to each other; the last of each, since the twin goes through them in their order.
  ##"{"anyOf":[{"type":"null"},{"$ref":"#"}]}"##,
  ##"{"anyOf":[{"const":1},{"$ref":"#/$defs/a"}],"$defs":{"a":{"anyOf":[{"const":2},{"$ref":"#/$defs/b"}]},"b":{"anyOf":[{"const":3},{"$ref":"#/$defs/a"}]}}}"##,
]

/// Whether a value is one of a schema: the plain twin, on whole values.
private func isValid(_ value: JSON, _ schema: JSON, _ root: JSON) -> Bool {
  if let reference = schema["$ref"]?.string {
    return isValid(value, reference.split(separator: "/").dropFirst().reduce(root) { $0[String($1)] ?? .null }, root)
  }
  if let constant = schema["const"] { return value == constant }
  if let list = schema["enum"]?.array { return list.contains(value) }
  if let list = schema["anyOf"]?.array { return list.contains { isValid(value, $0, root) } }
  let types = schema["type"]?.array?.compactMap(\.string) ?? [schema["type"]?.string ?? ""]
  return types.contains { type in
    switch (type, value) {
    case ("string", .string), ("boolean", .bool), ("null", .null), ("integer", .integer), ("number", .integer),
      ("number", .number):
      true
    case ("integer", .number(let number)): number.rounded() == number
    case ("array", .array(let list)):
      list.count >= schema["minItems"]?.integer ?? 0 && list.count <= schema["maxItems"]?.integer ?? .max
        && list.allSatisfy { isValid($0, schema["items"] ?? .object([:]), root) }
    case ("object", .object(let object)):
      (schema["required"]?.array ?? []).allSatisfy { object[$0.string ?? ""] != nil }
        && object.members.allSatisfy { key, value in
          if let own = schema["properties"]?[key] { return isValid(value, own, root) }
          guard let rest = schema["additionalProperties"], rest.object != nil else {
            return schema["additionalProperties"] != .bool(false)
          }
          return isValid(value, rest, root)
        }
    default: false
    }
  }
}

struct SchemaTests {
  /// Definitions of which each one refers to the next.
  private static func chain(of count: Int, _ link: (Int) -> String) -> String {
    let definitions = (0..<count).map { "\"a\($0)\":\(link($0 + 1))" } + ["\"a\(count)\":{\"type\":\"null\"}"]
    return "{\"$ref\":\"#/$defs/a0\",\"$defs\":{\(definitions.joined(separator: ","))}}"
  }

  @Test func choicesOfChoicesAreChosenFromOnce() throws {
    let schema = Self.chain(of: 60) { ##"{"anyOf":[{"$ref":"#/$defs/a\##($0)"},{"$ref":"#/$defs/a\##($0)"}]}"## }
    #expect(try accepts(schema, "null") && !accepts(schema, "nul"))
  }

  private func accepts(_ schema: String, _ text: String, insideThinking: Bool = false) throws -> Bool {
    var constraint = JSONConstraint(try Schema(JSON(parsing: schema)), insideThinking: insideThinking)
    for byte in text.utf8 {
      guard constraint.allows([byte]) else { return false }
      constraint.append([byte])
    }
    return constraint.mayEnd
  }

  @Test(arguments: schemas) func whateverIsAllowedIsAValueOfTheSchema(text: String) throws {
    let json = try JSON(parsing: text)
    let schema = try Schema(json)
    var random = Numbers(state: 7)
    var complete = 0
    for _ in 0..<20 {
      var constraint = JSONConstraint(schema, insideThinking: false)
      var bytes: [UInt8] = []
      while !constraint.isComplete, bytes.count < 4000 {
        // Closing is preferred the longer it takes, so that it ends.
        let allowed = (0..<256).map { UInt8($0) }.filter { constraint.allows([$0]) }
        try #require(!allowed.isEmpty, "\(String(decoding: bytes, as: UTF8.self))")
        let closing = allowed.filter { Array("}]\"".utf8).contains($0) }
        let some = bytes.count > 60 && !closing.isEmpty ? closing : allowed
        let next = some[Int(random.next() % UInt64(some.count))]
        constraint.append([next])
        bytes.append(next)
      }
      guard constraint.isComplete else { continue }
      let said = try #require(String(validating: bytes, as: UTF8.self))
      let value = try JSON(parsing: said)
      #expect(isValid(value, json, json), "\(said)")
      complete += 1
    }
    #expect(complete > 0)
  }

  @Test func valuesAreAcceptedAndOthersAreNot() throws {
    let cases: [(Int, String, Bool)] = [
      (0, "{}", true), (0, #"{"a": [1, -0.5e+3, true, null, {"b": "\n\u00e9é"}], "c": ""}"#, true), (0, "[]", false),
      (0, #"{"a": 01}"#, false), (0, #"{"a": 1,}"#, false), (0, #"{"a" 1}"#, false), (0, #"{"a": "\ud800"}"#, false),
      (1, #"{"name": "x", "tags": []}"#, true), (1, #"{"name":"x","age":3,"tags":["a","b","c"]}"#, true),
      (1, #"{"name":"x","age":3.5,"tags":[]}"#, false), (1, #"{"name":"x"}"#, false),
      (1, #"{"tags":[],"name":"x"}"#, false),
      (1, #"{"name":"x","tags":["a","b","c","d"]}"#, false), (1, #"{"name":"x","tags":[],"more":1}"#, false),
      (2, #"["a", "ab", 3, null]"#, true), (2, "[]", false), (2, #"["b"]"#, false), (2, "[1,2,3,4,5]", false),
      (3, #"{"kind":"leaf","next":{"kind":"leaf","next":null}}"#, true), (3, #"{"kind":"leaf","next":1}"#, false),
      (4, #"{"é\"":true,"b":null}"#, true), (5, #"{"x":1,"y":-2}"#, true), (5, #"{"x":1.5}"#, false),
    ]
    for (index, text, isValue) in cases { #expect(try accepts(schemas[index], text) == isValue, "\(text)") }
    #expect(try !accepts(schemas[0], "{" + String(repeating: " ", count: 60) + "}"))
    #expect(try accepts(schemas[0], "Well, { so </thin </think>{}", insideThinking: true))
    #expect(try !accepts(schemas[0], "Well", insideThinking: true))
    #expect(try accepts(#"{"type":"integer"}"#, "-12"))
  }

  @Test(arguments: [
    #"{"type":"string","pattern":"a+"}"#, #"{"type":"object","patternProperties":{}}"#, #"{"type":"word"}"#, "7",
    ##"{"$ref":"http://x/y"}"##, ##"{"$ref":"#/$defs/none"}"##, ##"{"type":"object","required":["x"]}"##,
    ##"{"enum":[]}"##,
    #"{"allOf":[{"type":"string"}]}"#, #"{"oneOf":[{"type":"string"}]}"#, #"{"type":"integer","enum":["a"]}"#,
    #"{"type":"array","minItems":3,"maxItems":2}"#, #"{"type":"string","maxLength":3}"#,
    #"{"type":[]}"#, #"{"type":7}"#, #"{"type":"string","enum":"a"}"#, ##"{"$ref":"#"}"##,
    ##"{"anyOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}"##,
    SchemaTests.chain(of: 10_000) { ##"{"$ref":"#/$defs/a\##($0)"}"## },
  ]) func whatCannotBePromisedIsRefused(text: String) {
    #expect(throws: APIError.self) { try Schema(JSON(parsing: text)) }
  }

  @Test(arguments: [0.0, 1.5]) func aModelSaysAValueWhateverItWouldRatherSay(temperature: Double) async throws {
    // Without texts: nothing in it goes on without end.
    let bounded = try JSON(
      parsing:
        #"{"type":"object","properties":{"found":{"type":"boolean"},"place":{"enum":[1,22,333]},"rest":{"type":"array","items":{"type":"null"},"maxItems":3}},"required":["found","place"],"additionalProperties":false}"#
    )
    try await withServer { client in
      for (format, schema) in [
        (JSON.object(["type": "json_object"]), Schema()),
        (
          .object(["type": "json_schema", "json_schema": .object(["name": "x", "strict": true, "schema": bounded])]),
          try Schema(bounded)
        ),
      ] {
        // What ends its thinking (616) is what it would say first, and ever again.
        let reply = try await client.chat(
          "What is fox2?",
          [
            "response_format": format, "temperature": .number(temperature), "max_tokens": 700, "seed": 3,
            "logit_bias": .object(["616": 100]),
          ])
        #expect(reply.status == 200, "\(reply.body)")
        let choice = reply.json["choices"]?.array?.first
        let content = choice?["message"]?["content"]?.string ?? ""
        // The beginning of a value at least.
        let form = JSONConstraint(schema, insideThinking: false)
        #expect(!content.isEmpty && form.allows(Array(content.utf8)), "\(content)")
        guard format["type"] == "json_schema" else { continue }
        #expect(choice?["finish_reason"] == "stop")
        #expect(isValid(try JSON(parsing: content), bounded, bounded))
      }
      let refused = try await client.chat("x", ["response_format": .object(["type": "xml"])])
      #expect(refused.status == 400)
    }
  }
}

private struct Numbers {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
