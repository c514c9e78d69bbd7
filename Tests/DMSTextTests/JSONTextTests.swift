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

  @Test func linesReadBackToo() throws {
    let value = JSON.members([
      "a\u{0}\u{1F}\"\\\n": .array([
        .integer(Int.min), .number(-0.0), .number(.leastNonzeroMagnitude), .members([:]), .array([]),
      ]),
      "é": .string("\u{7F}\u{2028}\u{FFFF}"), "e\u{301}": .null,
    ])
    let start = #"{"a\u0000\u001f\"\\\n":[-9223372036854775808,-0.0,5e-324,{},[]],"#
    #expect(value.line == start + "\"é\":\"\u{7F}\u{2028}\u{FFFF}\",\"e\u{301}\":null}")
    #expect(try JSON(parsing: value.line, source: "line") == value)
  }

  @Test func numbersThatAreNotFiniteAreNull() throws {
    let value = JSON.members([
      "loss": .number(.nan), "peak": .array([.number(.infinity), .number(-.infinity), .number(1.5)]),
    ])
    #expect(value.line == #"{"loss":null,"peak":[null,null,1.5]}"#)
    #expect(value.text == "{\n  \"loss\": null,\n  \"peak\": [\n    null,\n    null,\n    1.5\n  ]\n}")
    #expect(JSON.number(.signalingNaN).line == "null" && JSON.number(.infinity).text == "null")
  }
}
