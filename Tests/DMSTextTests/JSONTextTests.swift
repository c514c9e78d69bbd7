// A value that is written and read again is the value.

import DMSText
import Testing

struct JSONTextTests {
  @Test func writtenValuesReadBack() throws {
    let text = """
      {"b": [1, -2.5, 1e-06, 10000.0, 1e300, 9007199254740993, []], "a": {"x": {}, "y": null, "z": [true, false]},
       "q\\"\\n\\u0007é": "\\\\ \\t 🙂"}
      """
    let value = try JSON(parsing: text, source: "test")
    #expect(try JSON(parsing: value.text, source: "again") == value)
    #expect(value.text.hasPrefix("{\n  \"b\": [\n    1,\n    -2.5,\n    1e-06,\n    10000.0,"))
    #expect(JSON.object(JSONObject()).text == "{}")
  }
}
