// The files of an evaluation: run.json says what was asked of which models and what did the work, records.jsonl has a line for
// each answer as soon as it is there. A killed run loses the line that was being written; --resume goes on with the others. At
// the end the lines are put in order. One process writes a folder at a time.

import DMSPlatform
import DMSText
import Glibc

/// A run's place.
public final class EvaluationFolder {
  /// Of the folder.
  public let path: String
  /// What was asked of which models: equal for all parts of a run.
  public let settings: JSONObject
  /// Which part of a run this is.
  public let shard: Evaluation.Shard
  /// What did the work, a call after another.
  public private(set) var work: [JSON]
  /// What was done before.
  public private(set) var records: [EvaluationRecord]
  private let lock: FileLock?
  private var descriptor: Int32 = -1

  private static let version = 1
  private static let another = "give another folder"
  private static func head(_ path: String) -> String { path + "/run.json" }
  private static func lines(_ path: String) -> String { path + "/records.jsonl" }

  /// A folder as it is, only to be read.
  /// - Throws: `InputError` if it has no evaluation, or a line that is no record.
  public convenience init(reading path: String) throws { try self.init(existing: path, lock: nil) }

  private init(existing path: String, lock: FileLock?) throws {
    self.path = path
    self.lock = lock
    guard access(Self.head(path), F_OK) == 0 else {
      throw InputError("has no evaluation", at: path, remedy: "give a folder that dms eval --output has made")
    }
    let head = try JSON(file: Self.head(path))
    guard head["dms_eval"]?.integer == Self.version, let settings = head["settings"]?.object,
      let shard = head["shard"]?.string.flatMap({ Evaluation.Shard($0) }), let work = head["work"]?.array
    else { throw InputError("no evaluation of this program", at: Self.head(path), remedy: Self.another) }
    (self.settings, self.shard, self.work) = (settings, shard, work)
    records = try Self.read(Self.lines(path)).records
  }

  /// Begins a run, or goes on with it.
  ///
  /// - Parameters:
  ///   - work: what does the work now.
  ///   - resumes: whether a run that is there goes on; else there must be none.
  /// - Throws: `InputError` for a folder with another run, of another shard or in use, or that cannot be written.
  public convenience init(
    writing path: String, _ settings: JSONObject, shard: Evaluation.Shard, work: JSON, resumes: Bool
  ) throws {
    if resumes, access(Self.head(path), F_OK) == 0 {
      try self.init(existing: path, lock: FileLock(folder: path))
      try Self.requireEqual(self.settings, settings, at: path)
      guard self.shard == shard else {
        throw InputError("has shard \(self.shard) of the run", at: path, remedy: Self.another)
      }
    } else {
      guard mkdir(path, 0o777) == 0 || errno == EEXIST else { throw cannotWrite(path, errno) }
      let lock = try FileLock(folder: path)
      for file in [Self.head(path), Self.lines(path)] where access(file, F_OK) == 0 {
        throw InputError("has an evaluation already", at: path, remedy: "go on with --resume, or \(Self.another)")
      }
      self.init(path, settings, shard, lock)
    }
    self.work.append(work)
    try writeHead()
    try open()
  }

  private init(_ path: String, _ settings: JSONObject, _ shard: Evaluation.Shard, _ lock: FileLock) {
    (self.path, self.settings, self.shard, self.lock) = (path, settings, shard, lock)
    (work, records) = ([], [])
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  private func writeHead() throws {
    let head = JSON.members([
      "dms_eval": .integer(Self.version), "settings": .object(settings), "shard": .string("\(shard)"),
      "work": .array(work),
    ])
    try writeAtomically(Array((head.text + "\n").utf8), to: Self.head(path))
  }

  private func open() throws {
    let path = Self.lines(self.path)
    descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw cannotWrite(path, errno) }
    let whole = try Self.read(path).bytes
    guard ftruncate(descriptor, off_t(whole)) == 0, lseek(descriptor, 0, SEEK_END) >= 0 else {
      throw cannotWrite(path, errno)
    }
  }

  /// The records of a file, and how many bytes whole lines are.
  private static func read(_ path: String) throws -> (records: [EvaluationRecord], bytes: Int) {
    guard access(path, F_OK) == 0 else { return ([], 0) }
    let file = try MappedFile(path: path)
    let end = file.bytes.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
    var (records, seen) = ([EvaluationRecord](), Set<EvaluationRecord.Key>())
    for (index, line) in file.bytes[..<end].split(separator: UInt8(ascii: "\n")).enumerated() {
      let place = "\(path), line \(index + 1)"
      let json = try? JSON(parsing: UnsafeRawBufferPointer(rebasing: line), source: place)
      guard let record = json.flatMap(EvaluationRecord.init), seen.insert(record.key).inserted else {
        throw InputError("no record of this program, or one that was there", at: place, remedy: "take the line out")
      }
      records.append(record)
    }
    return (records, end)
  }

  /// Adds a record; it is there when this returns, whatever happens to the process then.
  public func append(_ record: EvaluationRecord) throws {
    let code = Array((record.json.line + "\n").utf8).withUnsafeBytes { writeAll($0, to: descriptor) }
    if let code { throw cannotWrite(Self.lines(path), code) }
    records.append(record)
  }

  /// Puts the records in order.
  public func finish(_ order: [EvaluationRecord.Key]) throws {
    let places = Dictionary(order.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    try replace(records.sorted { places[$0.key] ?? .max < places[$1.key] ?? .max })
  }

  private func replace(_ records: [EvaluationRecord]) throws {
    self.records = records
    try writeAtomically(Array(records.map { $0.json.line + "\n" }.joined().utf8), to: Self.lines(path))
  }

  /// Judges all records anew.
  /// - Parameter task: the task of a name.
  public static func rescore(_ path: String, _ task: (String) throws -> any EvaluationTask) throws -> EvaluationFolder {
    let folder = try EvaluationFolder(existing: path, lock: FileLock(folder: path))
    var records = folder.records
    for index in records.indices { try records[index].judge(by: task(records[index].key.task)) }
    try folder.replace(records)
    return folder
  }

  /// Puts the parts of a run together.
  ///
  /// - Returns: the whole, and how many of its records no part has.
  /// - Throws: `InputError` for parts of different runs, for a part that is given twice, and for a folder that is there.
  public static func merge(_ parts: [EvaluationFolder], to path: String) throws -> (EvaluationFolder, missing: Int) {
    guard let first = parts.first else { throw InputError("no parts", remedy: "give the folders of a run's shards") }
    for (index, part) in parts.enumerated() {
      try requireEqual(first.settings, part.settings, at: part.path)
      if let other = parts[..<index].first(where: { $0.shard == part.shard }) {
        throw InputError("has shard \(part.shard), as \(other.path)", at: part.path, remedy: "give each shard once")
      }
      guard part.shard.count == first.shard.count else {
        throw InputError("has shard \(part.shard), and \(first.path) \(first.shard)", at: part.path, remedy: another)
      }
    }
    // Records of one task go around the shards; models and tasks stand in the order of the settings.
    let models = first.settings["models"]?.array?.compactMap { $0["model"]?.string } ?? []
    let tasks = first.settings["tasks"]?.array?.compactMap { $0["task"]?.string } ?? []
    func place(_ record: EvaluationRecord) -> [Int] {
      [
        models.firstIndex(of: record.key.model) ?? 0, tasks.firstIndex(of: record.key.task) ?? 0, record.key.place,
        record.key.sample,
      ]
    }
    let records = parts.flatMap(\.records).map { (place($0), $0) }.sorted { $0.0.lexicographicallyPrecedes($1.0) }
    let whole = try EvaluationFolder(
      writing: path, first.settings, shard: Evaluation.Shard(), work: .array(parts.flatMap(\.work)), resumes: false)
    whole.work = parts.flatMap(\.work)
    try whole.writeHead()
    try whole.replace(records.map(\.1))
    return (whole, (first.settings["records"]?.integer ?? 0) - records.count)
  }

  private static func requireEqual(_ settings: JSONObject, _ others: JSONObject, at path: String) throws {
    guard settings != others else { return }
    let keys = settings.keys + others.keys.filter { settings[$0] == nil }
    let different = keys.filter { settings[$0] != others[$0] }
    throw InputError(
      "is of another run: \(different.joined(separator: ", ")) differ", at: path,
      remedy: "give the options that it was begun with, or another folder")
  }
}
