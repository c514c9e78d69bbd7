// `dms report`: from a run's records to tables and pictures, and again from the report alone.

import Foundation
import Testing

struct ScalingCommandTests {
  private let model = models + "/tiny-cr8"
  private let small = ["--task", "sums", "--problems", "3", "--size", "30-80"]

  private func files(_ folder: String) throws -> [String: Data] {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    return try Dictionary(
      uniqueKeysWithValues: names.map { ($0, try Data(contentsOf: URL(filePath: folder + "/" + $0))) })
  }

  @Test func aReportIsMadeOfRecordsAndOfItself() throws {
    try withFolder { folder in
      let sampled = ["--samples", "2", "--temperature", "0.8", "--output", folder + "/run"]
      #expect(try dms(["eval", model] + small + sampled).code == 0)
      let found = try dms("report", folder + "/run", "--output", folder + "/report")
      #expect(found.code == 0 && found.errors.isEmpty, "\(found.errors)")
      #expect(found.output.contains("| 1–400–8 | dms | \(model) | 3 |") && found.output.contains("| 2–400–8 |"))
      let made = try files(folder + "/report")
      let pictures = ["reads", "tokens", "bytes", "seconds"].flatMap { ["\($0).svg", "\($0).png", "\($0)-dark.png"] }
      #expect(made.keys.sorted() == (pictures + ["report.json"]).sorted())
      let again = try dms("report", folder + "/report/report.json", "--output", folder + "/again")
      #expect(again.output == found.output)
      #expect(try files(folder + "/again") == made)
      let json = try dms("report", folder + "/run", "--json", "--chains", "2")
      #expect(json.output.hasPrefix("{\"dms_report\":1,") && !json.output.contains("1–400–8"))
      // What is no run, is asked for twice, is part of one, or has no such problems.
      try expectFailure(dms("report", folder), "no run")
      try expectFailure(dms("report", folder + "/run", folder + "/run"), "twice")
      try expectFailure(dms("report", folder + "/run", "--output", folder + "/x", "--task", "needle"), "no such task")
      try expectFailure(dms("report", folder + "/run/run.json"), "no report")
      #expect(try dms("report", folder + "/report/report.json", "--mixed").code == 2)
      #expect(try dms("report", folder + "/run", "--chains", "1,0").code == 2)
      #expect(try dms("report", folder + "/run", "--task", "sums").code == 2)
      #expect(!FileManager.default.fileExists(atPath: folder + "/x"))
      #expect(
        try dms(["eval", model] + small + ["--seed", "2", "--max-tokens", "9", "--output", folder + "/other"]).code == 0
      )
      let refused = try dms("report", folder + "/run", folder + "/other")
      expectFailure(refused, "another seed")
      #expect(refused.errors.contains("seed, temperature differ"))
      #expect(try dms("report", folder + "/run", folder + "/other", "--mixed").code == 0)
      #expect(try dms(["eval", model] + small + ["--shard", "1/2", "--output", folder + "/part"]).code == 0)
      #expect(try dms("report", folder + "/part").errors.contains("--merge"))
    }
  }

  // MARK: Sweeps

  /// The records of each part, without what the clock says.
  private func records(_ sweep: String) throws -> [String: [String]] {
    let parts = try FileManager.default.contentsOfDirectory(atPath: sweep).filter { $0.hasPrefix("m") }
    return try Dictionary(
      uniqueKeysWithValues: parts.map { part in
        let text = try String(contentsOfFile: "\(sweep)/\(part)/records.jsonl", encoding: .utf8)
        return (part, text.split(separator: "\n").map { String($0.replacing(/"[a-z_]*seconds":[-+.e0-9]+/, with: "")) })
      })
  }

  private let axes = ["--sweep", "W=1,3", "L=15,400,9000", "CR=2,8", "--temperature", "0.8"]

  @Test func aKilledAndResumedSweepIsTheUninterruptedOne() throws {
    try withFolder { folder in
      let sweep = ["eval", model, models + "/tiny-dense"] + small + axes
      let found = try dms(sweep + ["--output", folder + "/whole"])
      #expect(found.code == 0, "\(found.errors)")
      let whole = try records(folder + "/whole")
      #expect(whole.keys.sorted() == ["m1-cr2-l15", "m1-cr2-l400", "m1-cr8-l15", "m1-cr8-l400"])
      #expect(whole.values.allSatisfy { $0.count == 9 })
      // What cannot be is listed with its reason, and the rest is there.
      #expect(found.output.contains("| 3–400–2 |") && found.output.contains("| 1–15–8 |"))
      #expect(
        found.output.contains("L=9000 is more than the 400 tokens") && found.output.contains("this one makes none"))
      #expect(found.errors.contains("m2-cr8-l400 is left out"))
      #expect(try dms("report", folder + "/whole").output == found.output)
      // As a kill leaves it: a part whole, one in the middle of a line, and two not begun.
      let killed = folder + "/killed"
      try FileManager.default.copyItem(atPath: folder + "/whole", toPath: killed)
      for part in ["m1-cr8-l15", "m1-cr8-l400"] { try FileManager.default.removeItem(atPath: "\(killed)/\(part)") }
      let lines = "\(killed)/m1-cr2-l400/records.jsonl"
      try write(String(String(contentsOfFile: lines, encoding: .utf8).prefix(2000)), lines)
      try expectFailure(dms(sweep + ["--output", killed]), "without --resume")
      try expectFailure(
        dms(["eval", model] + small + axes + ["--output", killed, "--resume"]), "another sweep's models")
      #expect(try dms(sweep + ["--output", killed, "--resume"]).code == 0)
      #expect(try records(killed) == whole)
    }
  }

  @Test func theShardsOfASweepAreTheWhole() throws {
    try withFolder { folder in
      let sweep = ["eval", model] + small + ["--sweep", "W=1,3", "L=15,50", "--temperature", "0.8"]
      let whole = try dms(sweep + ["--output", folder + "/whole", "--batch", "1"])
      #expect(whole.code == 0 && whole.errors.isEmpty, "\(whole.errors)")
      for shard in ["1/2", "2/2"] {
        let part = try dms(sweep + ["--output", folder + "/" + shard.prefix(1), "--shard", shard])
        #expect(part.code == 0 && part.output.contains("m1-l15: "), "\(part.errors)")
      }
      let merged = try dms("eval", "--merge", folder + "/2", folder + "/1", "--output", folder + "/merged")
      #expect(merged.code == 0 && merged.errors.isEmpty, "\(merged.errors)")
      #expect(try records(folder + "/merged") == records(folder + "/whole"))
      try expectFailure(dms("eval", "--merge", folder + "/1", folder + "/1", "--output", folder + "/twice"), "twice")
      // Verdicts are those of what was written, in every part.
      for part in ["m1-l15", "m1-l50"] {
        let path = "\(folder)/merged/\(part)/records.jsonl"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        try write(text.replacing(/"output":"[^"]*"/, with: "\"output\":\"<\\/think>no\""), path)
      }
      let judged = try dms("eval", "--rescore", folder + "/merged")
      #expect(judged.output.contains("| 3–50–8 | dms | \(model) | 3 | 0.0 "), "\(judged.output)\(judged.errors)")
    }
  }

  @Test func policiesAreLinesOfOneReport() throws {
    try withFolder { folder in
      let axes = ["--sweep", "policy=dense,window,quest", "CR=2", "L=9"]
      let found = try dms(["eval", model] + small + axes + ["--output", folder + "/run"])
      #expect(found.code == 0, "\(found.errors)")
      #expect(try records(folder + "/run").keys.sorted() == ["m1-dense-l9", "m1-quest-cr2-l9", "m1-window-cr2-l9"])
      for row in ["1–9–1 | dense", "1–9–2 | window", "1–9–2 | quest"] { #expect(found.output.contains("| \(row) |")) }
    }
  }

  @Test func axesThatCannotBeAreRefused() throws {
    for axes in [
      ["W=0"], ["W=1,1"], ["X=1"], ["L"], ["CR=0.5"], ["W=2"], ["L=9", "L=8"], ["policy=lru"], ["policy=dms,dms"],
    ] {
      #expect(try dms(["eval", model, "--output", "/dev/null/x", "--sweep"] + axes).code == 2, "\(axes)")
    }
    #expect(try dms("eval", model, "--sweep", "L=9").errors.contains("--output"))
    #expect(try dms("eval", model, "--output", "x", "--max-tokens", "9", "--sweep", "L=9").code == 2)
    #expect(try dms("eval", model, "--output", "x", "--kv-budget", "2x", "--sweep", "CR=9").code == 2)
    #expect(try dms("eval", model, "--output", "x", "--no-eviction", "--sweep", "policy=dms").code == 2)
    try withFolder { folder in
      try write(
        "{\"ctx\": \"a\", \"endings\": [\"b\", \"c\", \"d\", \"e\"], \"label\": 1, \"ind\": 1}\n", folder + "/h.jsonl")
      try expectFailure(
        dms(
          "eval", model, "--task", "hellaswag=\(folder)/h.jsonl", "--sweep", "W=2", "--temperature", "1", "--output",
          folder + "/run"), "choices")
    }
  }
}
