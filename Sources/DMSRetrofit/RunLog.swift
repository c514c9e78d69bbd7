// The log of a run: a line of JSON for each step and each evaluation, in their order. Its keys are here and nowhere else.

import DMSCheckpoint
import DMSPlatform
import DMSText
import Glibc

/// What a step came to, as the log has it.
struct StepRecord: Equatable {
  let step: Int
  let loss: Double
  let tokenLoss: Double
  let hitShare: Double
  let rate: Double
  let norm: Double
  /// Of the run so far.
  let tokens: Int
  let seconds: Double
  /// `nil` for what is no retrofit.
  let eviction: Eviction?

  struct Eviction: Equatable {
    let ratioLoss: Double
    let targetShare: Double
    let evictedShare: Double
  }

  var json: JSON {
    var members: [(String, JSON)] = [
      ("step", .integer(step)), ("loss", .number(loss)), ("token_loss", .number(tokenLoss)),
      ("hit_share", .number(hitShare)), ("rate", .number(rate)), ("norm", .number(norm)), ("tokens", .integer(tokens)),
      ("seconds", .number(seconds)),
    ]
    if let eviction {
      members += [
        ("ratio_loss", .number(eviction.ratioLoss)), ("target_share", .number(eviction.targetShare)),
        ("evicted_share", .number(eviction.evictedShare)),
      ]
    }
    var object = JSONObject()
    for (key, value) in members { object[key] = value }
    return .object(object)
  }
}

extension StepRecord {
  fileprivate init(_ reader: ConfigurationReader) throws {
    func number(_ key: String) throws -> Double {
      try reader.required(key, reader.number(key, in: -Double.greatestFiniteMagnitude...Double.greatestFiniteMagnitude))
    }
    step = try reader.required("step", reader.integer("step", in: 1...Int.max))
    loss = try number("loss")
    tokenLoss = try number("token_loss")
    hitShare = try number("hit_share")
    rate = try number("rate")
    norm = try number("norm")
    tokens = try reader.required("tokens", reader.integer("tokens", in: 1...Int.max))
    seconds = try number("seconds")
    eviction =
      reader.value("target_share") == nil
      ? nil
      : Eviction(
        ratioLoss: try number("ratio_loss"), targetShare: try number("target_share"),
        evictedShare: try number("evicted_share"))
  }
}

struct RunLog {
  let path: String
  /// The steps until the one that the run stands at.
  private(set) var steps: [StepRecord] = []
  /// Whether the last of them has been evaluated.
  private(set) var isEvaluated = false
  /// Bytes of the lines until there.
  private var kept = 0

  /// The log of a run that is new.
  init(new path: String) { self.path = path }

  /// What the log says of the steps until one. Later lines do not count: a killed run wrote them after its last checkpoint, and
  /// they will be written again. A log that somebody took away, or its beginning, is no fault.
  /// - Throws: `InputError` that names the first line that cannot be.
  init(_ path: String, until step: Int) throws {
    self.path = path
    guard step > 0, access(path, F_OK) == 0 else { return }
    let file = try MappedFile(path: path)
    try withExtendedLifetime(file) {
      var (last, number) = (0, 0)
      for line in file.bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
        number += 1
        guard !line.allSatisfy({ [0x20, 0x0D].contains($0) }) else { continue }
        let place = "\(path), line \(number)"
        do {
          let found = try Self.read(line, at: place)
          if last == 0 || last == step, found.step > step { break }
          guard found.isStep ? last == 0 || found.step == last + 1 : last == 0 || found.step == last else {
            throw Self.damaged("step \(last) is followed by step \(found.step)", at: place)
          }
          if let record = found.record { steps.append(record) }
          isEvaluated = found.step == step && !found.isStep
          last = found.step
          kept = min(line.endIndex + 1, file.bytes.count)
        } catch {
          // Half a line at the end is what a killed run was writing.
          if last == step { break }
          throw error
        }
      }
      guard last == 0 || last == step else {
        throw Self.damaged("it ends with step \(last), the run stands at step \(step)", at: path)
      }
    }
  }

  private static func read(
    _ line: Slice<UnsafeRawBufferPointer>, at place: String
  ) throws -> (step: Int, isStep: Bool, record: StepRecord?) {
    let json: JSON
    do { json = try JSON(parsing: UnsafeRawBufferPointer(rebasing: line), source: place) } catch {
      throw damaged("not valid JSON", at: place)
    }
    let reader = try ConfigurationReader(json, source: place, remedy: remedy)
    guard try reader.object("evaluation") == nil else {
      return (try reader.required("step", reader.integer("step", in: 1...Int.max)), false, nil)
    }
    let record = try StepRecord(reader)
    return (record.step, true, record)
  }

  private static let remedy = "remove the file to go on without it"

  private static func damaged(_ problem: String, at place: String) -> InputError {
    InputError("the log is damaged: \(problem)", at: place, remedy: remedy)
  }

  /// Takes away what comes after the lines that count.
  func cut() throws {
    guard access(path, F_OK) == 0 else { return }
    let file = try MappedFile(path: path)
    try withExtendedLifetime(file) {
      var bytes = Array(file.bytes.prefix(kept))
      if let last = bytes.last, last != UInt8(ascii: "\n") { bytes.append(UInt8(ascii: "\n")) }
      if !file.bytes.elementsEqual(bytes) { try writeAtomically(bytes, to: path) }
    }
  }

  func append(_ record: StepRecord) throws { try append(record.json) }

  func append(_ found: HeldOutEvaluation, after step: Int) throws {
    try append(
      .members([
        "step": .integer(step),
        "evaluation": .members([
          "loss": .number(found.loss), "hit_share": .number(found.hitShare), "exact_share": .number(found.exactShare),
          "ratio": .number(found.ratio), "documents": .integer(found.documents),
        ]),
      ]))
  }

  /// - Throws: `InputError` if the line cannot be written whole.
  private func append(_ line: JSON) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw cannotWrite(path, errno) }
    defer { close(descriptor) }
    let code = Array((line.line + "\n").utf8).withUnsafeBytes { writeAll($0, to: descriptor) }
    if let code { throw cannotWrite(path, code) }
  }

  /// Makes it durable: a state that outlives a power cut finds the lines of its steps.
  func sync() {
    let descriptor = open(path, O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    close(descriptor)
  }
}
