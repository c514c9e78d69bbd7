// Documents from outside: whatever their size and shape, they are read in linear time or refused.

import DMSPlatform
import DMSText
import Testing

struct JSONReaderTests {
  private func problem(_ text: String) -> String? {
    do {
      _ = try JSON(parsing: text, source: "test")
      return nil
    } catch { return "\(error)" }
  }

  @Test func aRepeatedKeyKeepsItsFirstPlaceAndItsLastValue() throws {
    let text = "{" + (0..<40).map { "\"k\($0 % 24)\":\($0)" }.joined(separator: ",") + "}"
    let object = try #require(try JSON(parsing: text, source: "test").object)
    #expect(object.keys == (0..<24).map { "k\($0)" })
    #expect((0..<24).allSatisfy { object["k\($0)"] == .integer($0 < 16 ? $0 + 24 : $0) })
    var changed = object
    changed["k3"] = nil
    changed["k3"] = .null
    #expect(
      changed.keys.last == "k3" && changed.keys.count == 24 && changed["k11"] == .integer(35) && changed != object)
  }

  @Test func keysAreTheSameWhenTheirCodePointsAre() throws {
    let object = try #require(try JSON(parsing: "{\"\u{E9}\":1,\"e\u{301}\":2,\"\u{E9}\":3}", source: "test").object)
    #expect(object.keys.map { Array($0.unicodeScalars) } == [["\u{E9}"], ["e", "\u{301}"]])
    #expect(object["\u{E9}"] == .integer(3) && object["e\u{301}"] == .integer(2))
  }

  @Test func manyMembersAreReadInTurn() throws {
    let distinct = "{" + (0..<300_000).map { "\"\($0)\":0" }.joined(separator: ",") + "}"
    #expect(try JSON(parsing: distinct, source: "test").object?.members.count == 300_000)
    let same = "{" + repeatElement("\"a\":0", count: 300_000).joined(separator: ",") + "}"
    #expect(try JSON(parsing: same, source: "test").object?.members.count == 1)
    // Marks in the wrong order, as keys: normalising them takes the square of their count.
    let marks = String(repeating: "\u{323}\u{5B0}\u{301}", count: 100_000)
    #expect(try JSON(parsing: "{\"\(marks)\":0,\"\(marks)a\":1}", source: "test").object?.members.count == 2)
  }

  @Test func whatIsTooMuchIsRefused() throws {
    // Written in a loop, because a test's arguments are printed.
    for (text, expected) in [
      (String(repeating: "[", count: 1_000_000), "nested deeper than 256"),
      (String(repeating: "{\"a\":", count: 1_000_000), "nested deeper than 256"),
      ("[" + String(repeating: "[],", count: 2_200_000) + "[]]", "more than 2097152 values"),
      ("[" + String(repeating: "{\"a\":0},", count: 1_100_000) + "0]", "more than 2097152 values"),
      (String(repeating: "9", count: 3_000_000), "a number of 3000000 characters"),
      ("1e999999999999999999999", "out of range"),
    ] {
      let found = problem(text) ?? ""
      #expect(found.contains(expected) && found.utf8.count < 300, "\(found.prefix(300))")
    }
  }

  @Test func whatIsNotUTF8IsRefusedAsAKeyAndAsAValue() throws {
    let key: [UInt8] = Array("{\"a".utf8) + [0xFF] + Array("\":0}".utf8)
    let escaped: [UInt8] = Array("{\"\\n".utf8) + [0xC0] + Array("\":0}".utf8)
    let value: [UInt8] = Array("{\"a\":\"".utf8) + [0xED, 0xA0, 0x80] + Array("\"}".utf8)
    for bytes in [key, escaped, value] {
      let errors = bytes.withUnsafeBytes { bytes in
        [
          #expect(throws: InputError.self) { try JSON(parsing: bytes, source: "test") },
          #expect(throws: InputError.self) {
            var reader = JSONReader(bytes, source: "test")
            try reader.objectBytes { reader, _ in _ = try reader.value() }
          },
        ]
      }
      #expect(errors.allSatisfy { "\($0.map(String.init(describing:)) ?? "")".contains("is not valid UTF-8") })
    }
  }
}
