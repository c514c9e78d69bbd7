// Tests as LiveCodeBench publishes them: JSON, or JSON in a pickled string in zlib in base64. The string is read out of the
// pickle; nothing is unpickled, for that runs programs.

import DMSPlatform
import DMSText

/// One call of a program, and what it must give.
struct ProgramTest {
  let (input, output): (String, String)
}

enum PackedTests {
  /// No more than all tests of a problem.
  private static let most = 512 << 20

  /// Reads a list of tests.
  /// - Throws: `InputError` naming the place of what is none.
  static func read(_ text: String, at place: String) throws -> [ProgramTest] {
    if let json = try? JSON(parsing: text, source: place) { return try tests(json, place) }
    guard let packed = decoded(text), let pickle = Inflate.unpacked(packed, most: most), let json = string(pickle)
    else {
      throw InputError(
        "tests that are neither JSON nor packed JSON", at: place, remedy: "give the task's published form")
    }
    return try tests(JSON(parsing: json, source: place), place)
  }

  private static func tests(_ json: JSON, _ place: String) throws -> [ProgramTest] {
    try (json.array ?? []).map { test in
      guard let input = test["input"]?.string, let output = test["output"]?.string else {
        throw InputError("a test without input and output", at: place, remedy: "give the task's published form")
      }
      return ProgramTest(input: input, output: output)
    }
  }

  /// The string that a pickle of nothing else holds: BINUNICODE of 1, 4 or 8 bytes of length.
  private static func string(_ pickle: [UInt8]) -> String? {
    var place = 0
    while place < pickle.count {
      let width: Int
      switch pickle[place] {
      case 0x80:  // PROTO
        place += 2
        continue
      case 0x95:  // FRAME
        place += 9
        continue
      case 0x8C: width = 1
      case 0x58: width = 4
      case 0x8D: width = 8
      default: return nil
      }
      let begin = place + 1 + width
      guard begin <= pickle.count else { return nil }
      let length = pickle[(place + 1)..<begin].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      guard length <= pickle.count - begin else { return nil }
      return String(validating: pickle[begin..<begin + Int(length)], as: UTF8.self)
    }
    return nil
  }

  private static func decoded(_ base64: String) -> [UInt8]? {
    var (bytes, bits, count) = ([UInt8](), UInt32(0), 0)
    bytes.reserveCapacity(base64.utf8.count * 3 / 4)
    for character in base64.utf8 {
      let value: UInt8
      switch character {
      case 65...90: value = character - 65
      case 97...122: value = character - 71
      case 48...57: value = character + 4
      case 43: value = 62
      case 47: value = 63
      case 61, 10, 13: continue
      default: return nil
      }
      bits = bits << 6 | UInt32(value)
      count += 6
      if count >= 8 {
        count -= 8
        bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
      }
    }
    return bytes
  }
}
