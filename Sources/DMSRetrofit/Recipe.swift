// A recipe: everything that a training run does, as a JSON object. What its keys mean: Models/recipes and the properties here.

import DMSCheckpoint
import DMSEvaluation
import DMSKernels
import DMSPlatform
import DMSTensor
import DMSText

/// What a training run does.
public struct Recipe: Sendable {
  /// What is trained for, and what only that has.
  public enum Kind: Sendable, Equatable {
    /// Next tokens, from random numbers or from a checkpoint.
    case pretrain
    /// The model's own predictions without its borrowed channels, which are gone after so many steps, and what is left of the
    /// run mends: the paper's preparation of a retrofit.
    case fade(steps: Int, Divergence)
    /// The model's own predictions with less and less memory.
    case retrofit(Eviction, Divergence)

    /// As recipes write it.
    public enum Name: String, Sendable, CaseIterable { case pretrain, fade, retrofit }

    /// As a recipe writes it.
    public var name: Name {
      switch self {
      case .pretrain: .pretrain
      case .fade: .fade
      case .retrofit: .retrofit
      }
    }
  }

  /// A part of a run.
  public struct Stage: Sendable, Equatable {
    /// How many.
    public let steps: Int
    /// Of a step.
    public let sequences: Int
    /// The most tokens of a sequence.
    public let length: Int
    /// Of made-up problems, roughly their tokens; `nil`: up to what fits a sequence.
    public let size: ClosedRange<Int>?
    /// Of the sources, in their order; `nil`: their own.
    public let weights: [Double]?
  }

  /// A source of documents.
  public struct Data: Sendable, Equatable {
    /// Where documents come from.
    public enum Origin: Sendable, Equatable {
      /// Of a text everything is scored.
      case text(String)
      case lines(String, ScoredTokens)
      /// Conversations of up to so many questions about the same facts.
      case task(SyntheticTask, questions: Int, ScoredTokens)
    }
    /// Where its documents come from.
    public let origin: Origin
    /// The share of documents, relative to the others.
    public let weight: Double
  }

  /// How memory becomes less (DMS, section 4).
  public struct Eviction: Sendable, Equatable {
    /// What the model is taught.
    public let settings: DMSSettings
    /// The compression ratio at the end.
    public let ratio: Double
    /// The target ratio grows by 1 in so many steps, from 1.
    public let stepsPerRatio: Double
    /// Of the ratio loss.
    public let weight: Double
    /// Which numbers learn.
    public let trains: TrainableSet
    /// Whether the offset of a model that is written is set so that held-out documents lose the share of its ratio.
    public let calibrates: Bool
    /// A model is written when the target reaches one of these ratios, too.
    public let exports: [Double]
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

  /// What is trained for.
  public let kind: Kind
  /// Of everything that is drawn.
  public let seed: UInt64
  /// Its parts, in order.
  public let stages: [Stage]
  /// What is learnt from.
  public let data: [Data]
  /// The learning rate over the steps.
  public let rate: LearningRate
  /// How numbers are moved.
  public let optimizer: AdamW.Options
  /// The most tokens that go through the decoder at once.
  public let tokensAtOnce: Int
  /// Whether activations are computed anew in the backward.
  public let recomputes: Bool
  /// What the factors of matrix products are rounded to; sums and everything else are fp32.
  public let products: ProductType
  /// Steps between checkpoints, and between evaluations; 0 for none but the last.
  public let checkpointEvery: Int
  /// Steps between evaluations; 0 for none but the last.
  public let evaluateEvery: Int
  /// Held-out sequences of an evaluation.
  public let evaluationSequences: Int
  /// Of the models that are written; `nil`: as the start's, or F32.
  public let weights: Weights?
  /// As it was read, overrides included.
  package let json: JSON
  /// Of all steps: what Double and Int still count one by one, with room to spare.
  private static let mostTokens = 1e15

  /// Steps of all stages.
  public var steps: Int { stages.reduce(0) { $0 + $1.steps } }
  /// Tokens of the longest sequence of all stages.
  public var longestSequence: Int { stages.reduce(0) { max($0, $1.length) } }

  /// `nil` for what is no retrofit.
  public var eviction: Eviction? { if case .retrofit(let eviction, _) = kind { eviction } else { nil } }

  /// Of the student from its teacher; `nil` without a teacher.
  public var divergence: Divergence? {
    switch kind {
    case .pretrain: nil
    case .fade(_, let divergence), .retrofit(_, let divergence): divergence
    }
  }

  /// What the decoder is taught; a fade needs to know which rows are borrowed.
  var settings: DMSSettings? {
    switch kind {
    case .pretrain: nil
    case .fade: DMSSettings()
    case .retrofit(let eviction, _): eviction.settings
    }
  }

  var trains: TrainableSet { eviction?.trains ?? .full }

  /// Whether the teacher's numbers are other ones than the student's. An adapter is no part of the teacher.
  var copiesTeacher: Bool { divergence != nil && trains != .adapter }

  /// The stage of a step.
  public func stage(of step: Int) -> Stage {
    var left = step
    for stage in stages {
      if left < stage.steps { return stage }
      left -= stage.steps
    }
    return stages[stages.count - 1]
  }

  /// The stages of the first steps, each with the steps that it has among them.
  func stages(until step: Int) -> [(stage: Stage, steps: Int)] {
    var left = step
    return stages.map { stage in
      let done = min(left, stage.steps)
      left -= done
      return (stage, done)
    }.filter { $0.steps > 0 }
  }

  /// The compression ratio that is asked for at a step, from 0 (DMS, section 4).
  public func targetRatio(at step: Int) -> Double {
    guard let eviction else { return 1 }
    return min(eviction.ratio, 1 + Double(step) / eviction.stepsPerRatio)
  }

  /// What is left of the borrowed rows after a number of steps: of a fade from 1 to 0 (DMS, section 4).
  public func borrowedShare(after step: Int) -> Double {
    guard case .fade(let steps, _) = kind else { return 1 }
    return max(0, 1 - Double(step) / Double(steps))
  }

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
      "about", "kind", "seed", "stages", "data", "rate", "optimizer", "divergence", "tokens_at_once", "recompute",
      "checkpoint_every", "evaluate_every", "evaluation_sequences", "eviction", "fade_steps", "weights", "products",
    ])
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
    kind = try Kind(reader, steps: steps)
    rate = try LearningRate(reader.object("rate"), steps: steps)
    optimizer = try AdamW.Options(reader.object("optimizer"))
    weights = try reader.choice("weights")
    let longest = stages.reduce(0) { max($0, $1.length) }
    tokensAtOnce = max(longest, try reader.integer("tokens_at_once", in: 1...(1 << 24)) ?? 4096)
    recomputes = try reader.bool("recompute") ?? false
    products = try reader.choice("products") ?? .f32
    checkpointEvery = try reader.integer("checkpoint_every", in: 0...(1 << 30)) ?? 100
    evaluateEvery = try reader.integer("evaluate_every", in: 0...(1 << 30)) ?? 0
    evaluationSequences = try reader.integer("evaluation_sequences", in: 1...(1 << 20)) ?? 32
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

extension Recipe.Kind {
  /// - Throws: `InputError` for a key that this kind has no use for.
  fileprivate init(_ reader: ConfigurationReader, steps: Int) throws {
    let name: Name = try reader.required("kind", reader.choice("kind"))
    func refuse(_ key: String, _ problem: String) throws {
      guard reader.value(key) != nil else { return }
      throw InputError(problem, at: "\(reader.source): \(key)", remedy: "leave it out")
    }
    if name == .pretrain { try refuse("divergence", "a pretraining has no teacher") }
    if name != .fade { try refuse("fade_steps", "only a fade has the key fade_steps") }
    if name != .retrofit { try refuse("eviction", "only a retrofit has the key eviction") }
    let divergence: Divergence = try reader.choice("divergence") ?? .studentTeacher
    switch name {
    case .pretrain: self = .pretrain
    case .fade: self = .fade(steps: try reader.integer("fade_steps", in: 1...steps) ?? steps, divergence)
    case .retrofit:
      guard let eviction = try reader.object("eviction").map(Recipe.Eviction.init) else {
        throw InputError(
          "a retrofit needs the key eviction", at: reader.source, remedy: "see the recipes in Models/recipes")
      }
      self = .retrofit(eviction, divergence)
    }
  }
}

extension Recipe.Stage {
  fileprivate init(_ reader: ConfigurationReader, sources: Int) throws {
    try reader.refuseUnknownKeys(["steps", "sequences", "length", "size", "weights"])
    steps = try reader.required("steps", reader.integer("steps", in: 0...(1 << 30)))
    sequences = try reader.required("sequences", reader.integer("sequences", in: 1...(1 << 20)))
    length = try reader.required("length", reader.integer("length", in: 2...(1 << 24)))
    size = try reader.value("size").map { value in
      guard let list = value.array, list.count == 2, let low = list[0].integer, let high = list[1].integer, low >= 1,
        high >= low, high <= 1 << 24
      else { throw reader.wrong("size", "two numbers up to \(1 << 24), the smaller first,", value) }
      return low...high
    }
    weights = try reader.value("weights").map { value in
      let given = value.array?.compactMap(\.double) ?? []
      guard given.count == value.array?.count, given.count == sources, given.allSatisfy((0...1e9).contains),
        given.contains(where: { $0 > 0 })
      else { throw reader.wrong("weights", "a weight up to 1e9 for each of the \(sources) sources", value) }
      return given
    }
  }
}

extension Recipe.Data {
  fileprivate init(_ reader: ConfigurationReader) throws {
    try reader.refuseUnknownKeys(["text", "jsonl", "task", "questions", "weight", "scored"])
    weight = try reader.number("weight", in: 0...1e9) ?? 1
    let scored: ScoredTokens = try reader.choice("scored") ?? .everything
    let text = try reader.string("text").map(Origin.text)
    let lines = try reader.string("jsonl").map { Origin.lines($0, scored) }
    let questions = try reader.integer("questions", in: 1...1000)
    let task = try reader.choice("task").map { Origin.task($0, questions: questions ?? 1, scored) }
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
      "window", "alpha_scale", "alpha_offset", "alpha_per", "tau", "adapter", "ratio", "steps_per_ratio", "weight",
      "trains", "calibrates", "exports",
    ])
    var settings = DMSSettings()
    settings.window = try reader.required("window", reader.integer("window", in: 0...(1 << 24)))
    settings.alphaScale = Float(try reader.number("alpha_scale", in: 1e-6...1e6) ?? 100)
    settings.alphaOffset = Float(try reader.number("alpha_offset", in: -1e6...1e6) ?? 5)
    settings.alphaPer = try reader.choice("alpha_per") ?? .head
    settings.tau = try reader.number("tau", in: 1e-3...1e3) ?? 0.1
    settings.separateAlpha = try reader.bool("adapter") ?? false
    let ratio = try reader.required("ratio", reader.number("ratio", in: 1...1e4))
    settings.compressionRatio = ratio
    self.settings = settings
    self.ratio = ratio
    stepsPerRatio = try reader.number("steps_per_ratio", in: 1e-3...1e9) ?? 100
    weight = try reader.number("weight", in: 0...1e6) ?? 1
    trains = try reader.choice("trains") ?? .full
    guard trains == .full || settings.separateAlpha == (trains == .adapter) else {
      throw InputError(
        "\"\(trains.rawValue)\" cannot train \(settings.separateAlpha ? "an adapter" : "a borrowed neuron")",
        at: "\(reader.source): trains", remedy: "set adapter to \(!settings.separateAlpha), or train full")
    }
    calibrates = try reader.bool("calibrates") ?? false
    guard let value = reader.value("exports") else {
      exports = []
      return
    }
    guard let list = value.array else { throw reader.wrong("exports", "a list of ratios", value) }
    exports = try list.map { member in
      guard let export = member.double, (1...ratio).contains(export) else {
        throw reader.wrong("exports", "ratios from 1 to \(ratio)", member)
      }
      return export
    }
  }
}

extension AdamW.Options {
  fileprivate init(_ reader: ConfigurationReader?) throws {
    self.init()
    guard let reader else { return }
    try reader.refuseUnknownKeys(["beta1", "beta2", "epsilon", "weight_decay", "clip"])
    beta1 = try reader.number("beta1", in: 0...0.999999) ?? beta1
    beta2 = try reader.number("beta2", in: 0...0.999999) ?? beta2
    epsilon = try reader.number("epsilon", in: 1e-30...1) ?? epsilon
    weightDecay = try reader.number("weight_decay", in: 0...10) ?? weightDecay
    clip = try reader.number("clip", in: 1e-9...1e9) ?? clip
  }
}
