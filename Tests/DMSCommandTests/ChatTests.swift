// What lines of a chat mean, and what becomes of them in a pipe and in a session's file.

import DMSCheckpoint
import Foundation
import Testing

@testable import DMSCommand

struct ChatTests {
  private let model = models + "/tiny-cr8"

  @Test func onlyKnownCommandsAreCommands() {
    for (line, meaning) in [
      ("hello", .message("hello")), (" hello ", .message(" hello ")), ("/no_think hello", .message("/no_think hello")),
      ("/usr/bin/env is what?", .message("/usr/bin/env is what?")), ("/helpme please", .message("/helpme please")),
      ("/ 2 = 1?", .message("/ 2 = 1?")), ("//reset now", .message("//reset now")), ("say /bye", .message("say /bye")),
      ("/systematic thoughts", .message("/systematic thoughts")),
      ("/help", .command(.help)), ("/reset ", .command(.reset)), ("  /stats\t", .command(.stats)),
      ("/thinking", .command(.thinking)), ("\t/bye  ", .command(.bye)),
      ("/system Be brief.", .system("Be brief.")), (" /system \t Be  brief. ", .system("Be  brief.")),
      ("/rest", .unknown("/rest")), (" /no_think ", .unknown("/no_think")), ("/", .unknown("/")),
      ("/Help", .unknown("/Help")),
      ("/usr/bin/env", .unknown("/usr/bin/env")), ("/système", .unknown("/système")),
    ] as [(String, ChatLine)] {
      #expect(ChatLine(line) == meaning, "\(line)")
    }
    for line in ["/help me", "/reset now", "/bye bye", "/system", "/system  ", "/thinking off", "/stats -v"] {
      guard case .misused = ChatLine(line) else {
        Issue.record("\(line) is not refused")
        continue
      }
    }
    for line in ["", " ", "\t \u{A0}"] { #expect(ChatLine(line) == nil) }
  }

  /// The messages that a session's file keeps.
  private func turns(_ file: String) throws -> [String] {
    let note = try #require(SafetensorsFile(path: file).metadata["note"])
    let messages = try JSONSerialization.jsonObject(with: Data(note.utf8)) as? [[String: String]]
    return try #require(messages).filter { $0["role"] == "user" }.compactMap { $0["content"] }
  }

  @Test(arguments: ["\n", "\r\n", "\r"])
  func nothingThatIsPipedIsLost(_ end: String) throws {
    try withFolder { folder in
      let file = folder + "/talk"
      let lines = ["\u{FEFF}/no_think hello", "", "/rest", "/usr/bin/env is what?", " two  words ", "last"]
      let outcome = try dms(
        ["chat", model, "--session", file, "--max-tokens", "1", "--hide-thinking"], input: lines.joined(separator: end))
      #expect(outcome.code == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
      #expect(try turns(file) == ["/no_think hello", "/rest", "/usr/bin/env is what?", " two  words ", "last"])
    }
  }

  @Test func whatFailsInAPipeIsSaidAndTheRestAnswered() throws {
    try withFolder { folder in
      let file = folder + "/talk"
      let outcome = try dms(
        ["chat", model, "--session", file, "--max-tokens", "1", "--hide-thinking", "--context", "60"],
        input: "one\n/help me\n\(String(repeating: "many words ", count: 60))\n/system\ntwo\n")
      #expect(outcome.code == 1)
      #expect(outcome.output.filter { $0 == "\n" }.count == 2)
      let said = outcome.errors.split(separator: "\n")
      #expect(
        said.count == 3 && zip(said, [2, 3, 4]).allSatisfy { $0.hasPrefix("dms: stdin, line \($1): ") }, "\(said)")
      #expect(try turns(file) == ["one", "two"])
    }
  }

  @Test func linesThatAreNoTextAreSaid() throws {
    for (bytes, said, answers) in [
      ([0x61, 0x0A, 0xE9, 0x0A, 0x62], "stdin, line 2: not UTF-8", 2),
      ([0x61, 0, 0x0A, 0x62], "stdin, line 1: no text", 1),
      ([0xFF, 0xFE, 0x61, 0, 0x0A, 0], "stdin, line 1: UTF-16", 0),
    ] as [([UInt8], String, Int)] {
      try withFolder { folder in
        // Swift's strings hold no such bytes.
        try Data(bytes).write(to: URL(filePath: folder + "/lines"))
        let process = Process()
        let (output, errors) = (Pipe(), Pipe())
        process.executableURL = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(
          path: "dms")
        process.arguments = ["chat", model, "--max-tokens", "1", "--hide-thinking"]
        process.standardInput = try FileHandle(forReadingFrom: URL(filePath: folder + "/lines"))
        (process.standardOutput, process.standardError) = (output, errors)
        try process.run()
        let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        let complaint = String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 1)
        #expect(complaint.hasPrefix("dms: \(said)") && complaint.filter { $0 == "\n" }.count == 1, "\(complaint)")
        #expect(text.filter { $0 == "\n" }.count == answers)
      }
    }
  }

  @Test func aSessionThatCannotBeWrittenIsNoticedFirst() throws {
    try withFolder { folder in
      for file in [folder, folder + "/", folder + "/none/talk", "", "/proc/talk", "/dev/null"] {
        try expectFailure(dms("chat", "/nonexistent", "--session", file, input: "hi\n"), "\(file)")
        try expectFailure(dms("chat", model, "--session", file, input: "hi\n"), "\(file)")
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }

  @Test func aSessionsLinkStaysALink() throws {
    try withFolder { folder in
      try FileManager.default.createDirectory(atPath: folder + "/far", withIntermediateDirectories: true)
      try FileManager.default.createSymbolicLink(atPath: folder + "/talk", withDestinationPath: "far/real")
      for turn in 1...2 {
        #expect(
          try dms(
            ["chat", model, "--session", folder + "/talk", "--max-tokens", "1", "--hide-thinking"], input: "hi\n"
          ).code == 0)
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder + "/talk") == "far/real")
        #expect(try turns(folder + "/far/real").count == turn)
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/far") == ["real"])
    }
  }

  @Test func aSessionHasOneWriter() throws {
    try withFolder { folder in
      let file = folder + "/talk"
      try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: "talk")
      let first = try PseudoTerminal(["chat", model, "--session", file, "--max-tokens", "1", "--hide-thinking"])
      first.read(until: "\n> ")
      for other in [file, folder + "/link", folder + "/./talk"] {
        let refused = try dms("chat", model, "--session", other, input: "hi\n")
        expectFailure(refused, "\(other)")
        #expect(refused.errors.contains("in use by another process"))
      }
      // Between turns, too: the lock is the chat's, not the file's.
      first.type("hi\n")
      first.read(until: "\n> ")
      try expectFailure(dms("chat", model, "--session", file, input: "hi\n"), "after a turn")
      first.type("/bye\n")
      #expect(first.end() == 0)
      #expect(
        try dms(["chat", model, "--session", file, "--max-tokens", "1", "--hide-thinking"], input: "hi\n").code == 0)
      #expect(try turns(file).count == 2)
      // A lock dies with its process.
      let killed = try PseudoTerminal(["chat", model, "--session", file])
      killed.read(until: "\n> ")
      kill(killed.process, SIGKILL)
      #expect(killed.end() == -SIGKILL)
      #expect(
        try dms(["chat", model, "--session", file, "--max-tokens", "1", "--hide-thinking"], input: "hi\n").code == 0)
      #expect(try Set(FileManager.default.contentsOfDirectory(atPath: folder)) == ["talk", "link"])
    }
  }
}
