// Texts from files, pipes and lines: how they may end and begin, and what is no text.

import Foundation
import Glibc
import Testing

@testable import DMSCommand

struct TextFileTests {
  private func complaint(_ body: () throws -> some Any) -> String? {
    do {
      _ = try body()
      return nil
    } catch { return "\(error)" }
  }

  @Test(arguments: [
    ("a\n", "a"), ("a\r\n", "a"), ("a\r", "a"), ("a", "a"), ("a\n\n", "a\n"), ("a\r\n\r\n", "a\r\n"), ("a\r\r", "a\r"),
    ("a\n\r", "a\n"), ("a\nb\r\nc\rd", "a\nb\r\nc\rd"), ("", ""), ("\n", ""), ("\r\n", ""), (" \n", " "),
    ("\n a", "\n a"),
  ])
  func aTextLosesTheEndOfItsLastLineAndNothingElse(_ text: String, _ expected: String) {
    #expect(Array(withoutLineEnd(text).utf8) == Array(expected.utf8))
  }

  @Test func aByteOrderMarkIsNoPartOfAText() throws {
    #expect(try decodedText([0xEF, 0xBB, 0xBF, 0x61], source: "t") == "a")
    #expect(try decodedText([0xEF, 0xBB, 0xBF], source: "t") == "")
    // A second one, and one inside, are characters.
    #expect(try decodedText(Array("\u{FEFF}\u{FEFF}a\u{FEFF}".utf8), source: "t") == "\u{FEFF}a\u{FEFF}")
    #expect(try decodedText(Array("\u{FEFF}a".utf8), source: "t", isBeginning: false) == "\u{FEFF}a")
    for (bytes, form) in [
      ([0xFF, 0xFE, 0x61, 0], "UTF-16"), ([0xFE, 0xFF, 0, 0x61], "UTF-16"), ([0xFF, 0xFE], "UTF-16"),
      ([0xFF, 0xFE, 0, 0, 0x61, 0, 0, 0], "UTF-32"), ([0, 0, 0xFE, 0xFF, 0, 0, 0, 0x61], "UTF-32"),
    ] as [([UInt8], String)] {
      #expect(complaint { try decodedText(bytes, source: "t") } == "t: \(form) text; convert it to UTF-8")
    }
  }

  @Test func whatIsNoTextIsRefusedWithItsPlace() {
    for (bytes, place) in [
      ([0x61, 0, 0x62], "byte 2 is NUL"), ([0], "byte 1 is NUL"), ([0xEF, 0xBB, 0xBF, 0], "byte 4 is NUL"),
      ([0x63, 0xE9], "byte 2 is wrong"), ([0xC3], "byte 1 is wrong"), ([0x61, 0xED, 0xA0, 0x80], "byte 2 is wrong"),
      ([0xC3, 0xA9, 0xC0, 0xAF], "byte 3 is wrong"),
    ] as [([UInt8], String)] {
      #expect(complaint { try decodedText(bytes, source: "t") }?.contains(place) == true, "\(bytes)")
    }
  }

  @Test func everyKindOfFileIsRead() throws {
    try withFolder { folder in
      let text = String(repeating: "héllo\r\n", count: 50_000)
      try write(text, folder + "/a.txt")
      #expect(try readText(folder + "/a.txt") == text)
      try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: "a.txt")
      #expect(try readText(folder + "/link") == text)
      #expect(mkfifo(folder + "/fifo", 0o600) == 0)
      let writer = Thread { try? text.write(toFile: folder + "/fifo", atomically: false, encoding: .utf8) }
      writer.start()
      #expect(try readText(folder + "/fifo") == text)
      #expect(complaint { try readText(folder) } == "\(folder): cannot be read: is a directory")
      #expect(complaint { try readText(folder + "/none") } == "\(folder)/none: no such file or directory")
      #expect(complaint { try readText("/dev/zero") }?.hasPrefix("/dev/zero: no text") == true)
    }
  }

  /// Lines by the rule, from all bytes at once.
  private func lines(_ text: [UInt8]) -> [[UInt8]] {
    var (lines, line): ([[UInt8]], [UInt8]) = ([], [])
    for (place, byte) in text.enumerated() {
      if byte == 0x0A, place > 0, text[place - 1] == 0x0D { continue }
      if byte == 0x0A || byte == 0x0D {
        lines.append(line)
        line = []
      } else {
        line.append(byte)
      }
    }
    return lines + (line.isEmpty ? [] : [line])
  }

  @Test func linesDoNotDependOnHowTheirBytesCome() {
    var random = SeededNumbers(state: 11)
    for _ in 0..<2000 {
      let bytes: [UInt8] = [0x0A, 0x0D, 0x61, 0x62]
      let text = (0..<Int.random(in: 0...12, using: &random)).map { _ in bytes[Int.random(in: 0..<4, using: &random)] }
      var (splitter, found) = (LineSplitter(), [[UInt8]]())
      var rest = text[...]
      while !rest.isEmpty {
        let count = Int.random(in: 1...rest.count, using: &random)
        splitter.append(rest.prefix(count))
        rest = rest.dropFirst(count)
        while let line = splitter.next() { found.append(line) }
      }
      #expect(found + [splitter.rest()].compactMap { $0 } == lines(text), "\(text)")
    }
  }

  @Test(arguments: ["What?", "What?\n", "What?\r\n", "What?\r", "\u{FEFF}What?\n"])
  func aPromptIsTheSameHoweverItComes(_ text: String) throws {
    try withFolder { folder in
      let path = folder + "/prompt with ä.txt"
      try write(text, path)
      let arguments = ["run", models + "/tiny-cr8", "--json", "--max-tokens", "1"]
      func ids(_ outcome: Outcome) throws -> [Int] {
        #expect(outcome.code == 0, "\(outcome.errors)")
        let members = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any]
        return try #require(members?["prompt_ids"] as? [Int])
      }
      let expected = try ids(dms(arguments + ["What?"]))
      #expect(try ids(dms(arguments + ["--prompt-file", path])) == expected)
      #expect(try ids(dms(arguments, input: text)) == expected)
      #expect(try ids(dms(arguments + ["--prompt-file", "/dev/stdin"], input: text)) == expected)
    }
  }

  @Test func whatIsNoPromptIsOneLine() throws {
    try withFolder { folder in
      let model = models + "/tiny-cr8"
      for (name, bytes) in [
        ("utf16", [0xFF, 0xFE, 0x61, 0]), ("nul", [0x61, 0]), ("latin1", [0xE9]), ("empty", []), ("newline", [0x0A]),
      ] as [(String, [UInt8])] {
        try Data(bytes).write(to: URL(filePath: "\(folder)/\(name)"))
        try expectFailure(dms("run", model, "--prompt-file", "\(folder)/\(name)"), "\(name)")
        if !["empty", "newline"].contains(name) {
          try expectFailure(dms("perplexity", model, "--text", "\(folder)/\(name)"), "\(name)")
        }
      }
      try expectFailure(dms("run", model, "--prompt-file", folder), "a folder")
      try expectFailure(dms("run", model, input: ""), "an empty pipe")
      try write("[612, 87]", folder + "/ids.json")
      let ids = try dms("run", model, "--tokens", "/dev/stdin", "--max-tokens", "1", "--json", input: "[612, 87]\n")
      #expect(ids.code == 0 && ids.output.contains("\"prompt_ids\":[612,87]"))
      let text = String(repeating: "one two three\n", count: 20)
      try write(text, folder + "/text")
      let read = try dms("perplexity", model, "--text", folder + "/text", "--json")
      #expect(read.code == 0)
      let piped = try dms("perplexity", model, "--text", "/dev/stdin", "--json", input: "\u{FEFF}" + text)
      // But for the command that produced them.
      let results = [read, piped].map {
        $0.output.prefix(upTo: $0.output.range(of: "\"produced_by\"")?.lowerBound ?? $0.output.startIndex)
      }
      #expect(!results[0].isEmpty && results[0] == results[1])
    }
  }
}
