// The files of a run: its recipe, its log, its checkpoints, the models that it made, its report.

import DMSCheckpoint
import DMSPlatform
import DMSText
import Glibc

public struct RunFolder: Sendable {
  public let path: String

  public var recipe: String { path + "/recipe.json" }
  public var log: String { path + "/log.jsonl" }
  var checkpoints: String { path + "/checkpoints" }
  public var model: String { path + "/model" }
  /// Of a model on the way.
  public func model(ratio: Double) -> String {
    "\(path)/model-ratio-\(ratio == ratio.rounded() ? "\(Int(ratio))" : "\(ratio)")"
  }

  /// A new run's folder, which is not made yet.
  /// - Throws: `InputError` if it has a run already.
  public static func check(_ path: String) throws -> RunFolder {
    let folder = RunFolder(path: path)
    guard access(folder.recipe, F_OK) != 0 else {
      throw InputError("has a run already", at: path, remedy: "go on with --resume, or give a new name")
    }
    return folder
  }

  /// Makes the folder and keeps the recipe in it. What a killed run left half written goes.
  /// - Throws: `InputError` if it cannot be made.
  public func begin(_ recipe: Recipe) throws {
    try Self.makeFolder(path)
    CheckpointFolder.removeLeftovers(in: path)
    try Self.makeFolder(checkpoints)
    try writeAtomically(Array((recipe.json.text + "\n").utf8), to: self.recipe)
  }

  /// - Throws: `InputError` if there is no run.
  public static func open(_ path: String) throws -> RunFolder {
    let folder = RunFolder(path: path)
    guard access(folder.recipe, F_OK) == 0 else {
      throw InputError("has no run to go on with", at: path, remedy: "begin one with --recipe")
    }
    return folder
  }

  private static func makeFolder(_ path: String) throws {
    guard mkdir(path, 0o777) == 0 || errno == EEXIST else {
      throw InputError(
        "cannot be made: \(systemMessage(errno))", at: path, remedy: "choose a place that can be written")
    }
  }

  /// The lines of the log up to a step; what a killed run wrote after its last checkpoint will be written again.
  func truncateLog(after step: Int) throws {
    guard access(log, F_OK) == 0 else { return }
    let file = try MappedFile(path: log)
    let kept = withExtendedLifetime(file) {
      file.bytes.split(separator: UInt8(ascii: "\n")).filter { line in
        let json = try? JSON(parsing: UnsafeRawBufferPointer(rebasing: line), source: log)
        return json?["step"]?.integer.map { $0 <= step } ?? false
      }.flatMap { Array($0) + [UInt8(ascii: "\n")] }
    }
    try writeAtomically(kept, to: log)
  }

  /// Whether the log has the evaluation after a step.
  func hasEvaluation(after step: Int) throws -> Bool {
    guard access(log, F_OK) == 0 else { return false }
    let file = try MappedFile(path: log)
    return withExtendedLifetime(file) {
      file.bytes.split(separator: UInt8(ascii: "\n")).suffix(2).contains { line in
        let json = try? JSON(parsing: UnsafeRawBufferPointer(rebasing: line), source: log)
        return json?["step"]?.integer == step && json?["evaluation"] != nil
      }
    }
  }

  /// - Throws: `InputError` if the line cannot be written whole.
  func append(_ line: JSON) throws {
    let bytes = Array((line.line + "\n").utf8)
    let descriptor = Glibc.open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw InputError("cannot be written: \(systemMessage(errno))", at: log) }
    defer { close(descriptor) }
    let count = write(descriptor, bytes, bytes.count)
    guard count == bytes.count else {
      throw InputError("cannot be written: \(systemMessage(count < 0 ? errno : ENOSPC))", at: log)
    }
  }
}
