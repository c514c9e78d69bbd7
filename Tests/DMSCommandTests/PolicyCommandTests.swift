// --policy and --budget on every command that runs a model: what they hold, what they record, what they refuse.

import DMSCache
import Foundation
import Testing

@testable import DMSCommand

struct PolicyCommandTests {
  private let model = models + "/tiny-cr8"
  private let dense = models + "/tiny-dense"
  private static let names = PolicyName.allCases.filter { $0.budgeted != nil || $0 == .quest }
  private static let text = String(repeating: "the key of the box is 41, the key of the door is 7. ", count: 12)

  private func object(_ outcome: Outcome) throws -> [String: Any] {
    #expect(outcome.code == 0, "\(outcome.errors)")
    return try #require(JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
  }

  @Test(arguments: names)
  func aRunIsHeldToItsBudgetAndSaysSo(name: PolicyName) throws {
    let run = try object(
      dms(
        "run", dense, Self.text, "--raw", "--max-tokens", "40", "--json", "--policy", name.rawValue, "--budget", "100",
        "--chunk", "16"))
    let (seen, live) = (try #require(run["tokens_seen"] as? Double), try #require(run["live_tokens"] as? Double))
    let read = try #require(run["tokens_read"] as? Double)
    #expect(seen > 250)
    if name == .quest {
      #expect(live == seen && read < 40 * (100 + seen / 16 + 1))
    } else {
      #expect(live < 100 + 128 && read < 40 * (100 + 128))
    }
    let work = try #require(run["produced_by"] as? [String: Any])
    #expect(work["policy"] as? String == name.rawValue && work["kv_budget"] as? String == "100")
    #expect(work["call_tokens"] as? Int == (name == .window || name == .quest ? nil : 16))
  }

  @Test func aRatioIsOfPromptAndAnswer() throws {
    let run = try object(
      dms("run", dense, Self.text, "--raw", "--max-tokens", "1", "--json", "--policy", "tova", "--budget", "4x"))
    let (seen, live) = (try #require(run["tokens_seen"] as? Double), try #require(run["live_tokens"] as? Double))
    #expect(live == ((seen + 1) / 4).rounded(.up))
  }

  @Test func theModelsOwnPolicyHasAName() throws {
    func ids(_ arguments: String...) throws -> [Int] {
      let run = try object(dms(["run", model, Self.text, "--raw", "--max-tokens", "20", "--json"] + arguments))
      return try #require(run["generated_ids"] as? [Int])
    }
    #expect(try ids("--policy", "dms") == ids())
    #expect(try ids("--policy", "dense") == ids("--no-eviction"))
    #expect(try ids("--policy", "dms", "--budget", "2000") == ids("--kv-budget", "2000"))
  }

  @Test func aHugeBudgetPredictsAsADenseCache() throws {
    try withFolder { folder in
      try write(Self.text, folder + "/text")
      func nats(_ arguments: String...) throws -> Double {
        let found = try object(dms(["perplexity", dense, "--text", folder + "/text", "--json"] + arguments))
        return try #require(found["nats_per_token"] as? Double)
      }
      let whole = try nats()
      for name in Self.names { #expect(try nats("--policy", name.rawValue, "--budget", "4000") == whole) }
      #expect(try nats("--policy", "window", "--budget", "8") != whole)
    }
  }

  @Test func anEvaluationRecordsItsPolicy() throws {
    let report = try object(
      dms(
        "eval", model, "--task", "retrieval", "--problems", "2", "--size", "30-80", "--json", "--policy", "h2o",
        "--budget", "4x"))
    let text = String(decoding: try JSONSerialization.data(withJSONObject: report), as: UTF8.self)
    #expect(text.contains("\"policy\":\"h2o\"") && text.contains("\"kv_budget\":\"4.0x\""))
  }

  @Test func aBenchmarkHasARowForEachPolicy() throws {
    let names = PolicyName.allCases.filter { $0 != .dms && $0 != .triAttention }.map(\.rawValue).joined(separator: ",")
    let report = try object(
      dms(
        "bench", dense, "--policy", names, "--budget", "80", "--depth", "400", "--prompt", "0", "--generate", "2",
        "--repetitions", "1", "--chains", "2", "--json"))
    let results = try #require(report["results"] as? [[String: Any]])
    #expect(results.count == PolicyName.allCases.count - 2)
    for result in results {
      let live = try #require(result["live_tokens"] as? Double)
      if ["dense", "quest"].contains(result["policy"] as? String) { #expect(live > 400) } else { #expect(live < 208) }
    }
  }

  @Test func aCalibrationServesItsModelOnly() throws {
    try withFolder { folder in
      try write(Self.text, folder + "/text")
      let made = try dms("calibrate", dense, "--text", folder + "/text", "--output", folder + "/queries")
      #expect(made.code == 0 && made.output.isEmpty, "\(made.errors)")
      let options = ["--policy", "triattention", "--budget", "140", "--calibration", folder + "/queries"]
      let run = try object(
        dms(["run", dense, "12 and 30 make", "--raw", "--max-tokens", "400", "--json"] + options))
      let (seen, live) = (try #require(run["tokens_seen"] as? Double), try #require(run["live_tokens"] as? Double))
      // A text may end by itself.
      #expect(seen < 256 ? live == seen : live < 140 + 128)
      try expectFailure(dms(["run", model, "hi"] + options), "another model")
      try expectFailure(dms("run", dense, "hi", "--policy", "triattention", "--budget", "140"), "no calibration")
      try write("{}", folder + "/none")
      try expectFailure(
        dms("run", dense, "hi", "--policy", "triattention", "--budget", "140", "--calibration", folder + "/none"),
        "no file")
      #expect(try dms("run", dense, "hi", "--calibration", folder + "/queries").code == 2)
      #expect(try dms("calibrate", dense).code == 2)
    }
  }

  @Test(arguments: [
    ["run", "MODEL", "hi", "--policy", "tova"], ["run", "MODEL", "hi", "--policy", "quest", "--budget", "64MB"],
    ["run", "MODEL", "hi", "--policy", "dense", "--budget", "100"], ["run", "MODEL", "hi", "--policy", "dms"],
    ["run", "MODEL", "hi", "--policy", "h2o", "--budget", "1"],
    ["run", "MODEL", "hi", "--policy", "window", "--budget", "1KB"],
    ["run", "MODEL", "hi", "--budget", "100"],
    ["bench", "MODEL", "--policy", "tova"], ["eval", "MODEL", "--policy", "tova", "--problems", "1"],
  ])
  func whatCannotServeIsRefusedInALine(arguments: [String]) throws {
    try expectFailure(dms(arguments.map { $0 == "MODEL" ? dense : $0 }), "\(arguments)")
  }

  @Test(arguments: [
    ["run", "m", "p", "--policy", "nonsense"], ["run", "m", "p", "--policy", "dense,tova"],
    ["run", "m", "p", "--policy", "tova", "--no-eviction"], ["run", "m", "p", "--chunk", "0"],
    ["chat", "m", "--policy", ""], ["perplexity", "m", "--text", "t", "--budget", "much"],
    ["run", "m", "p", "--policy", "tova", "--policy", "h2o"],
  ])
  func wrongUsageIsExitCodeTwo(arguments: [String]) throws { #expect(try dms(arguments).code == 2, "\(arguments)") }

  /// A conversation under a policy is put away and goes on as it would have.
  @Test(arguments: names)
  func aSavedConversationGoesOn(name: PolicyName) throws {
    try withFolder { folder in
      let options = ["--policy", name.rawValue, "--budget", "90", "--max-tokens", "12", "--temperature", "0"]
      let whole = try dms(["chat", model] + options, input: "\(Self.text)\nand the door?\n")
      let file = folder + "/talk"
      let first = try dms(["chat", model, "--session", file] + options, input: Self.text + "\n")
      let second = try dms(["chat", model, "--session", file] + options, input: "and the door?\n")
      #expect(whole.code == 0 && first.output + second.output == whole.output, "\(second.errors)")
      let other = try dms(
        "chat", model, "--session", file, "--policy", name.rawValue, "--budget", "95", input: "and the door?\n")
      expectFailure(other, "another budget")
    }
  }
}
