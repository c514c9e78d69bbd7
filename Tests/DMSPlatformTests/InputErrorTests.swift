// An error is one line, whatever the input has put into it.

import Testing

@testable import DMSPlatform

struct InputErrorTests {
  @Test(arguments: [
    ("a\nb", "a\\nb"), ("a\rb\0", "a\\rb\\0"), ("\u{1B}[31mred", "\\u{1B}[31mred"), ("\u{9B}1m", "\\u{009B}1m"),
    ("a\u{2028}b\u{2029}c\u{85}", "a\\u{2028}b\\u{2029}c\\u{0085}"), ("\u{202E}evil\u{2066}", "\\u{202E}evil\\u{2066}"),
    ("é, 漢字, emoji 🙂", "é, 漢字, emoji 🙂"),
  ])
  func whatWouldDisturbATerminalIsWrittenOut(text: String, shown: String) {
    #expect(InputError(text, at: text, remedy: text).description == "\(shown): \(shown); \(shown)")
  }

  @Test func whatIsLongIsCut() {
    let long = String(repeating: "9", count: 200_000)
    let line = InputError(long, at: "model.safetensors", remedy: long).description
    #expect(line.count < 1300 && line.hasPrefix("model.safetensors: 999") && line.hasSuffix("999…"))
    let path = "/" + String(repeating: "p", count: 4000)
    #expect(InputError("is missing", at: path).description == path + ": is missing")
  }

  @Test func aPlaceWithoutANameIsStillAPlace() {
    #expect(InputError("no config.json", at: "").description == "\"\": no config.json")
    #expect(InputError("no config.json").description == "no config.json")
  }
}
