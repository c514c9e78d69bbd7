// What a model may call, as clients describe it: a list of JSON objects that go to the template as they are.

import DMSPlatform

/// Descriptions of tools for a chat template, in the form of OpenAI's `tools`.
public struct ToolDescriptions: Sendable, Equatable {
  package let json: JSON

  /// - Parameters:
  ///   - json: a list of objects.
  ///   - source: names it in errors.
  /// - Throws: `InputError` for anything else.
  public init(_ json: JSON, source: String = "tools") throws {
    guard let list = json.array, list.allSatisfy({ $0.object != nil }) else {
      throw InputError(
        "a JSON list of tool descriptions is expected", at: source,
        remedy: "write [{\"type\": \"function\", \"function\": {…}}, …]")
    }
    self.json = json
  }
}
