// Which runs belong into one report, and which points they have. A run is a folder of `dms eval`, or a folder of several with one
// question: a sweep. What was asked must be equal from run to run, or whoever compares must say that it may differ.

import DMSPlatform
import DMSText

/// A run of an evaluation, or several that one command began.
public struct ScalingRun: Sendable {
  /// Where it lies.
  public let path: String
  /// Its folders: their settings, work and records.
  public let parts: [Part]
  /// What of it could not be run.
  public let skipped: [SweepPart]

  /// A folder's contents.
  public struct Part: Sendable {
    /// Where it lies.
    public let path: String
    /// What was asked of which models.
    public let settings: JSONObject
    /// What did the work.
    public let work: [JSON]
    /// What became of the problems.
    public let records: [EvaluationRecord]

    /// Contents of a folder.
    public init(path: String, settings: JSONObject, work: [JSON], records: [EvaluationRecord]) {
      (self.path, self.settings, self.work, self.records) = (path, settings, work, records)
    }

    /// Answers that the run should have and has not.
    public var missing: Int { max(0, (settings["records"]?.integer ?? 0) - records.count) }

    var models: [JSON] { settings["models"]?.array ?? [] }
    var samples: Int { settings["samples"]?.integer ?? 1 }

    /// W of the points that the run was made for; without any, one chain and all of them.
    var chains: [Int] {
      settings["chains"]?.array?.compactMap(\.integer) ?? (samples > 1 ? [1, samples] : [1])
    }

    /// L.
    var tokens: Int {
      settings["max_tokens"]?.integer ?? settings["longest_answer"]?.integer ?? records.map(\.tokens).max() ?? 0
    }
  }

  /// A run of its parts.
  public init(path: String, parts: [Part], skipped: [SweepPart] = []) {
    (self.path, self.parts, self.skipped) = (path, parts, skipped)
  }

  /// Reads a run, or all of a sweep.
  /// - Throws: `InputError` for a folder without an evaluation, for a shard, and for records that cannot be read.
  public init(reading path: String) throws {
    if SweepFolder.isThere(path) {
      let sweep = try SweepFolder(reading: path)
      let run = sweep.parts.filter { $0.skipped == nil }
      self.init(
        path: path, parts: try run.flatMap { try ScalingRun(reading: sweep.path(of: $0)).parts },
        skipped: sweep.parts.filter { $0.skipped != nil })
      return
    }
    let folder = try EvaluationFolder(reading: path)
    guard folder.shard == Evaluation.Shard() else {
      throw InputError(
        "has shard \(folder.shard) of a run", at: path, remedy: "put the parts together with dms eval --merge first")
    }
    self.init(
      path: path, parts: [Part(path: path, settings: folder.settings, work: folder.work, records: folder.records)])
  }

  /// What of the settings must be equal in one report: everything but the points' own coordinates.
  var question: JSONObject {
    var settings = parts.first?.settings ?? JSONObject()
    for key in ["models", "samples", "chains", "max_tokens", "longest_answer", "records"] { settings[key] = nil }
    settings["model_hash"] = .array(Set(models.map { $0["model_hash"]?.string ?? "" }).sorted().map(JSON.string))
    for key in ["weights", "arithmetic", "kv_type", "context"] {
      settings[key] = .array(Set(models.map { $0[key]?.line ?? "" }).sorted().map(JSON.string))
    }
    return settings
  }

  private var models: [JSON] { parts.flatMap(\.models) }

  /// - Throws: `InputError` that names what differs.
  static func requireOneQuestion(_ runs: [ScalingRun]) throws {
    for run in runs.dropFirst() {
      let (first, other) = (runs[0].question, run.question)
      let different = (first.keys + other.keys.filter { first[$0] == nil }).filter { first[$0] != other[$0] }
      guard different.isEmpty else {
        throw InputError(
          "is another question than \(runs[0].path): \(different.joined(separator: ", ")) differ", at: run.path,
          remedy: "report on each alone, or say --mixed")
      }
    }
  }
}

/// The points of runs, with the outcomes that they are means of.
struct ScalingPoints {
  /// A point before its group's problems are chosen.
  private struct Source {
    var point = ScalingPoint()
    let outcomes: [ChainsOutcome]
  }
  private var sources: [Source] = []

  /// - Parameters:
  ///   - chains: W of the points; `nil` leaves it to the runs.
  ///   - isMixed: whether lines carry the models' names, not their policies' alone.
  init(_ runs: [ScalingRun], chains: [Int]?, isMixed: Bool, _ combination: (String) -> ChainCombination) throws {
    for part in runs.flatMap(\.parts) {
      let byModel = Dictionary(grouping: part.records, by: \.key.model)
      for model in part.models {
        guard let name = model["model"]?.string, let records = byModel[name] else { continue }
        let problems = AnsweredProblem.all(records)
        for count in chains ?? part.chains {
          var point = ScalingPoint()
          (point.model, point.chains, point.tokens) = (name, count, part.tokens)
          let policy = model["policy"]?.string ?? "dense"
          point.line = isMixed ? "\(name), \(policy)" : policy
          let outcomes = problems.compactMap { ChainsOutcome($0, chains: count, combination($0.key.task)) }
          guard !outcomes.isEmpty else { continue }
          point.measuredRatio = rounded(Self.ratio(outcomes))
          point.ratio = Self.nominalRatio(model) ?? (point.measuredRatio * 10).rounded() / 10
          try add(Source(point: point, outcomes: outcomes), from: part)
        }
      }
    }
  }

  private mutating func add(_ source: Source, from part: ScalingRun.Part) throws {
    let new = source.point
    let isThere = sources.contains { other in
      (other.point.line, other.point.model, other.point.label) == (new.line, new.model, new.label)
    }
    guard !isThere else {
      throw InputError("has the point \(new.label) of \(new.model) again", at: part.path, remedy: "give each run once")
    }
    sources.append(source)
  }

  /// As the settings of a budget or the model's own say it; `nil` where nobody asked for a ratio.
  private static func nominalRatio(_ model: JSON) -> Double? {
    if let budget = model["kv_budget"]?.string {
      guard budget.hasSuffix("x") else { return nil }
      return Double(budget.dropLast())
    }
    return model["policy"]?.string == "dense" ? 1 : model["compression_ratio"]?.double
  }

  private static func ratio(_ outcomes: [ChainsOutcome]) -> Double {
    outcomes.reduce(0) { $0 + $1.seen } / max(1e-9, outcomes.reduce(0) { $0 + $1.live })
  }

  /// The points of a group of problems.
  func points(_ group: String, _ belongs: (AnsweredProblem.Key) -> Bool) -> [ScalingPoint] {
    // The first of each W and L is what others of that W and L are compared with.
    var references: [[Int]: [AnsweredProblem.Key: Double]] = [:]
    return sources.compactMap { source in
      let outcomes = source.outcomes.filter { belongs($0.key) }
      guard !outcomes.isEmpty else { return nil }
      var point = source.point
      let count = Double(outcomes.count)
      func mean(_ value: (ChainsOutcome) -> Double) -> Double {
        rounded(outcomes.reduce(0) { $0 + value($1) } / count)
      }
      (point.group, point.problems) = (group, outcomes.count)
      let right = Proportion(outcomes.map(\.share), of: outcomes.count)
      point.right = .init(right.value, right.low, right.high)
      point.measuredRatio = rounded(Self.ratio(outcomes))
      (point.agreement, point.generated) = (mean(\.agreement), mean(\.generated))
      (point.reads, point.peakTokens) = (mean(\.reads), mean(\.peakTokens))
      (point.bytes, point.seconds) = (mean(\.bytes), mean(\.seconds))
      let place = [point.chains, point.tokens]
      if let reference = references[place] {
        let pairs = outcomes.compactMap { outcome in reference[outcome.key].map { (outcome.share, $0) } }
        if !pairs.isEmpty {
          let difference = PairedDifference(pairs.map(\.0), against: pairs.map(\.1))
          point.difference = .init(difference.value, difference.low, difference.high)
        }
      } else {
        references[place] = Dictionary(uniqueKeysWithValues: outcomes.map { ($0.key, $0.share) })
      }
      return point
    }
  }

  /// The tasks, in the order in which they were met.
  var tasks: [String] {
    sources.flatMap { $0.outcomes.map(\.key.task) }.reduce(into: []) { tasks, task in
      if tasks.last != task, !tasks.contains(task) { tasks.append(task) }
    }
  }
}
