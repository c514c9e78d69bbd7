// One process writes a run at a time.

import DMSKernels
import DMSPlatform
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

  @Test func aRunThatWasCancelledGoesOnByItself() throws {
    let (model, recipe) = (try emptyModel(), try recipe(pretrain))
    try run(recipe, model, "whole")
    let parts = try TrainingRun(
      recipe, model: model, folder: RunFolder(new: "\(root)/parts"), on: Machine(threads: 2))
    var step = 0
    #expect(try parts.run(isCancelled: { step >= 3 }) { if case .step = $0 { step += 1 } } == .cancelled)
    #expect(try parts.run(isCancelled: { false }) { _ in } == .finished)
    #expect(try log("parts") == log("whole"))
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
}
