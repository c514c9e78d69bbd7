// The files of a run: its recipe, its log, its checkpoints, the models that it made, its report. One process writes them at a
// time. What stands in them is not known here.

import DMSCheckpoint
import DMSPlatform
import DMSText
import Glibc

/// A run's place. While it lives, no other process can write there.
public final class RunFolder {
  /// Of the folder.
  public let path: String
  /// Whether the run in it goes on.
  public let resumes: Bool
  /// `nil` before a new run begins: nothing is made until then.
  private var lock: FileLock?

  /// The file of the recipe.
  public var recipe: String { path + "/recipe.json" }
  /// The file of the log, a JSON object a line.
  public var log: String { path + "/log.jsonl" }
  var checkpoints: String { path + "/checkpoints" }
  /// The folder of the model that comes of it.
  public var model: String { path + "/model" }
  /// Of a model on the way.
  public func model(ratio: Double) -> String {
    "\(path)/model-ratio-\(ratio == ratio.rounded() ? "\(Int(ratio))" : "\(ratio)")"
  }

  /// For a new run.
  /// - Throws: `InputError` if it has a run already.
  public init(new path: String) throws {
    self.path = path
    resumes = false
    try refuseRun()
  }

  /// Of a run that goes on.
  /// - Throws: `InputError` if there is no run, or another process works on it.
  public init(resuming path: String) throws {
    self.path = path
    resumes = true
    guard access(recipe, F_OK) == 0 else {
      throw InputError("has no run to go on with", at: path, remedy: "begin one with --recipe")
    }
    lock = try FileLock(folder: path)
  }

  private func refuseRun() throws {
    for file in [recipe, log, checkpoints, model] where access(file, F_OK) == 0 {
      throw InputError("has a run already", at: path, remedy: "go on with --resume, or give a new name")
    }
  }

  /// Makes the folder, keeps the recipe in it and cuts the log. What a killed run left half written goes.
  /// - Throws: `InputError` if it cannot be made, or another process has begun a run there meanwhile.
  func begin(_ recipe: Recipe, keeping log: RunLog) throws {
    try Self.makeFolder(path)
    if lock == nil {
      lock = try FileLock(folder: path)
      try refuseRun()
    }
    try writeAtomically(Array((recipe.json.text + "\n").utf8), to: self.recipe)
    CheckpointFolder.removeLeftovers(in: path)
    try Self.makeFolder(checkpoints)
    try log.cut()
  }

  private static func makeFolder(_ path: String) throws {
    guard mkdir(path, 0o777) == 0 || errno == EEXIST else {
      throw InputError(
        "cannot be made: \(systemMessage(errno))", at: path, remedy: "choose a place that can be written")
    }
  }
}
