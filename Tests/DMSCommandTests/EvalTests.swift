// `dms eval`: one command under two names, that says in a line what it cannot do, keeps every answer and puts parts together.

import Foundation
import Testing

struct EvalTests {
  private let model = models + "/tiny-cr8"
  private let small = ["--task", "retrieval", "--task", "sums", "--problems", "3", "--size", "30-80"]

  private func eval(_ arguments: String...) throws -> Outcome { try dms(["eval"] + arguments) }
  private func eval(_ arguments: [String]) throws -> Outcome { try dms(["eval"] + arguments) }

  private func lines(_ folder: String) throws -> [String] {
    try String(contentsOfFile: folder + "/records.jsonl", encoding: .utf8).split(separator: "\n").map {
      String($0.replacing(/"[a-z_]*seconds":[-+.e0-9]+/, with: ""))
    }
  }

  @Test func bothNamesAreOneCommand() throws {
    let found = try eval([model] + small)
    #expect(found.code == 0, "\(found.errors)")
    #expect(try dms(["evaluate", model] + small).output == found.output)
    #expect(found.output.hasPrefix("3 problems of each task, seed 1000, prompts of about 30 to 80 tokens. Intervals"))
  }

  @Test func shardsMergeIntoTheWholeAndAreJudgedAgain() throws {
    try withFolder { folder in
      #expect(try eval([model] + small + ["--output", folder + "/whole", "--batch", "1"]).code == 0)
      for shard in ["1/2", "2/2"] {
        let name = folder + "/" + shard.prefix(1)
        #expect(try eval([model] + small + ["--shard", shard, "--output", name]).code == 0)
      }
      let merged = try eval("--merge", folder + "/2", folder + "/1", "--output", folder + "/merged")
      #expect(merged.code == 0 && merged.errors.isEmpty, "\(merged.errors)")
      #expect(try lines(folder + "/merged") == lines(folder + "/whole"))
      let whole = try eval("--rescore", folder + "/whole")
      #expect(whole.output == merged.output)
      // Verdicts come from what was written: with other answers they change, and no model is asked.
      let path = folder + "/whole/records.jsonl"
      let text = try String(contentsOfFile: path, encoding: .utf8)
      try write(text.replacing(/"output":"(.*?)<\/think>/, with: "\"output\":\"<\\/think>9"), path)
      #expect(try eval("--rescore", folder + "/whole").output.contains("| all | \(model) | 6 | 0.0 "))
      #expect(try lines(folder + "/whole").allSatisfy { $0.contains("\"right\":false") })
      #expect(
        try eval("--merge", folder + "/1", "--output", folder + "/some").errors.contains("3 answers are in no part"))
      try expectFailure(eval("--merge", folder + "/1", folder + "/1", "--output", folder + "/twice"), "twice")
      try expectFailure(eval("--rescore", folder), "no run")
    }
  }

  @Test func anInterruptedRunKeepsItsAnswersAndGoesOn() throws {
    try withFolder { folder in
      let many = ["--task", "sums", "--problems", "40", "--size", "30-80"]
      let terminal = try PseudoTerminal(["eval", model] + many + ["--output", folder + "/run"], columns: 120)
      terminal.read(until: "1")
      terminal.read(until: "#")
      terminal.type("\u{3}")
      let code = terminal.end()
      #expect(code == 130 || code == 0)
      let kept = try lines(folder + "/run").count
      #expect(kept > 0)
      if code == 130 { #expect(terminal.output.contains("interrupted after \(kept) answers; go on with --resume")) }
      try expectFailure(eval([model] + many + ["--output", folder + "/run"]), "without --resume")
      try expectFailure(
        eval([model] + many + ["--output", folder + "/run", "--resume", "--seed", "2"]), "another seed")
      #expect(try eval([model] + many + ["--output", folder + "/run", "--resume"]).code == 0)
      #expect(try eval([model] + many + ["--output", folder + "/whole"]).code == 0)
      #expect(try lines(folder + "/run") == lines(folder + "/whole"))
    }
  }

  @Test func anAdapterIsComparedWithItsBase() throws {
    let adapters = fixtures + "/qwen3-dms-adapter-head"
    let outcome = try eval(model, model, "--adapter", adapters)
    #expect(outcome.code == 2 && outcome.errors.contains("--adapter needs one model"))
    // Not an adapter's folder: refused, not ignored.
    try expectFailure(eval(model, "--adapter", fixtures + "/qwen3", "--problems", "1"), "no adapter")
    #expect(try dms("run", model, "hi", "--adapter", "a", "--adapter", "b").code == 2)
  }

  @Test func whatIsWrongIsSaidInALine() throws {
    try withFolder { folder in
      let broken = folder + "/broken.jsonl"
      try write("{\"problem\": \"a\", \"answer\": \"1\"}\n{\"problem\": \"b\"}\n", broken)
      for (arguments, problem) in [
        (["--task", "math500=" + folder + "/none.jsonl"], "none.jsonl"), (["--task", "math500=" + broken], "line 2"),
        (["--task", "hellaswag=" + broken], "line 1"), (["--task", "gpqa=" + broken], "columns"),
        (["--task", "sums", "--context", "50"], "the prompt of sums 0 has"),
        (["--task", "needle=" + models], "not a regular file"),
      ] {
        let outcome = try eval([model] + arguments)
        expectFailure(outcome, "\(arguments)")
        #expect(outcome.errors.contains(problem), "\(outcome.errors)")
      }
      for (arguments, problem) in [
        (["--task", "nothing"], "no task is named so"), (["--task", "gsm8k"], "give gsm8k=FILE"),
        (["--task", "sums=x"], "without a file"), (["--task", "sums", "--task", "sums"], "given twice"),
        (["--examples", "sums=x"], "no such examples"), (["--samples", "2"], "--temperature"),
        (["--top-p", "0.5"], "--temperature"), (["--resume"], "--output"), (["--shard", "3/2"], "--shard"),
        (["--merge", "--rescore"], "either"), (["--merge"], "--output"), (["--rescore", "--seed", "3"], "not --seed"),
        (["--merge", "--output", "x", "--threads", "1"], "not --threads"),
      ] {
        let outcome = try eval([model] + arguments)
        #expect(outcome.code == 2 && outcome.output.isEmpty)
        #expect(outcome.errors.contains(problem), "\(arguments): \(outcome.errors)")
      }
    }
  }

  @Test(.enabled(if: hasShared, "needs ../shared/data"))
  func publicTasksRunFromTheirFiles() throws {
    let data = shared + "/tasks/"
    let outcome = try eval([
      shared + "/stories260K", "--task", "hellaswag=\(data)hellaswag-200.jsonl", "--task",
      "gsm8k=\(data)gsm8k-300.jsonl",
      "--task", "math500=\(data)math500-120.jsonl", "--limit", "2", "--max-tokens", "5", "--context", "2000", "--json",
    ])
    #expect(outcome.code == 0, "\(outcome.errors)")
    let report = try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
    let rows = try #require(report["by_task"] as? [[String: Any]])
    #expect(
      rows.compactMap { $0["group"] as? String } == ["hellaswag", "hellaswag, whole choice", "gsm8k", "math500", "all"])
    let settings = try #require(report["settings"] as? [String: Any])
    let models = try #require(settings["models"] as? [[String: Any]])
    #expect((models.first?["model_hash"] as? String)?.count == 16)
    let work = try #require((report["work"] as? [[String: Any]])?.first)
    #expect(work["host"] is String && work["command"] is [String] && work["threads"] is Int)
  }
}
