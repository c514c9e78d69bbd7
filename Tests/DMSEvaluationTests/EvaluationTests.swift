// Runs: interrupted and resumed they are uninterrupted, parts of them make the whole, batches change nothing, and records are
// enough to judge again.

import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText
import Foundation
import Testing

@testable import DMSEvaluation

/// A task with choices whose data come with the tests.
private struct Letters: EvaluationTask {
  let name = "letters"

  func problems(_ choice: TaskChoice) -> [TaskProblem] {
    (0..<choice.madeUp).map { index in
      TaskProblem(
        id: "letter \(index)", prompt: TaskPrompt(text: "Facts: cat\(index)82; What is cat?"),
        question: .choices([" \(index)82", " the old river"], right: index % 2))
    }
  }
}

struct EvaluationTests {
  private let machine: Machine
  private let model: LanguageModel
  private let tasks: [any EvaluationTask] = [MadeUpTask(.retrieval), Letters(), MadeUpTask(.sums)]

  init() throws {
    machine = try Machine(threads: 2)
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    model = try LanguageModel(path: root + "/Models/tiny-cr8", on: machine)
  }

  private func evaluation(_ shard: String = "1/1", samples: Int = 1) throws -> Evaluation {
    var choice = TaskChoice()
    (choice.problems, choice.size) = (4, 60...200)
    choice.reader = TaskReader(model)
    var options = Evaluation.Options()
    options.shard = try #require(Evaluation.Shard(shard))
    options.samples = samples
    options.sampling.temperature = samples > 1 ? 1 : 0
    options.maxTokens = 30
    return try Evaluation(tasks, choice, options)
  }

  private func records(
    _ evaluation: Evaluation, batch: Int = 3, done: Set<EvaluationRecord.Key> = [], stopAfter: Int = .max,
    _ onRecord: (EvaluationRecord) throws -> Void = { _ in }
  ) throws -> [EvaluationRecord] {
    var options = Engine.Options()
    options.batch = batch
    options.context = try evaluation.tokensNeeded(by: model, context: 1024)
    var records: [EvaluationRecord] = []
    do {
      try evaluation.run(
        model, named: "m", on: Engine(model.decoder, on: machine, options), done: done,
        isCancelled: { records.count >= stopAfter }
      ) { record in
        try onRecord(record)
        records.append(record)
      }
    } catch is CancellationError {}
    return records
  }

  /// In order, and without what the clock says.
  private func sorted(_ records: [EvaluationRecord], _ evaluation: Evaluation) -> [EvaluationRecord] {
    let order = evaluation.keys("m")
    let byKey = Dictionary(uniqueKeysWithValues: records.map { ($0.key, $0) })
    return order.compactMap { key in
      var record = byKey[key]
      record?.seconds = 0
      record?.promptSeconds = 0
      record?.decodeSeconds = 0
      // What other sequences' pages take is not the record's.
      record?.ledger.bytesReserved = 0
      record?.ledger.bytesPrivate = 0
      return record
    }
  }

  @Test(arguments: [1, 3])
  func batchesShardsAndInterruptionsChangeNothing(samples: Int) throws {
    let whole = try evaluation(samples: samples)
    let all = sorted(try records(whole, batch: 1), whole)
    #expect(all.count == whole.count && all.count == 4 * (2 * samples + 1))
    #expect(samples == 1 || Set(all.map(\.output)).count > 8)
    #expect(sorted(try records(whole, batch: 16), whole) == all)
    let parts = try ["1/3", "2/3", "3/3"].flatMap { try records(evaluation($0, samples: samples)) }
    #expect(parts.count == all.count)
    #expect(sorted(parts, whole) == all)
    for stop in [1, 3, 7] {
      let first = try records(whole, stopAfter: stop)
      #expect(first.count >= stop && first.count < all.count)
      let rest = try records(whole, done: Set(first.map(\.key)))
      #expect(sorted(first + rest, whole) == all)
    }
  }

  @Test func aRecordIsItsLine() throws {
    let all = try records(try evaluation(samples: 2))
    for record in all {
      let read = try #require(EvaluationRecord(JSON(parsing: record.json.line)))
      #expect(read.json == record.json)
      var again = read
      (again.answer, again.share) = (nil, 0.5)
      try again.judge(by: try #require(tasks.first { $0.name == record.key.task }))
      #expect(again.answer == record.answer && again.share == record.share)
    }
    #expect(EvaluationRecord(JSON.members(["model": .string("m")])) == nil)
  }

  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  private func settings(_ seed: Int = 1) -> JSONObject {
    let tasks = tasks.map { JSON.members(["task": .string($0.name)]) }
    return JSONObject([
      "models": .array([.members(["model": .string("m")])]), "tasks": .array(tasks), "seed": .integer(seed),
      "records": .integer(12),
    ])
  }

  private func lines(_ folder: String) throws -> [String] {
    try String(contentsOfFile: folder + "/records.jsonl", encoding: .utf8).split(separator: "\n").map {
      String($0.replacing(/"[a-z_]*seconds":[-+.e0-9]+/, with: ""))
    }
  }

  @Test func aKilledRunGoesOnRecordByRecord() throws {
    try withFolder { folder in
      let whole = try evaluation()
      func run(_ path: String, resumes: Bool = false, stopAfter: Int = .max) throws {
        let folder = try EvaluationFolder(
          writing: path, settings(), shard: .init(), work: .string("here"), resumes: resumes)
        let found = try records(whole, done: Set(folder.records.map(\.key)), stopAfter: stopAfter) {
          try folder.append($0)
        }
        if found.count < stopAfter { try folder.finish(whole.keys("m")) }
      }
      try run(folder + "/whole")
      let all = try lines(folder + "/whole")
      #expect(all.count == 12)
      try run(folder + "/parts", stopAfter: 2)
      // Killed while it wrote: the line has no end.
      let text = try String(contentsOfFile: folder + "/parts/records.jsonl", encoding: .utf8)
      try (text + all[11].prefix(40)).write(toFile: folder + "/parts/records.jsonl", atomically: true, encoding: .utf8)
      try run(folder + "/parts", resumes: true, stopAfter: 5)
      try run(folder + "/parts", resumes: true)
      #expect(try lines(folder + "/parts") == all)
      #expect(try EvaluationFolder(reading: folder + "/parts").work.count == 3)
      // A finished run has nothing to do.
      try run(folder + "/parts", resumes: true)
      #expect(try lines(folder + "/parts") == all)
    }
  }

  @Test func partsMakeTheWhole() throws {
    try withFolder { folder in
      func run(_ shard: String, _ path: String, seed: Int = 1) throws {
        let part = try evaluation(shard)
        let folder = try EvaluationFolder(
          writing: path, settings(seed), shard: part.options.shard, work: .string(shard), resumes: false)
        _ = try records(part) { try folder.append($0) }
        try folder.finish(part.keys("m"))
      }
      try run("1/1", folder + "/whole")
      let names = ["2/3", "1/3", "3/3"]
      for (index, shard) in names.enumerated() { try run(shard, folder + "/\(index)") }
      func part(_ name: String) throws -> EvaluationFolder { try EvaluationFolder(reading: folder + "/" + name) }
      let (merged, missing) = try EvaluationFolder.merge([part("0"), part("1"), part("2")], to: folder + "/merged")
      #expect(missing == 0 && merged.records.count == 12)
      #expect(try lines(folder + "/merged") == lines(folder + "/whole"))
      #expect(try EvaluationFolder(reading: folder + "/merged").work == names.map(JSON.string))
      let some = try EvaluationFolder.merge([part("0"), part("1")], to: folder + "/some")
      #expect(some.missing == 4)
      try run("3/3", folder + "/other", seed: 2)
      try run("1/2", folder + "/half")
      for parts in [["0", "other"], ["0", "0"], ["0", "half"], []] {
        #expect(throws: InputError.self) {
          try EvaluationFolder.merge(parts.map(part), to: folder + "/refused")
        }
        #expect(!FileManager.default.fileExists(atPath: folder + "/refused"))
      }
      let error = #expect(throws: InputError.self) {
        try EvaluationFolder.merge([part("0"), part("other")], to: folder + "/refused")
      }
      #expect(error?.description.contains("seed differ") == true, "\(String(describing: error))")
      // Onto a folder that is there.
      #expect(throws: InputError.self) { try EvaluationFolder.merge([part("0")], to: folder + "/whole") }
    }
  }

  @Test func anotherRunsFolderIsRefused() throws {
    try withFolder { folder in
      func open(_ name: String, seed: Int = 1, _ shard: String = "1/1", resumes: Bool = true) throws -> EvaluationFolder
      {
        try EvaluationFolder(
          writing: folder + "/" + name, settings(seed), shard: #require(Evaluation.Shard(shard)), work: .null,
          resumes: resumes)
      }
      do {
        let first = try open("run", resumes: false)
        // In use.
        #expect(throws: InputError.self) { try open("run") }
        withExtendedLifetime(first) {}
      }
      #expect(throws: InputError.self) { try open("run", resumes: false) }
      #expect(throws: InputError.self) { try open("run", seed: 2) }
      #expect(throws: InputError.self) { try open("run", "1/2") }
      _ = try open("run")
      for broken in ["{}", "{", "[1]"] {
        try (broken + "\n").write(toFile: folder + "/run/records.jsonl", atomically: true, encoding: .utf8)
        let error = #expect(throws: InputError.self) { try EvaluationFolder(reading: folder + "/run") }
        #expect(error?.description.contains("line 1") == true)
      }
      try "{}".write(toFile: folder + "/run/run.json", atomically: true, encoding: .utf8)
      #expect(throws: InputError.self) { try EvaluationFolder(reading: folder + "/run") }
      #expect(throws: InputError.self) { try EvaluationFolder(reading: folder + "/none") }
    }
  }

  @Test func sharesOfSamplesCountOnceAProblem() throws {
    func record(_ model: String, _ place: Int, _ sample: Int, _ share: Double) -> EvaluationRecord {
      var record = EvaluationRecord(.init(model: model, task: "letters", place: place, sample: sample), problem: "p")
      record.share = share
      return record
    }
    // Of four problems with two answers each: 1, 1, ½, 0 beside 1, 0, 0, 0.
    let records = [1.0, 1, 1, 1, 1, 0, 0, 0].enumerated().map { record("m", $0 / 2, $0 % 2, $1) }
    let others = [1.0, 1, 0, 0, 0, 0, 0, 0].enumerated().map { record("n", $0 / 2, $0 % 2, $1) }
    var settings = settings()
    settings["models"] = .array([.members(["model": .string("m")]), .members(["model": .string("n")])])
    let report = TaskReport(records + others, settings: settings, work: [])
    let rows = try #require(report.json["by_task"]?.array)
    let (own, other) = (rows[0], rows[1])
    #expect(own["problems"]?.integer == 4 && own["right"]?.double == 0.625 && other["right"]?.double == 0.25)
    #expect(other["difference"]?.double == -0.375)
    // Wilson's interval of 2.5 of 4 by hand.
    #expect(
      abs((own["right_low"]?.double ?? 0) - 0.2194) < 1e-3 && abs((own["right_high"]?.double ?? 0) - 0.9081) < 1e-3)
  }
}
