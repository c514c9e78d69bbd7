// Where the third-party templates lie, beside the repository; tests that need them are skipped without them.

import DMSPlatform
import DMSText
import Glibc
import Testing

enum TemplateData {
  /// `../shared/data`, from Tests/DMSTextTests/TemplateData.swift.
  static let folder = #filePath.split(separator: "/").dropLast(4).reduce("") { "\($0)/\($1)" } + "/shared/data"
  static let exists = access("\(folder)/chat-templates/engine-cases.json", F_OK) == 0
  static let hint = "../shared/data is absent"

  struct Case: Sendable {
    let name: String
    let template: String
    let context: JSONObject
    let expected: String
  }

  /// Small templates with the results of transformers.js.
  static func engineCases() throws -> [Case] {
    try cases(in: JSON(file: "\(folder)/chat-templates/engine-cases.json"), "template", "context", "expected")
  }

  /// Templates of real models with the results of transformers.
  static func realCases() throws -> [Case] {
    let groups = try JSON(file: "\(folder)/chat-templates/real-templates.json").object
    return try #require(groups).members.flatMap { try cases(in: $0.value, "chat_template", "data", "target") }
  }

  private static func cases(
    in json: JSON, _ template: String, _ context: String, _ expected: String
  ) throws -> [Case] {
    try #require(json.object).members.map { name, value in
      Case(
        name: name, template: try #require(value[template]?.string), context: try #require(value[context]?.object),
        expected: try #require(value[expected]?.string))
    }
  }
}

/// Numbers that look random and are the same in every run.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
