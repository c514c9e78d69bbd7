// Runs from recipes: continued runs are uninterrupted ones, threads do not matter, bad input is one clear line.

import DMSCheckpoint
import DMSEvaluation
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText
import Foundation
import Testing

@testable import DMSRetrofit

final class RunTests: RunPlace {
  @Test(arguments: ["pretrain", "fade", "retrofit", "retrofit borrowed", "retrofit adapter"])
  func interruptedAndContinuedIsUninterrupted(kind: String) throws {
    let model = try emptyModel()
    let base = try recipe(pretrain, steps: 2)
    try run(base, model, "base")
    let start = kind == "pretrain" ? model : "\(root)/base/model"
    let recipe =
      switch kind {
      case "pretrain": try recipe(pretrain)
      case "fade": try recipe(#""kind": "fade", "checkpoint_every": 2"#)
      case "retrofit": try recipe(retrofit, overrides: ["eviction.calibrates=true"])
      case "retrofit borrowed": try recipe(retrofit, overrides: ["eviction.trains=borrowed"])
      default: try recipe(retrofit, overrides: ["eviction.trains=adapter", "eviction.adapter=true"])
      }
    #expect(try run(recipe, start, "whole") == .finished)
    #expect(try run(recipe, start, "parts", until: 3) == .cancelled)
    #expect(try run(recipe, start, "parts", until: 5, resumes: true) == .cancelled)
    // Killed after the checkpoint of step 4: step 5 is in the log, and is computed again.
    try FileManager.default.removeItem(atPath: "\(root)/parts/checkpoints/step-00000005.safetensors")
    #expect(try run(recipe, start, "parts", threads: 1, resumes: true) == .finished)
    #expect(try bytes("whole/model/model.safetensors") == bytes("parts/model/model.safetensors"))
    #expect(try bytes("whole/model/config.json") == bytes("parts/model/config.json"))
    #expect(try log("whole") == log("parts"))
    if kind == "retrofit" {
      #expect(try bytes("whole/model-ratio-2/model.safetensors") == bytes("parts/model-ratio-2/model.safetensors"))
    }
  }

  /// Stopped when an evaluation is due, it evaluates before it goes on.
  @Test func anEvaluationThatWasDueIsMadeUpFor() throws {
    let model = try emptyModel()
    let recipe = try recipe(pretrain + #", "evaluate_every": 2"#)
    try run(recipe, model, "whole")
    try run(recipe, model, "parts", until: 2)
    #expect(try log("parts").count == 2)
    try run(recipe, model, "parts", resumes: true)
    #expect(try log("whole").count == 8)
    #expect(try log("whole") == log("parts"))
  }

  @Test func aFinishedRunThatGoesOnReplacesItsModel() throws {
    let model = try emptyModel()
    let constant = #""kind": "pretrain", "weights": "bf16""#
    func recipe(_ steps: Int) throws -> Recipe {
      try self.recipe(constant, overrides: ["rate.schedule=constant", "stages.1.steps=\(steps)"])
    }
    try run(try recipe(4), model, "whole")
    try run(try recipe(1), model, "parts")
    #expect(try bytes("whole/model/model.safetensors") != bytes("parts/model/model.safetensors"))
    // A killed run leaves half a model.
    try FileManager.default.createDirectory(
      atPath: "\(root)/parts/evaluated.partial-abcdef", withIntermediateDirectories: true)
    try run(try recipe(4), model, "parts", resumes: true)
    #expect(try bytes("whole/model/model.safetensors") == bytes("parts/model/model.safetensors"))
    #expect(try JSON(file: "\(root)/parts/report.json")["steps"]?.integer == 7)
    let files = try FileManager.default.contentsOfDirectory(atPath: "\(root)/parts")
    #expect(files.sorted() == ["checkpoints", "log.jsonl", "model", "recipe.json", "report.json", "report.svg"])
    let written = try SafetensorsFile(path: "\(root)/parts/model/model.safetensors")
    #expect(written.names.allSatisfy { written.view($0)?.type == .bf16 })
  }

  @Test func aPretrainingLearns() throws {
    let model = try emptyModel()
    try run(try recipe(pretrain, steps: 40), model, "learns")
    let losses = try log("learns").compactMap { try JSON(parsing: $0 + "}", source: "")["loss"]?.double }
    #expect(losses.count == 40)
    #expect((losses.first ?? 0) - (losses.last ?? 0) > 1)
  }

  @Test func aFadeEndsWithoutBorrowedRows() throws {
    let model = try emptyModel()
    try run(try recipe(pretrain, steps: 2), model, "base")
    let fade = try recipe(#""kind": "fade", "fade_steps": 4"#)
    #expect((0...6).map(fade.borrowedShare) == [1, 0.75, 0.5, 0.25, 0, 0, 0])
    try run(fade, "\(root)/base/model", "faded")
    let checkpoint = try Checkpoint(folder: "\(root)/faded/model")
    let layout = ParameterLayout(checkpoint.configuration.taught(DMSSettings()))
    let parameters = try Parameters(layout, from: checkpoint)
    let borrowed = TrainableParts(layout, .borrowed).parts
    #expect(!borrowed.isEmpty)
    #expect(borrowed.allSatisfy { $0.range.allSatisfy { parameters.values.base[$0] == 0 } })
  }

  @Test func aRetrofittedModelHasTheReleasedCheckpointsForm() throws {
    let model = try emptyModel()
    try run(try recipe(pretrain, steps: 2), model, "base")
    try run(try recipe(retrofit), "\(root)/base/model", "taught")
    let config = try JSON(file: "\(root)/taught/model/config.json")
    #expect(config["dms_window_size"]?.integer == 4)
    #expect(config["dms_cr"]?.integer == 3)
    #expect(config["dms_alpha_scale"]?.double == 10)
    #expect(config["dms_initial_alpha_offset"]?.double == 1)
    #expect(config["dms_paged_attention_block_size"]?.integer == 2)
    #expect(try JSON(file: "\(root)/taught/model-ratio-2/config.json")["dms_cr"]?.integer == 2)
    // A borrowed neuron adds no tensor: names and shapes are those of the model.
    let (before, after) = (
      try SafetensorsFile(path: "\(root)/base/model/model.safetensors"),
      try SafetensorsFile(path: "\(root)/taught/model/model.safetensors")
    )
    #expect(before.names == after.names)
    for name in before.names { #expect(before.view(name)?.shape == after.view(name)?.shape) }
    #expect(try Checkpoint(folder: "\(root)/taught/model").configuration.dms?.window == 4)
    _ = try Decoder(ModelSource(path: "\(root)/taught/model"), on: Machine(threads: 1))
  }

  @Test func aRunEndsWithItsReport() throws {
    let model = try emptyModel()
    try run(try recipe(pretrain, steps: 2), model, "base")
    try run(try recipe(retrofit), "\(root)/base/model", "taught")
    let report = try JSON(file: "\(root)/taught/report.json")
    #expect(report["steps"]?.integer == 6)
    #expect(report["recipe"]?["seed"]?.integer == 5)
    let shares = try #require(report["evaluation"]?["evicted_shares"]?.array)
    #expect(shares.map { $0.array?.count } == [2, 2])
    // Of each head what is not evicted is live: the ratio is that of the means.
    let live = shares.flatMap { $0.array ?? [] }.compactMap(\.double).reduce(0) { $0 + 1 - $1 } / 4
    #expect(abs((report["evaluation"]?["ratio"]?.double ?? 0) * live - 1) < 1e-9)
    let picture = String(decoding: try bytes("taught/report.svg"), as: UTF8.self)
    #expect(picture.hasPrefix("<svg") && picture.hasSuffix("</svg>\n"))
    #expect(picture.ranges(of: " %</text>").count == 4 + 5)
    #expect(picture.contains("reached, relaxed"))
    #expect(!picture.contains("nan") && !picture.contains("inf"))
  }

  @Test func anAdapterStartsWithTheOffsetAlone() throws {
    let model = try emptyModel()
    try run(try recipe(pretrain, steps: 2), model, "base")
    let checkpoint = try Checkpoint(folder: "\(root)/base/model")
    var settings = DMSSettings()
    settings.separateAlpha = true
    let parameters = try Parameters(ParameterLayout(checkpoint.configuration.taught(settings)), from: checkpoint)
    let tensors = parameters.layout.tensors.filter { $0.name.contains("dms_proj_alpha") }
    #expect(tensors.count == 4)
    for tensor in tensors {
      let value: Float = tensor.name.hasSuffix("alpha_norm.weight") ? 1 : 0
      #expect((0..<tensor.count).allSatisfy { parameters.values.base[tensor.offset + $0] == value })
    }
  }

  @Test func aCalibratedModelForgetsWhatWasAskedFor() throws {
    let model = try emptyModel()
    try run(try recipe(pretrain, steps: 2), model, "base")
    func shares(_ name: String, _ calibrates: Bool) throws -> [Double] {
      try run(
        try recipe(retrofit, overrides: ["eviction.calibrates=\(calibrates)", "evaluation_sequences=8"]),
        "\(root)/base/model", name)
      let heads = try JSON(file: "\(root)/\(name)/report.json")["evaluation"]?["evicted_shares"]?.array ?? []
      return heads.flatMap { $0.array ?? [] }.compactMap(\.double)
    }
    func mean(_ shares: [Double]) -> Double { shares.reduce(0, +) / Double(shares.count) }
    // Two thirds, but for the window of 4 of some 60 tokens.
    #expect(abs(mean(try shares("calibrated", true)) - 0.62) < 0.05)
    #expect(abs(mean(try shares("as trained", false)) - 0.62) > 0.1)
  }

  // MARK: Bad input

  @Test func anUnknownKeyIsNamed() {
    #expect(problem { _ = try recipe(pretrain + #", "evalEvery": 3"#) }.contains(#"unknown key "evalEvery""#))
    #expect(problem { _ = try recipe(pretrain, overrides: ["rate.peek=1"]) }.contains(#"unknown key "peek""#))
    #expect(problem { _ = try recipe(pretrain, overrides: ["rate"]) }.contains("is not key=value"))
    #expect(problem { _ = try recipe(pretrain, overrides: ["stages.0.steps=x"]) }.contains("stages[0]: steps"))
    #expect(
      problem { _ = try recipe(pretrain, overrides: ["stages.0.weights=[1]"]) }.contains("for each of the 2 sources"))
    #expect(problem { _ = try recipe(#""kind": "retrofit""#) }.contains("needs the key eviction"))
    #expect(problem { _ = try recipe(retrofit, overrides: ["eviction.trains=adapter"]) }.contains("cannot train"))
    #expect(problem { _ = try recipe(retrofit, overrides: ["fade_steps=3"]) }.contains("only a fade has the key"))
    #expect(problem { _ = try recipe(pretrain + #", "divergence": "x""#) }.contains("has no teacher"))
    #expect(problem { _ = try recipe(pretrain, overrides: ["weights=q8"]) }.contains("one of f32, bf16, f16"))
  }

  @Test func whatWouldBeIgnoredIsRefused() {
    #expect(problem { _ = try recipe(retrofit, overrides: ["eviction.exports=2"]) }.contains("a list of ratios"))
    #expect(problem { _ = try recipe(retrofit, overrides: ["eviction.exports=[4]"]) }.contains("ratios from 1 to 3"))
    let text = #"data=[{"text": "a.txt", "scored": "answers"}]"#
    #expect(problem { _ = try recipe(pretrain, overrides: [text]) }.contains("leave scored out"))
  }

  @Test func whatNoMachineHoldsIsRefused() {
    let size = "stages.0.size=[1,9223372036854775807]"
    #expect(problem { _ = try recipe(pretrain, overrides: [size]) }.contains("two numbers up to"))
    let large = ["steps=1073741824", "sequences=1048576", "length=16777216"].map { "stages.0.\($0)" }
    #expect(problem { _ = try recipe(pretrain, overrides: large) }.contains("make fewer steps"))
  }

  @Test func aModelThatForgetsIsNotPretrained() throws {
    let model = try emptyModel()
    try run(try recipe(pretrain, steps: 2), model, "base")
    try run(try recipe(retrofit), "\(root)/base/model", "taught")
    let found = problem { try run(try recipe(pretrain), "\(root)/taught/model", "again") }
    #expect(found.contains("has learnt to forget already"))
  }

  /// Before the first step: not one is for nothing.
  @Test func heldOutDocumentsThatDoNotFitAreFoundAtOnce() throws {
    let (model, data) = (try emptyModel(), "\(root)/data.jsonl")
    let lines = ["a b", "c d"].map { #"{"messages": [{"role": "user", "content": "\#($0)"}]}"# }
    try lines.joined(separator: "\n").write(toFile: data, atomically: true, encoding: .utf8)
    let recipe = try recipe(pretrain, overrides: ["data=[{\"jsonl\": \"\(data)\", \"scored\": \"answers\"}]"])
    #expect(problem { try run(recipe, model, "nothing") }.contains("with something to predict"))
    #expect(!FileManager.default.fileExists(atPath: "\(root)/nothing"))
  }

  @Test func overridesReachEveryDepth() throws {
    let recipe = try recipe(retrofit, overrides: ["stages.1.steps=9", "eviction.ratio=2.5", "rate.schedule=linear"])
    #expect(recipe.steps == 12)
    #expect(recipe.eviction?.ratio == 2.5)
    #expect(recipe.rate.schedule == .linear)
  }

  @Test func aBrokenLineIsNamedByItsNumber() throws {
    let (model, data) = (try emptyModel(), "\(root)/data.jsonl")
    func problem(_ text: String) throws -> String {
      try text.write(toFile: data, atomically: true, encoding: .utf8)
      let recipe = try recipe(pretrain, overrides: ["data=[{\"jsonl\": \"\(data)\"}]"])
      return self.problem { try run(recipe, model, "broken") }
    }
    #expect(try problem("{\"text\": \"a\"}\n\n{\"text\": \"b\"\n").contains("data.jsonl, line 3"))
    #expect(try problem("{\"text\": \"a\"}\n{\"texts\": 1}\n").contains("line 2: neither a text nor messages"))
    #expect(try problem("\n \n").contains("empty"))
    #expect(!FileManager.default.fileExists(atPath: "\(root)/broken"))
  }

  @Test func aVocabularyThatDoesNotFitIsRefused() throws {
    let model = try emptyModel(vocabulary: 200)
    #expect(problem { try run(try recipe(pretrain), model, "small") }.contains("the model's vocabulary 200"))
  }

  @Test func aRunOfAnotherShapeCannotGoOn() throws {
    let model = try emptyModel()
    try run(try recipe(pretrain, steps: 2), model, "base")
    try run(try recipe(retrofit), "\(root)/base/model", "shape", until: 2)
    let other = try recipe(retrofit, overrides: ["eviction.trains=borrowed"])
    #expect(
      problem { try run(other, "\(root)/base/model", "shape", resumes: true) }.contains("numbers that train, this one"))
  }

  @Test func aLossThatIsNoNumberStopsTheRunAndKeepsTheLastCheckpoint() throws {
    let model = try emptyModel()
    // So large a rate takes the weights out of what fp32 holds within a few steps.
    let recipe = try recipe(
      pretrain, steps: 40, overrides: ["rate.peak=100", "optimizer.clip=1e9", "optimizer.weight_decay=10"])
    let found = problem { try run(recipe, model, "wild") }
    #expect(found.contains("the loss of step"))
    let saved = try FileManager.default.contentsOfDirectory(atPath: "\(root)/wild/checkpoints")
    #expect(!saved.isEmpty)
    for name in saved {
      let file = try SafetensorsFile(path: "\(root)/wild/checkpoints/\(name)")
      let view = try #require(file.view("trained"))
      #expect(!view.bytes.bindMemory(to: Float.self).contains { !$0.isFinite })
    }
  }
}
