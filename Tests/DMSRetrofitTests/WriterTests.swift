// One process writes a run at a time, and what it leaves has one spelling.

import DMSKernels
import DMSPlatform
import DMSText
import Foundation
import Testing

@testable import DMSRetrofit

final class WriterTests: RunPlace {
  @Test func aRunInUseIsNotGoneOnWith() throws {
    let (model, recipe) = (try emptyModel(), try recipe(pretrain))
    try run(recipe, model, "run", until: 2)
    do {
      let folder = try RunFolder(resuming: "\(root)/run")
      #expect(problem { _ = try RunFolder(resuming: folder.path) }.contains("run: in use by another process"))
    }
    #expect(try run(recipe, model, "run", resumes: true) == .finished)
  }

  /// Both have found a new name; the first that begins has it.
  @Test func ofTwoRunsThatBeginOneDoes() throws {
    let (model, recipe) = (try emptyModel(), try recipe(pretrain))
    func new() throws -> TrainingRun {
      try TrainingRun(
        recipe, model: model, folder: RunFolder(new: "\(root)/run"), on: Machine(threads: 2))
    }
    let (first, second, third) = (try new(), try new(), try new())
    var found = ""
    #expect(
      try first.run(isCancelled: { false }) { event in
        guard case .step(let progress) = event, progress.step == 3 else { return }
        found = problem { _ = try second.run(isCancelled: { false }) { _ in } }
      } == .finished)
    #expect(found.contains("in use by another process"))
    let lines = try log("run")
    #expect(lines.count == 6)
    withExtendedLifetime(first) {}
    #expect(problem { _ = try third.run(isCancelled: { false }) { _ in } }.contains("in use"))
    #expect(try log("run") == lines)
  }

  @Test func aNewRunTakesNoFolderThatHasOne() throws {
    let (model, recipe) = (try emptyModel(), try recipe(pretrain))
    try run(recipe, model, "run", until: 2)
    for file in ["recipe.json", "log.jsonl", "checkpoints", "model"] {
      let folder = "\(root)/\(file)-alone"
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      try "".write(toFile: "\(folder)/\(file)", atomically: true, encoding: .utf8)
      #expect(problem { try run(recipe, model, "\(file)-alone") }.contains("has a run already"), "\(file)")
    }
    try FileManager.default.createDirectory(atPath: "\(root)/empty", withIntermediateDirectories: true)
    #expect(try run(recipe, model, "empty") == .finished)
  }

  /// A folder in the making that a living process holds stays; what a dead one left goes.
  @Test func anEvaluationsFolderBelongsToItsRun() throws {
    let (model, recipe) = (try emptyModel(), try recipe(pretrain))
    try run(recipe, model, "run", until: 2)
    let (alive, dead) = ("\(root)/run/evaluated.partial-living", "\(root)/run/evaluated.partial-asleep")
    for folder in [alive, dead] {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }
    let lock = try FileLock(folder: alive)
    try run(recipe, model, "run", resumes: true)
    withExtendedLifetime(lock) {
      #expect(FileManager.default.fileExists(atPath: alive))
      #expect(!FileManager.default.fileExists(atPath: dead))
    }
  }

  // MARK: Spelling

  private func keys(_ json: JSON) -> [String] {
    if let list = json.array { return list.flatMap(keys) }
    return json.object?.members.flatMap { [$0.key] + keys($0.value) } ?? []
  }

  @Test func everyKeyIsInSnakeCase() throws {
    let model = try emptyModel()
    try run(try recipe(pretrain, steps: 2), model, "base")
    try run(try recipe(retrofit + #", "evaluate_every": 2"#), "\(root)/base/model", "run")
    var all = try ["report.json", "recipe.json"].flatMap { keys(try JSON(file: "\(root)/run/\($0)")) }
    for line in String(decoding: try bytes("run/log.jsonl"), as: UTF8.self).split(separator: "\n") {
      all += keys(try JSON(parsing: String(line), source: ""))
    }
    for name in Recipe.names { all += keys(try Recipe(named: name).json) }
    #expect(Set(all).isSuperset(of: ["token_loss", "evicted_shares", "steps_per_ratio", "hit_share", "weight_decay"]))
    for key in Set(all) { #expect(key.wholeMatch(of: /[a-z][a-z0-9]*(_[a-z0-9]+)*/) != nil, "\(key)") }
  }

  @Test(arguments: [
    ("tokensAtOnce", "tokens_at_once"), ("fadeSteps", "fade_steps"), ("rate.warmUp", "warm_up"),
    ("optimizer.weightDecay", "weight_decay"), ("eviction.stepsPerRatio", "steps_per_ratio"),
    ("checkpointEvery", "checkpoint_every"),
  ])
  func anotherSpellingIsUnknownAndTheRightOneNamed(old: String, new: String) {
    let found = problem { _ = try recipe(retrofit, overrides: ["\(old)=3"]) }
    #expect(
      found.contains("unknown key \"\(old.split(separator: ".").last ?? "")\"") && found.contains(new), "\(found)")
  }

  // MARK: Recipes that come with the program

  @Test func everyRecipeOfTheRepositoryIsKnownByItsName() throws {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appending(path: "Models/recipes")
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".json") }
    #expect(files.map { String($0.dropLast(5)) }.sorted() == Recipe.names)
    for name in Recipe.names {
      let file = try Data(contentsOf: folder.appending(path: name + ".json"))
      #expect(Recipe.file(named: name).map { Data($0) } == file, "\(name)")
      #expect(try Recipe(named: name).steps > 0)
    }
  }

  @Test func anUnknownNameListsTheKnownOnes() {
    for name in ["paper", "", "tiny.json", "../tiny", "Tiny"] {
      let found = problem { _ = try Recipe(named: name) }
      for known in Recipe.names { #expect(found.contains(known), "\(found)") }
      #expect(!found.contains("\n"))
    }
  }

  // MARK: Kinds

  @Test func eachKindHasItsOwnKeysOnly() throws {
    let fade = #""kind": "fade""#
    let eviction = #"eviction={"window": 4, "ratio": 2}"#
    let refused: [(String, String, String)] = [
      (pretrain, "fade_steps=2", "fade_steps"), (pretrain, eviction, "eviction"),
      (pretrain, "divergence=teacher||student", "divergence"), (fade, eviction, "eviction"),
      (fade, "fade_steps=7", "fade_steps"), (fade, "fade_steps=0", "fade_steps"),
      (retrofit, "fade_steps=2", "fade_steps"),
      (retrofit, "eviction=null", "eviction"),
    ]
    for (kind, override, key) in refused {
      let found = problem { _ = try recipe(kind, overrides: [override]) }
      #expect(found.contains(key), "\(override): \(found)")
    }
    #expect(try recipe(pretrain).kind == .pretrain)
    #expect(try recipe(fade, overrides: ["fade_steps=2"]).kind == .fade(steps: 2, .studentTeacher))
    #expect(try recipe(fade, overrides: ["divergence=teacher||student"]).kind == .fade(steps: 6, .teacherStudent))
    #expect(try recipe(pretrain).divergence == nil)
    #expect(try recipe(retrofit).divergence == .studentTeacher)
  }

  /// Members of lists are read one by one: none is passed over.
  @Test func aListWithAWrongMemberIsRefused() {
    for value in [#"[30, "x", 60]"#, "[30]", "[60, 30]", "[0, 5]", "[1.5, 5]", "30"] {
      #expect(problem { _ = try recipe(pretrain, overrides: ["stages.0.size=\(value)"]) }.contains("size"), "\(value)")
    }
    for value in ["[1e308, 1e308]", "[1, null]", "[-1, 1]", "[0, 0]", "[1, 1, 1]"] {
      #expect(
        problem { _ = try recipe(pretrain, overrides: ["stages.0.weights=\(value)"]) }.contains("weights"), "\(value)")
    }
  }

  // MARK: Warnings

  @Test func documentsWithinTheWindowAreWarnedAbout() throws {
    let model = try emptyModel()
    try run(try recipe(pretrain, steps: 2), model, "base")
    func warnings(_ name: String, window: Int) throws -> [String] {
      let run = try TrainingRun(
        recipe(retrofit, steps: 2, overrides: ["eviction.window=\(window)"]), model: "\(root)/base/model",
        folder: RunFolder(new: "\(root)/\(name)"), on: Machine(threads: 2))
      var found: [String] = []
      _ = try run.run(isCancelled: { false }) { if case .warning(let text) = $0 { found.append(text) } }
      return found
    }
    #expect(try warnings("short", window: 4).isEmpty)
    let found = try warnings("long", window: 4000)
    #expect(found.count == 1 && found[0].contains("longer than the window of 4000"))
  }
}
