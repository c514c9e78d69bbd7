// A recipe: everything that a training run does, as a JSON object. What its keys mean: Models/recipes and the properties here.

import DMSCheckpoint
import DMSEvaluation
import DMSPlatform
import DMSTensor
import DMSText

public struct Recipe: Sendable {
  /// What is trained for.
  public enum Kind: String, Sendable, CaseIterable {
    /// Next tokens, from random numbers or from a checkpoint.
    case pretrain
    /// The model's own predictions without its borrowed channels, which fade: the paper's preparation of a retrofit.
    case fade
    /// The model's own predictions with less and less memory.
    case retrofit
  }

  /// A part of a run.
  public struct Stage: Sendable, Equatable {
    public var steps: Int
    /// Of a step.
    public var sequences: Int
    /// The most tokens of a sequence.
    public var length: Int
    /// Of made-up problems, roughly their tokens; `nil`: up to what fits a sequence.
    public var size: ClosedRange<Int>?
    /// Of the sources, in their order; `nil`: their own.
    public var weights: [Double]?
  }

  public struct Data: Sendable, Equatable {
    public enum Origin: Sendable, Equatable {
      case text(String)
      case lines(String)
      /// Conversations of up to so many questions about the same facts.
      case task(SyntheticTask, questions: Int)
    }
    public var origin: Origin
    /// The share of documents, relative to the others.
    public var weight: Double
    public var scored: ScoredTokens
  }

  /// How memory becomes less (DMS, section 4).
  public struct Eviction: Sendable, Equatable {
    public var settings: DMSSettings
    public var ratio: Double
    /// The target ratio grows by 1 in so many steps, from 1.
    public var stepsPerRatio: Double
    public var weight: Double
    public var trains: TrainableSet
    /// A model is written when the target reaches one of these ratios, too.
    public var exports: [Double]
  }

  /// Types that weights are written in.
  public enum Weights: String, Sendable, CaseIterable {
    case f32, bf16, f16

    var type: ElementType {
      switch self {
      case .f32: .f32
      case .bf16: .bf16
      case .f16: .f16
      }
    }
  }

  public var kind: Kind
  public var seed: UInt64
  public var stages: [Stage]
  public var data: [Data]
  public var rate: LearningRate
  public var optimizer: AdamW.Options
  public var divergence: Divergence
  /// The most tokens that go through the decoder at once.
  public var tokensAtOnce: Int
  public var recomputes: Bool
  /// Steps between checkpoints, and between evaluations; 0 for none but the last.
  public var checkpointEvery: Int
  public var evaluateEvery: Int
  /// Held-out sequences of an evaluation.
  public var evaluationSequences: Int
  public var eviction: Eviction?
  /// Of the models that are written; `nil`: as the start's, or F32.
  public var weights: Weights?
  /// Of a fade: the borrowed rows are gone after so many steps, and what is left of the run mends.
  public var fadeSteps: Int
  /// Of all steps: what Double and Int still count one by one, with room to spare.
  private static let mostTokens = 1e15
  /// As it was read, overrides included.
  package let json: JSON

  public var steps: Int { stages.reduce(0) { $0 + $1.steps } }

  /// The stage of a step.
  public func stage(of step: Int) -> Stage {
    var left = step
    for stage in stages {
      if left < stage.steps { return stage }
      left -= stage.steps
    }
    return stages[stages.count - 1]
  }

  /// The compression ratio that is asked for at a step, from 0 (DMS, section 4).
  public func targetRatio(at step: Int) -> Double {
    guard let eviction else { return 1 }
    return min(eviction.ratio, 1 + Double(step) / eviction.stepsPerRatio)
  }

  /// What is left of the borrowed rows after a number of steps, from 1 to 0 (DMS, section 4).
  public func borrowedShare(after step: Int) -> Double { max(0, 1 - Double(step) / Double(fadeSteps)) }

  /// A recipe's file, with other values for some of its keys.
  public init(file path: String, overrides: [String] = []) throws {
    try self.init(JSON(file: path), source: path, overrides: overrides)
  }

  /// - Parameters:
  ///   - overrides: `key.key=value`, a list's members by their number.
  /// - Throws: `InputError` for an unknown key or a value that cannot be, naming it.
  package init(_ json: JSON, source: String, overrides: [String] = []) throws {
    let json = try overrides.reduce(json) { try Self.applying($1, to: $0) }
    self.json = json
    let reader = try ConfigurationReader(json, source: source, remedy: "see the recipes in Models/recipes")
    try reader.refuseUnknownKeys([
      "about", "kind", "seed", "stages", "data", "rate", "optimizer", "divergence", "tokensAtOnce", "recompute",
      "checkpointEvery", "evaluateEvery", "evaluationSequences", "eviction", "fadeSteps",
      "weights",
    ])
    kind = try reader.required("kind", reader.choice("kind"))
    seed = UInt64(try reader.integer("seed", in: 0...Int.max) ?? 0)
    let data = try (reader.required("data", reader.objects("data"))).map(Data.init)
    self.data = data
    let stages = try (reader.required("stages", reader.objects("stages"))).map {
      try Stage($0, sources: data.count)
    }
    self.stages = stages
    let steps = stages.reduce(0) { $0 + $1.steps }
    guard steps > 0 else { throw InputError("a stage with steps expected", at: "\(source): stages") }
    let tokens = stages.reduce(0.0) { $0 + Double($1.steps) * Double($1.sequences) * Double($1.length) }
    guard tokens <= Self.mostTokens else {
      throw InputError("more than \(Self.mostTokens) tokens", at: "\(source): stages", remedy: "make fewer steps")
    }
    guard data.contains(where: { $0.weight > 0 }) else {
      throw InputError("a source with a weight expected", at: "\(source): data")
    }
    rate = try LearningRate(reader.object("rate"), steps: steps)
    optimizer = try AdamW.Options(reader.object("optimizer"))
    guard kind != .pretrain || reader.value("divergence") == nil else {
      throw InputError("a pretraining has no teacher", at: "\(source): divergence", remedy: "leave it out")
    }
    divergence = try reader.choice("divergence") ?? .studentTeacher
    weights = try reader.choice("weights")
    let longest = stages.reduce(0) { max($0, $1.length) }
    tokensAtOnce = max(longest, try reader.integer("tokensAtOnce", in: 1...(1 << 24)) ?? 4096)
    recomputes = try reader.bool("recompute") ?? false
    checkpointEvery = try reader.integer("checkpointEvery", in: 0...(1 << 30)) ?? 100
    evaluateEvery = try reader.integer("evaluateEvery", in: 0...(1 << 30)) ?? 0
    evaluationSequences = try reader.integer("evaluationSequences", in: 1...(1 << 20)) ?? 32
    eviction = try reader.object("eviction").map(Eviction.init)
    guard (kind == .retrofit) == (eviction != nil) else {
      throw InputError(
        eviction == nil ? "a retrofit needs the key eviction" : "only a retrofit has the key eviction", at: source,
        remedy: "see the recipes in Models/recipes")
    }
    let fadeSteps = try reader.integer("fadeSteps", in: 1...steps)
    guard kind == .fade || fadeSteps == nil else {
      throw InputError("only a fade has the key fadeSteps", at: source, remedy: "leave it out")
    }
    self.fadeSteps = fadeSteps ?? steps
  }

  private static func applying(_ override: String, to json: JSON) throws -> JSON {
    guard let equals = override.firstIndex(of: "="), equals > override.startIndex else {
      throw InputError("\(quoted(override)) is not key=value", remedy: "write --set rate.peak=1e-4")
    }
    let text = String(override[override.index(after: equals)...])
    let value = (try? JSON(parsing: text, source: "")) ?? .string(text)
    return try setting(override[..<equals].split(separator: ".").map(String.init)[...], to: value, in: json, override)
  }

  private static func setting(
    _ keys: ArraySlice<String>, to value: JSON, in json: JSON, _ override: String
  ) throws -> JSON {
    guard let key = keys.first else { return value }
    if case .array(var list) = json, let index = Int(key), list.indices.contains(index) {
      list[index] = try setting(keys.dropFirst(), to: value, in: list[index], override)
      return .array(list)
    }
    guard var object = json.object else {
      throw InputError("the recipe has no place \(quoted(override))", remedy: "name a key of the recipe")
    }
    object[key] = try setting(keys.dropFirst(), to: value, in: object[key] ?? .object(JSONObject()), override)
    return .object(object)
  }
}

extension Recipe.Stage {
  fileprivate init(_ reader: ConfigurationReader, sources: Int) throws {
    try reader.refuseUnknownKeys(["steps", "sequences", "length", "size", "weights"])
    steps = try reader.required("steps", reader.integer("steps", in: 0...(1 << 30)))
    sequences = try reader.required("sequences", reader.integer("sequences", in: 1...(1 << 20)))
    length = try reader.required("length", reader.integer("length", in: 2...(1 << 24)))
    if let value = reader.value("size") {
      guard let bounds = value.array?.compactMap(\.integer), bounds.count == 2, bounds[0] >= 1, bounds[1] >= bounds[0],
        bounds[1] <= 1 << 24
      else { throw reader.wrong("size", "two numbers up to \(1 << 24), the smaller first,", value) }
      size = bounds[0]...bounds[1]
    }
    if let value = reader.value("weights") {
      let given = value.array?.compactMap(\.double) ?? []
      guard given.count == value.array?.count, given.count == sources, !given.contains(where: { !($0 >= 0) }),
        given.contains(where: { $0 > 0 })
      else { throw reader.wrong("weights", "a weight for each of the \(sources) sources", value) }
      weights = given
    }
  }
}

extension Recipe.Data {
  fileprivate init(_ reader: ConfigurationReader) throws {
    try reader.refuseUnknownKeys(["text", "jsonl", "task", "questions", "weight", "scored"])
    weight = try reader.number("weight", in: 0...1e9) ?? 1
    scored = try reader.choice("scored") ?? .everything
    let text = try reader.string("text").map(Origin.text)
    let lines = try reader.string("jsonl").map(Origin.lines)
    let questions = try reader.integer("questions", in: 1...1000)
    let task = try reader.choice("task", SyntheticTask.self).map { Origin.task($0, questions: questions ?? 1) }
    let given = [text, lines, task].compactMap { $0 }
    guard given.count == 1 else {
      throw InputError(
        "one of text, jsonl and task expected", at: reader.source, remedy: "name where documents come from")
    }
    guard text == nil || reader.value("scored") == nil else {
      throw InputError("of a text everything is scored", at: reader.source, remedy: "leave scored out")
    }
    guard task != nil || questions == nil else {
      throw InputError("questions are for a task", at: reader.source, remedy: "leave them out")
    }
    origin = given[0]
  }
}

extension Recipe.Eviction {
  fileprivate init(_ reader: ConfigurationReader) throws {
    try reader.refuseUnknownKeys([
      "window", "alphaScale", "alphaOffset", "alphaPer", "tau", "adapter", "ratio", "stepsPerRatio", "weight", "trains",
      "exports",
    ])
    settings = DMSSettings()
    settings.window = try reader.required("window", reader.integer("window", in: 0...(1 << 24)))
    settings.alphaScale = Float(try reader.number("alphaScale", in: 1e-6...1e6) ?? 100)
    settings.alphaOffset = Float(try reader.number("alphaOffset", in: -1e6...1e6) ?? 5)
    settings.alphaPer = try reader.choice("alphaPer") ?? .head
    settings.tau = try reader.number("tau", in: 1e-3...1e3) ?? 0.1
    settings.separateAlpha = try reader.bool("adapter") ?? false
    ratio = try reader.required("ratio", reader.number("ratio", in: 1...1e4))
    settings.compressionRatio = ratio
    stepsPerRatio = try reader.number("stepsPerRatio", in: 1e-3...1e9) ?? 100
    weight = try reader.number("weight", in: 0...1e6) ?? 1
    trains = try reader.choice("trains") ?? .full
    guard trains == .full || settings.separateAlpha == (trains == .adapter) else {
      throw InputError(
        "\"\(trains.rawValue)\" cannot train \(settings.separateAlpha ? "an adapter" : "a borrowed neuron")",
        at: "\(reader.source): trains", remedy: "set adapter to \(!settings.separateAlpha), or train full")
    }
    exports = []
    if let value = reader.value("exports") {
      guard let list = value.array else { throw reader.wrong("exports", "a list of ratios", value) }
      for member in list {
        guard let export = member.double, (1...ratio).contains(export) else {
          throw reader.wrong("exports", "ratios from 1 to \(ratio)", member)
        }
        exports.append(export)
      }
    }
  }
}

extension AdamW.Options {
  fileprivate init(_ reader: ConfigurationReader?) throws {
    self.init()
    guard let reader else { return }
    try reader.refuseUnknownKeys(["beta1", "beta2", "epsilon", "weightDecay", "clip"])
    beta1 = try reader.number("beta1", in: 0...0.999999) ?? beta1
    beta2 = try reader.number("beta2", in: 0...0.999999) ?? beta2
    epsilon = try reader.number("epsilon", in: 1e-30...1) ?? epsilon
    weightDecay = try reader.number("weightDecay", in: 0...10) ?? weightDecay
    clip = try reader.number("clip", in: 1e-9...1e9) ?? clip
  }
}
