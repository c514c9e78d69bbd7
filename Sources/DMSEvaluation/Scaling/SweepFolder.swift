// A sweep's files: sweep.json says which parts there are and which could not be, and each part is a run's folder of its own
// (EvaluationFolder.swift), so that parts are killed, resumed, sharded, merged and judged again as runs are.

import DMSPlatform
import DMSText
import Glibc

/// A part of a sweep: a model with all chains of one length at one compression ratio.
public struct SweepPart: Sendable, Equatable {
  /// Its folder's name in the sweep's.
  public let folder: String
  /// What it is, as `max_tokens`.
  public let coordinates: JSONObject
  /// Why it was not run; `nil` for a part that was.
  public var skipped: String?

  /// A part that is to be run, or a reason.
  public init(folder: String, coordinates: JSONObject, skipped: String? = nil) {
    (self.folder, self.coordinates, self.skipped) = (folder, coordinates, skipped)
  }

  fileprivate var json: JSON {
    .members([
      "folder": .string(folder), "coordinates": .object(coordinates), "skipped": skipped.map(JSON.string) ?? .null,
    ])
  }

  fileprivate init?(_ json: JSON) {
    guard let folder = json["folder"]?.string, !folder.isEmpty, !folder.contains("/"), folder != "..",
      let coordinates = json["coordinates"]?.object
    else { return nil }
    self.init(folder: folder, coordinates: coordinates, skipped: json["skipped"]?.string)
  }
}

/// A sweep's place.
public final class SweepFolder {
  /// Of the folder.
  public let path: String
  /// The axes, equal for all shards.
  public let settings: JSONObject
  /// Which part of all answers its folders have.
  public let shard: Evaluation.Shard
  /// Its parts, skipped ones too.
  public private(set) var parts: [SweepPart]
  private let lock: FileLock?

  private static let version = 1
  private static func head(_ path: String) -> String { path + "/sweep.json" }

  /// Whether a folder has a sweep.
  public static func isThere(_ path: String) -> Bool { access(head(path), F_OK) == 0 }

  /// A sweep as it is, only to be read.
  /// - Throws: `InputError` if there is none.
  public convenience init(reading path: String) throws { try self.init(existing: path, lock: nil) }

  private init(existing path: String, lock: FileLock?) throws {
    let head = try JSON(file: Self.head(path))
    guard head["dms_sweep"]?.integer == Self.version, let settings = head["settings"]?.object,
      let shard = head["shard"]?.string.flatMap({ Evaluation.Shard($0) }), let parts = head["parts"]?.array
    else { throw InputError("no sweep of this program", at: Self.head(path), remedy: "give another folder") }
    (self.path, self.settings, self.shard, self.lock) = (path, settings, shard, lock)
    self.parts = try parts.map { json in
      guard let part = SweepPart(json) else {
        throw InputError("a part that is none", at: Self.head(path), remedy: "give another folder")
      }
      return part
    }
  }

  private init(
    _ path: String, _ settings: JSONObject, _ shard: Evaluation.Shard, _ parts: [SweepPart], _ lock: FileLock
  ) {
    (self.path, self.settings, self.shard, self.parts, self.lock) = (path, settings, shard, parts, lock)
  }

  /// Begins a sweep, or goes on with it.
  ///
  /// - Parameter resumes: whether a sweep that is there goes on; else there must be none.
  /// - Throws: `InputError` for a folder with another sweep or in use, or that cannot be written.
  public static func writing(
    _ path: String, _ settings: JSONObject, shard: Evaluation.Shard, parts: [SweepPart], resumes: Bool
  ) throws -> SweepFolder {
    guard mkdir(path, 0o777) == 0 || errno == EEXIST else { throw cannotWrite(path, errno) }
    let lock = try FileLock(folder: path)
    if isThere(path) {
      guard resumes else {
        throw InputError("has a sweep already", at: path, remedy: "go on with --resume, or give another folder")
      }
      let old = try SweepFolder(reading: path)
      guard old.shard == shard else {
        throw InputError("has shard \(old.shard) of the sweep", at: path, remedy: "give another folder")
      }
      try requireEqual(old, settings, parts, at: path)
    } else if access(path + "/run.json", F_OK) == 0 {
      throw InputError("has an evaluation that is no sweep", at: path, remedy: "give another folder")
    }
    let folder = SweepFolder(path, settings, shard, parts, lock)
    try folder.writeHead()
    return folder
  }

  private func writeHead() throws {
    let head = JSON.members([
      "dms_sweep": .integer(Self.version), "settings": .object(settings), "shard": .string("\(shard)"),
      "parts": .array(parts.map(\.json)),
    ])
    try writeAtomically(Array((head.text + "\n").utf8), to: Self.head(path))
  }

  /// Where a part lies.
  public func path(of part: SweepPart) -> String { path + "/" + part.folder }

  /// Which parts could not be is the machine's matter, and may change; which there are may not.
  private static func requireEqual(
    _ sweep: SweepFolder, _ settings: JSONObject, _ parts: [SweepPart], at path: String
  ) throws {
    guard sweep.settings != settings || sweep.parts.map(\.folder) != parts.map(\.folder) else { return }
    throw InputError(
      "is of another sweep", at: path, remedy: "give the models and axes that it was begun with, or another folder")
  }

  /// Judges all parts anew.
  ///
  /// - Parameter task: the task of a name.
  /// - Throws: as `EvaluationFolder.rescore`.
  public static func rescore(_ path: String, by task: (String) throws -> any EvaluationTask) throws {
    let sweep = try SweepFolder(reading: path)
    for part in sweep.parts where part.skipped == nil {
      _ = try EvaluationFolder.rescore(sweep.path(of: part), task)
    }
  }

  /// Puts the shards of a sweep together, part by part. A part that any shard has skipped is skipped.
  ///
  /// - Returns: how many records no shard has.
  /// - Throws: `InputError` for shards of different sweeps, and as `EvaluationFolder.merge`.
  public static func merge(_ paths: [String], to path: String) throws -> Int {
    let sweeps = try paths.map { try SweepFolder(reading: $0) }
    guard let first = sweeps.first else { throw InputError("no parts", remedy: "give the folders of a sweep's shards") }
    for sweep in sweeps.dropFirst() { try requireEqual(first, sweep.settings, sweep.parts, at: sweep.path) }
    let parts = first.parts.indices.map { index in
      SweepPart(
        folder: first.parts[index].folder, coordinates: first.parts[index].coordinates,
        skipped: sweeps.lazy.compactMap { $0.parts[index].skipped }.first)
    }
    // Everything is read before anything is written.
    let wanted = parts.filter { $0.skipped == nil }
    let folders = try wanted.map { part in
      try sweeps.map { try EvaluationFolder(reading: $0.path(of: part)) }
    }
    let whole = try writing(path, first.settings, shard: Evaluation.Shard(), parts: parts, resumes: false)
    return try zip(wanted, folders).reduce(0) { missing, part in
      try missing + EvaluationFolder.merge(part.1, to: whole.path(of: part.0)).missing
    }
  }
}
