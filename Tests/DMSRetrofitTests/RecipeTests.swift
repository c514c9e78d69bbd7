// Recipes: one spelling, keys that a kind has a use for, names that travel with the program, and what a run would take.

import DMSCheckpoint
import DMSKernels
import DMSText
import Foundation
import Testing

@testable import DMSRetrofit

final class RecipeTests: RunPlace {
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

  // MARK: Memory

  /// The estimate's sum beside one that was added up by hand, from the shapes that stand beside each buffer.
  @Test(arguments: ["train-neuron", "train-adapter", "qwen3"], [(true, false), (true, true), (false, false)])
  func aDecoderTakesWhatItsListSays(name: String, way: (trains: Bool, recomputes: Bool)) throws {
    let shape = try ModelConfiguration(folder: "\(TrainingFixture.fixtures)/\(name)")
    let (rows, longest, threads, (trains, recomputes)) = (130, 70, 3, way)
    let (c, h, g, d, f) = (shape.hidden, shape.heads, shape.kvHeads, shape.headDim, shape.intermediate)
    let adapter = shape.dms?.separateAlpha ?? false ? c : 0
    let layer = 4 * c + adapter + 3 + (h + 2 * g) * d + 2 * h + 3 * g + 2 * h * d + g * d + 3 * f
    var numbers = (trains && !recomputes ? shape.layers : 1) * rows * layer + rows * (2 * c + 1)
    if trains {
      numbers += rows * (2 * c + (h + 2 * g) * d + 2 * h * d + g * d + g + 3 * f)
      // Sums of 64 rows each.
      numbers += 3 * max(c, 2 * d)
      if recomputes { numbers += shape.layers * rows * c }
    }
    numbers += threads * 64 * (h / g) * (2 * longest + d + 1) + longest * d
    #expect(
      TrainingDecoder.bytes(
        shape, capacity: rows, longest: longest, trains: trains, recomputes: recomputes, threads: threads)
        == 4 * numbers)
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
