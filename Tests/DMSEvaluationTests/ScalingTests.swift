// Points W–L–CR: votes, costs by hand, fronts that nothing beats, reports that are what their file says.

import DMSPlatform
import DMSText
import Foundation
import Testing

@testable import DMSEvaluation

struct ScalingTests {
  // MARK: Votes

  @Test func theMostFrequentAnswerWinsAndTheFirstOfEqualOnes() {
    let vote = Vote(["a", "b", nil, "b", "c", "a", "b"], same: ==)
    #expect(vote.groups.map(\.answer) == ["a", "b", "c"])
    #expect(vote.winner?.chains == [1, 3, 6] && vote.unanswered == 1)
    #expect(vote.agreement == 3.0 / 7)
    #expect(Vote(["x", "y", "y", "x"], same: ==).winner?.answer == "x")
    #expect(Vote([nil, nil], same: ==).winner == nil && Vote([nil, nil], same: ==).agreement == 0)
    #expect(Vote([], same: ==).winner == nil)
  }

  @Test func equalAnswersAreOneWhateverTheirSpelling() throws {
    guard case .vote(let same) = TaskName.combination(of: "math500").rule else {
      Issue.record("mathematics is put to the vote")
      return
    }
    let vote = Vote(["2", "\\frac{1}{2}", "0.5", "\\dfrac12", "2"], same: same)
    #expect(vote.winner?.chains == [1, 2, 3])
    // The list of names and the tasks themselves say the same.
    guard case .vote(let own) = MathTask(name: "math500", path: "").combination.rule else {
      Issue.record("a vote")
      return
    }
    #expect(
      own("\\frac12", "0.5") && same("\\frac12", "0.5") && !TaskName.combination(of: "gsm8k").isSame("0.5", "0.50"))
  }

  // MARK: Points

  private func record(
    _ model: String, _ place: Int, _ sample: Int, _ answer: String?, task: String = "sums", _ change: Double = 1
  ) -> EvaluationRecord {
    var record = EvaluationRecord(.init(model: model, task: task, place: place, sample: sample), problem: "\(place)")
    (record.answer, record.references) = (answer, ["7"])
    record.share = answer == "7" ? 1 : 0
    record.tokens = 10 + sample
    record.ledger.tokensSeen = 40
    record.ledger.liveTokens = 40 / change
    record.ledger.tokensRead = 100 * change
    record.ledger.peakTokens = 50
    (record.ledger.bytesHeld, record.sharedBytes, record.ownBytes) = (3000, 1000, 2500)
    (record.promptSeconds, record.decodeSeconds) = (1, 0.5)
    return record
  }

  private func run(
    _ path: String = "run", models: [(String, policy: String, budget: String?)] = [("m", "dense", nil)],
    chains: [Int]? = nil, seed: Int = 1, tokens: Int = 64, hash: String = "aa", _ records: [EvaluationRecord]
  ) -> ScalingRun {
    let models = models.map { model in
      JSON.members([
        "model": .string(model.0), "model_hash": .string(hash), "policy": .string(model.policy),
        "kv_budget": model.budget.map(JSON.string) ?? .null,
      ])
    }
    var settings = JSONObject([
      "models": .array(models), "tasks": .array([.members(["task": .string("sums")])]), "seed": .integer(seed),
      "samples": .integer(4), "max_tokens": .integer(tokens), "records": .integer(records.count),
    ])
    settings["chains"] = chains.map { .array($0.map(JSON.integer)) }
    return ScalingRun(path: path, parts: [.init(path: path, settings: settings, work: [], records: records)])
  }

  /// Two problems of four chains: the first's vote is right, the second's is not.
  private func answers(_ model: String = "m", _ change: Double = 1) -> [EvaluationRecord] {
    [["7", "3", "7", nil], ["7", "5", "5", nil]].enumerated().flatMap { place, answers in
      answers.enumerated().map { record(model, place, $0.offset, $0.element, change) }
    }
  }

  @Test func chainsVoteAndTheirCostsAddUp() throws {
    let report = try ScalingReport([run(chains: [1, 2, 4], answers())])
    #expect(report.points.map(\.label) == ["1–64–1", "2–64–1", "4–64–1"])
    let (one, two, four) = (report.points[0], report.points[1], report.points[2])
    // Three of eight are right; of two, "7" and "3" are a tie that the first wins, "7" and "5" too, nil does not vote.
    #expect(one.right.value == 0.375 && two.right.value == 0.75 && four.right.value == 0.5)
    #expect(four.agreement == 0.5 && one.agreement == 0.75)
    #expect((one.reads, two.reads, four.reads) == (100, 200, 400))
    #expect((one.peakTokens, four.peakTokens) == (50, 200))
    // The prompt's pages and its time count once.
    #expect((one.bytes, four.bytes) == (3500, 11000))
    #expect((one.seconds, four.seconds) == (1.5, 3))
    #expect(one.problems == 2 && one.generated == 11.5 && one.difference == nil)
  }

  @Test func aTaskOfProgramsNeedsOneThatIsRight() throws {
    let records = answers().map { old in
      var record = old
      record.key.task = "livecodebench"
      return record
    }
    let report = try ScalingReport([run(chains: [4], records)])
    #expect(report.points.map(\.right.value) == [1])
    #expect(report.points[0].agreement == 0.375)
  }

  @Test func policiesAreComparedPairByPairWithTheFirst() throws {
    let worse = answers("n", 4).map { old in
      var record = old
      if record.key.place == 0 { (record.answer, record.share) = ("1", 0) }
      return record
    }
    let both = run(models: [("m", "dense", nil), ("n", "tova", "4x")], chains: [4], answers() + worse)
    let report = try ScalingReport([both])
    #expect(report.points.map(\.line) == ["dense", "tova"])
    #expect(report.points.map(\.label) == ["4–64–1", "4–64–4"])
    #expect(report.points[1].difference?.value == -0.5 && report.points[1].measuredRatio == 4)
    #expect(
      report.markdown.contains("| 4–64–4 | tova | n | 2 | 0.0 (0.0–65.8) | -50.0 (-148.0 to 48.0) | 4.00 | 1600 |"))
  }

  @Test func problemsWithFewerAnswersThanChainsAreLeftOut() throws {
    let report = try ScalingReport([run(chains: [1, 4], Array(answers().dropLast()))])
    #expect(report.points.map(\.problems) == [2, 1])
    #expect(throws: InputError.self) { try ScalingReport([run(chains: [5], answers())]) }
    #expect(throws: InputError.self) { try ScalingReport([]) }
  }

  @Test func whatIsNotOneQuestionIsRefusedUnlessAsked() throws {
    let first = run("first", answers())
    _ = try ScalingReport([first, run("longer", tokens: 128, answers())])
    for other in [run("other", seed: 2, tokens: 128, answers()), run("other", tokens: 128, hash: "bb", answers())] {
      let error = #expect(throws: InputError.self) { try ScalingReport([first, other]) }
      #expect(
        error?.description.contains("other: is another question than first: ") == true, "\(String(describing: error))")
      let report = try ScalingReport([first, other], isMixed: true)
      #expect(Set(report.points.map(\.line)) == ["m, dense"])
    }
    // The same point twice is nobody's wish.
    #expect(throws: InputError.self) { try ScalingReport([first, run("again", answers())]) }
  }

  // MARK: Fronts

  @Test func nothingBeatsAFrontAndAllElseIsBeaten() {
    var random = RandomStream(seed: 3)
    for _ in 0..<200 {
      let points = (0..<Int.random(in: 1...12, using: &random)).map { _ in
        var point = ScalingPoint()
        point.right = .init(Double(Int.random(in: 0...4, using: &random)) / 4, 0, 1)
        point.reads = Double(Int.random(in: 1...5, using: &random))
        return point
      }
      func beats(_ a: ScalingPoint, _ b: ScalingPoint) -> Bool {
        a.right.value >= b.right.value && a.reads <= b.reads && (a.right.value, a.reads) != (b.right.value, b.reads)
      }
      let front = ScalingCost.reads.front(of: points)
      #expect(!front.isEmpty)
      for index in points.indices {
        let isBeaten = points.contains { beats($0, points[index]) }
        #expect(front.contains(index) != isBeaten)
        if isBeaten { #expect(front.contains { beats(points[$0], points[index]) }) }
      }
    }
  }

  // MARK: Reports

  @Test func aReportIsItsFile() throws {
    let runs = run(
      models: [("m", "dense", nil), ("n|x", "tova", "4x")], chains: [1, 2, 4],
      answers() + answers("n|x", 1.7) + [
        record("m", 0, 0, "7", task: "recital"), record("m", 1, 0, "7", task: "recital"),
      ])
    let report = try ScalingReport([runs])
    #expect(report.groups == ["all", "sums", "recital"])
    let path = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString).json").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    try report.json.text.write(toFile: path, atomically: true, encoding: .utf8)
    let read = try ScalingReport(file: path)
    #expect(read == report)
    #expect(read.json.text == report.json.text && read.markdown == report.markdown)
    for group in report.groups {
      for cost in ScalingCost.allCases { #expect(read.svg(cost, of: group) == report.svg(cost, of: group)) }
    }
    // Every point is named, and what stands in a name does not make a table.
    let svg = report.svg(.reads, of: "sums")
    for point in report.points(of: "sums") { #expect(svg.contains(">\(point.label)</text>"), "\(point.label)") }
    #expect(report.markdown.contains("| n\\|x |"))
    for broken in ["{}", "{\"dms_report\":1,\"runs\":[],\"points\":[{}]}", "["] {
      try broken.write(toFile: path, atomically: true, encoding: .utf8)
      #expect(throws: InputError.self) { try ScalingReport(file: path) }
    }
  }

  @Test(arguments: [
    ("cache_bytes", "1e300"), ("cache_bytes", "-1"), ("tokens_read", "-1"), ("right", "7"), ("chains", "0"),
    ("max_tokens", "-1"), ("problems", "9223372036854775807"), ("seconds", "1e18"), ("ratio", "-3"),
  ])
  func numbersThatNoReportHasAreRefused(key: String, number: String) throws {
    let text = try ScalingReport([run(chains: [1, 2, 4], answers())]).json.text
    let path = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString).json").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let damaged = text.replacing(try Regex("\"\(key)\": [-+.0-9e]+"), with: "\"\(key)\": \(number)")
    try #require(damaged != text)
    try damaged.write(toFile: path, atomically: true, encoding: .utf8)
    #expect(throws: InputError.self) { try ScalingReport(file: path) }
  }

  @Test func costsOfNothingAreStillAPicture() throws {
    let text = try ScalingReport([run(chains: [1, 2, 4], answers())]).json.text
    let path = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString).json").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let costs = try Regex("\"(tokens_read|peak_tokens|cache_bytes|seconds)\": [-+.0-9e]+")
    try text.replacing(costs) { "\"\($0.output[1].substring ?? "")\": 0" }
      .write(toFile: path, atomically: true, encoding: .utf8)
    let report = try ScalingReport(file: path)
    for cost in ScalingCost.allCases { #expect(!report.svg(cost, of: "sums").contains("nan")) }
  }

  @Test func aPictureIsLegibleInTheDark() throws {
    let svg = try ScalingReport([run(chains: [1, 2, 4], answers())]).svg(.reads, of: "sums")
    let style = try #require(svg.firstMatch(of: /<style>@media \(prefers-color-scheme:dark\)\{(.*)\}<\/style>/)).1
    let used = Set(svg.matches(of: /class="([a-z0-9-]+)"/).map { String($0.1) })
    #expect(used.count > 4)
    for name in used { #expect(style.contains(".\(name){"), "\(name)") }
    // On both grounds every ink that carries meaning stands out (WCAG's contrast, 3 for graphics, 4.5 for text).
    for theme in [Theme.light, .dark] {
      #expect(contrast(theme.color(.text), theme.color(.ground)) > 4.5)
      for series in 0..<8 { #expect(contrast(theme.color(.series(series)), theme.color(.ground)) > 3, "\(series)") }
    }
  }

  private func contrast(_ a: UInt32, _ b: UInt32) -> Double {
    func luminance(_ color: UInt32) -> Double {
      let shifts: [UInt32] = [16, 8, 0]
      let parts = shifts.map { shift -> Double in
        let part = Double((color >> shift) & 255) / 255
        return part <= 0.04045 ? part / 12.92 : pow((part + 0.055) / 1.055, 2.4)
      }
      return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
    }
    let (light, dark) = (max(luminance(a), luminance(b)), min(luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)
  }
}

extension ChainCombination {
  fileprivate func isSame(_ a: String, _ b: String) -> Bool {
    if case .vote(let same) = rule { same(a, b) } else { false }
  }
}
