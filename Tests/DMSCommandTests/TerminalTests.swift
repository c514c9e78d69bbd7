// The command on a terminal: Ctrl-C at the prompt and at work, progress that is gone before anything else is said, and lines
// that fit.

import Foundation
import Glibc
import Testing

@testable import DMSCommand

struct TerminalTests {
  private let model = models + "/tiny-cr8"

  @Test func ctrlCAtThePromptGivesANewOneAndNothingElse() throws {
    let terminal = try PseudoTerminal(["chat", model, "--max-tokens", "2"])
    terminal.read(until: "\n> ")
    for typed in ["", "half a line", "", "/by"] {
      terminal.type(typed + "\u{3}")
      #expect(terminal.read(until: "\n> ").hasSuffix("^C\r\n> "))
    }
    // The next line is whole, and is the next turn, also if it comes at once.
    terminal.type("\u{3}hello\n")
    #expect(terminal.read(until: "ink").contains("ink"))
    #expect(terminal.read(until: "\n> ").hasSuffix("\r\n> "))
    for _ in 0..<3 { kill(terminal.process, SIGINT) }
    terminal.read(until: "\n> ")
    terminal.type("/stats\n")
    #expect(terminal.read(until: "are free").contains("seen 8,"))
    terminal.read(until: "\n> ")
    terminal.type("\u{4}")
    #expect(terminal.end() == 0)
  }

  @Test func ctrlCStopsAnAnswerAndTheChatGoesOn() throws {
    let terminal = try PseudoTerminal(["chat", model])
    terminal.read(until: "\n> ")
    terminal.type("hello\n")
    terminal.read(until: "ink ink")
    terminal.type("\u{3}")
    #expect(terminal.read(until: "\n> ").hasSuffix("\r\n> "))
    terminal.type("/bye\n")
    #expect(terminal.end() == 0)
  }

  @Test func anUnknownWordWithASlashIsAskedAbout() throws {
    let terminal = try PseudoTerminal(["chat", model, "--max-tokens", "2"])
    terminal.read(until: "\n> ")
    for answer in ["n\n", "\n", "what?\n", "\u{3}"] {
      terminal.type("/rest\n")
      #expect(terminal.read(until: "[y/N] ").contains("/rest is no command"))
      terminal.type(answer)
      terminal.read(until: "\n> ")
    }
    terminal.type("/stats\n")
    #expect(terminal.read(until: "\n> ").contains("nothing yet: 0 tokens"))
    terminal.type("/rest\n")
    terminal.read(until: "[y/N] ")
    terminal.type("y\n")
    terminal.read(until: "\n> ")
    terminal.type("/stats\n")
    #expect(terminal.read(until: "\n> ").contains("decode 2 tokens"))
    // What is more than a word is no mistyped command.
    terminal.type("/usr/bin/env is what?\n")
    #expect(!terminal.read(until: "\n> ").contains("no command"))
    terminal.type("/bye\n")
    #expect(terminal.end() == 0)
  }

  @Test func aTerminatedChatKeepsItsLastTurn() throws {
    try withFolder { folder in
      let file = folder + "/talk"
      let terminal = try PseudoTerminal(["chat", model, "--session", file])
      terminal.read(until: "\n> ")
      terminal.type("hello\n")
      terminal.read(until: "ink ink")
      kill(terminal.process, SIGTERM)
      #expect(terminal.end() == 128 + SIGTERM)
      #expect(try dms("chat", model, "--session", file).errors.contains("1 turns"))
      // At the prompt nothing is in the making.
      for signal in [SIGTERM, SIGHUP] {
        let idle = try PseudoTerminal(["chat", model, "--session", file])
        idle.read(until: "\n> ")
        kill(idle.process, signal)
        #expect(idle.end() == -signal)
      }
    }
  }

  @Test func progressIsGoneBeforeTheAnswer() throws {
    try withFolder { folder in
      let terminal = try PseudoTerminal(["quantize", model, folder + "/q8", "--weights", "q8"], columns: 200)
      #expect(terminal.end() == 0)
      #expect(terminal.output.contains("weights to q8 [####") && terminal.output.contains("100 %"))
      let shown = screen(terminal.output).filter { !$0.isEmpty }
      #expect(shown.count == 1 && shown[0].hasPrefix(folder + "/q8: q8, "), "\(shown)")
      // Weights are made again when a model is loaded; the answer is all that stays.
      let run = try PseudoTerminal(
        ["run", model, "hi", "--weights", "q4", "--max-tokens", "2", "--json"], columns: 4000)
      #expect(run.end() == 0)
      #expect(run.output.contains("weights to q4 [") && run.output.contains("#] 100 %"))
      let answer = screen(run.output).filter { !$0.isEmpty }
      #expect(answer.count == 1 && answer[0].hasPrefix("{\"text\":"), "\(answer)")
    }
  }

  @Test(arguments: ["\u{3}", "SIGTERM"])
  func progressIsGoneAfterAnInterrupt(_ how: String) throws {
    let terminal = try PseudoTerminal(
      ["evaluate", model, "--task", "sums", "--problems", "1000", "--size", "20-60"], columns: 120)
    terminal.read(until: "[")
    if how == "SIGTERM" { kill(terminal.process, SIGTERM) } else { terminal.type(how) }
    #expect(terminal.end() == 128 + (how == "SIGTERM" ? SIGTERM : SIGINT))
    let shown = screen(terminal.output).filter { !$0.isEmpty }
    // The terminal itself shows that Ctrl-C was typed.
    #expect(shown.last?.hasSuffix("dms: interrupted") == true && shown.allSatisfy { !$0.contains("[") }, "\(shown)")
  }

  @Test func progressIsGoneBeforeAnError() throws {
    try withFolder { folder in
      let terminal = try PseudoTerminal(
        ["evaluate", model, "--task", "sums", "--problems", "1000", "--size", "20-60", "--output", folder + "/run"],
        columns: 200)
      terminal.read(until: "%")
      // No file may grow from now on, as if the disk were full.
      let limit = try Process.run(
        URL(filePath: "/usr/bin/prlimit"), arguments: ["--fsize=1", "--pid", "\(terminal.process)"])
      limit.waitUntilExit()
      #expect(terminal.end() == 1)
      let shown = screen(terminal.output).filter { !$0.isEmpty }
      #expect(shown.count == 1 && shown[0].hasPrefix("dms: \(folder)/run/records.jsonl: cannot be written"), "\(shown)")
    }
  }

  @Test func progressFollowsTheTerminalsWidth() throws {
    let terminal = try PseudoTerminal(
      ["evaluate", model, "--task", "sums", "--problems", "1000", "--size", "20-60"], columns: 150)
    for columns in [150, 30, 90, 7] as [UInt16] {
      terminal.resize(to: columns)
      // What was on its way when the width changed comes first.
      terminal.read(until: "%")
      terminal.read(until: "%")
      let parts = terminal.read(until: "%").split { $0 == "\r" || $0 == "\n" || $0 == "\r\n" }
      for part in parts { #expect(screen(String(part))[0].count < columns, "\(part)") }
    }
  }

  @Test func aLineOfProgressIsNeverWiderThanAsked() {
    let names = [
      "", "reading", "weights to q8", "/a/long/path/to/a/model/folder/somewhere", "模型/フォルダ", "a\nb\u{1B}[31m",
      "👩‍👩‍👧‍👦e\u{301}",
    ]
    for columns in -2...130 {
      for name in names {
        for share in [-1, 0, 0.001, 0.5, 0.999, 1, 7, .nan, .infinity] {
          let line = ProgressText.bar(name, share, columns: columns)
          #expect(ProgressText.width(of: line) <= max(0, columns), "\(line)")
          #expect(!line.contains { $0.isNewline || $0 == "\u{1B}" })
          // As soon as there is room for it, the share is told.
          #expect(columns < 5 || line.hasSuffix(" %"), "\(line)")
        }
      }
    }
    #expect(ProgressText.bar("reading", 0.5, columns: 26) == "reading [#####.....] 50 %")
    #expect(ProgressText.bar("reading", 1, columns: 26) == "reading [##########] 100 %")
    #expect(ProgressText.bar("reading", 0.5, columns: 11) == "readi… 50 %")
    #expect(ProgressText.bar("reading", 0.5, columns: 5) == "50 %")
    #expect(ProgressText.bar("reading", 0.5, columns: 3) == "")
    #expect(ProgressText.width(of: "模型") == 4 && ProgressText.cut("模型模型", to: 5) == "模型…")
  }
}
