// `dms solve`: the answer on stdout, the plan and its cost beside it, and budgets that are kept.

import Foundation
import Testing

struct SolveTests {
  private let model = models + "/tiny-cr8"
  private let problem = models + "/problem.txt"

  @Test func manyChainsGiveOneAnswer() throws {
    let found = try dms(
      "solve", model, "--problem-file", problem, "--budget-memory", "16MiB", "--chains", "5", "--explain")
    #expect(found.code == 0 && found.output == "147\n", "\(found.errors)")
    #expect(found.errors.hasPrefix("plan 5–") && found.errors.contains("the last 65 tokens and one in 8.0"))
    #expect(found.errors.contains("of 5 chains: 147") && found.errors.contains("agreement "))
    let json = try dms(
      "solve", model, "--problem-file", problem, "--budget-memory", "16MiB", "--chains", "5", "--json")
    let object = try #require(JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
    #expect(object["answer"] as? String == "147")
    #expect((object["peak_cache_bytes"] as? Int).map { $0 > 0 && $0 <= 16 << 20 } == true)
    #expect((object["chains"] as? [Any])?.count == 5)
    // The same seed, the same chains; another one, others.
    let again = try dms(
      "solve", model, "--budget-memory", "16MiB", "--chains", "5", "--json",
      input: String(contentsOfFile: problem, encoding: .utf8))
    func outputs(_ text: String) -> [String] { text.matches(of: /"output":"[^"]*"/).map { String($0.0) } }
    #expect(outputs(again.output) == outputs(json.output) && outputs(json.output).count == 5)
  }

  @Test func aSmallBudgetMeansFewerChains() throws {
    func plan(_ more: String...) throws -> Substring {
      let found = try dms(
        ["solve", model, "--problem-file", problem, "--explain", "--max-tokens", "100", "--temperature", "0.7"] + more)
      return found.errors.split(separator: ":")[0]
    }
    #expect(try plan("--budget-memory", "64MB") == "plan 32–100–8")
    #expect(try plan("--budget-memory", "2MB").hasPrefix("plan ") && plan("--budget-memory", "2MB") != "plan 32–100–8")
    #expect(try plan("--budget-memory", "64MB", "--no-eviction", "--chains", "2") == "plan 2–100–1")
    #expect(try plan("--budget-memory", "64MB", "--budget-reads", "50000") != "plan 32–100–8")
    try expectFailure(
      dms("solve", model, "--problem-file", problem, "--budget-memory", "10KB"), "no room for a token")
    try expectFailure(
      dms("solve", model, "--problem-file", problem, "--budget-memory", "64MB", "--budget-reads", "3"), "no reads")
    try expectFailure(dms("solve", model, " ", "--budget-memory", "64MB"), "no problem")
  }

  @Test func whatMeansNothingIsRefused() throws {
    let budget = ["--budget-memory", "64MB"]
    #expect(try dms("solve", model, "x").code == 2)
    for wrong in [
      ["--budget-memory", "64"], ["--budget-memory", "8x"], budget + ["--chains", "0"],
      budget + ["--temperature", "0"],
      budget + ["--seconds", "-1"], budget + ["--budget-reads", "0"], budget + ["--problem-file", problem],
    ] {
      #expect(try dms(["solve", model, "x"] + wrong).code == 2, "\(wrong)")
    }
  }
}
