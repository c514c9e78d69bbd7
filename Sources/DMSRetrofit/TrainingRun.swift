// A run from a recipe: data, steps, checkpoints, evaluations, models. Interrupted and continued it is the run that was never
// interrupted. Whom it tells how far it is, it does not know.

import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import DMSTensor
import DMSText

public final class TrainingRun {
  /// How far a run is.
  public struct Progress: Sendable {
    public let step: Int
    public let steps: Int
    public let loss: StepLoss
    public let targetRatio: Double
    public let rate: Double
    public let tokensPerSecond: Double
    public let secondsLeft: Double
  }

  public enum Event: Sendable {
    case step(Progress)
    case evaluation(step: Int, HeldOutEvaluation)
    /// A model has been written.
    case model(path: String)
  }

  public enum End: Sendable, Equatable { case finished, cancelled }

  public let recipe: Recipe
  public let folder: RunFolder
  public let layout: ParameterLayout
  private let source: String
  private let machine: Machine
  private var pool: ThreadPool { machine.pool }
  private let parameters: Parameters
  private let parts: TrainableParts
  private let optimizer: AdamW
  private let teacher: Teacher?
  private let data: TrainingData
  private let type: ElementType
  private var state: RunState

  /// Prepares a run, or finds where it stood.
  ///
  /// - Parameters:
  ///   - model: the folder of the model that is trained; a pretraining may do without weights.
  ///   - resumes: goes on from the last checkpoint in `folder`.
  /// - Throws: `InputError` for data or a model that cannot be used, before anything is written.
  public init(_ recipe: Recipe, model: String, folder: RunFolder, resumes: Bool, on machine: Machine) throws {
    self.recipe = recipe
    self.folder = folder
    source = model
    self.machine = machine
    let start = try Self.start(recipe, model: model)
    layout = start.parameters.layout
    parameters = start.parameters
    type = recipe.weights?.type ?? start.type
    let trains = recipe.eviction?.trains ?? .full
    parts = TrainableParts(layout, trains)
    optimizer = AdamW(parts, recipe.optimizer)
    switch recipe.kind {
    case .pretrain: teacher = nil
    // An adapter is no part of the teacher. The borrowed rows are: a head's norm reads them before they are zeroed.
    case .retrofit: teacher = Teacher(trains == .adapter ? parameters : parameters.copy(), zeroesBorrowed: true)
    case .fade: teacher = Teacher(parameters.copy(), zeroesBorrowed: false)
    }
    data = try TrainingData(recipe, model: model, vocabulary: layout.shape.vocabulary)
    state = RunState(cursor: data.cursor)
    guard resumes else { return }
    if let saved = try RunState.loadLast(in: folder.checkpoints, parameters, optimizer, parts) {
      guard saved.cursor.sources.count == state.cursor.sources.count else {
        throw InputError("the saved run had other data", at: folder.path, remedy: "go on with its own recipe")
      }
      state = saved
      data.cursor = saved.cursor
    }
    try folder.truncateLog(after: state.step)
  }

  private static func start(_ recipe: Recipe, model: String) throws -> (parameters: Parameters, type: ElementType) {
    let shape = try ModelConfiguration(folder: model)
    guard recipe.kind == .retrofit || shape.dms == nil else {
      throw InputError(
        "has learnt to forget already", at: model,
        remedy: "\(recipe.kind.rawValue) a dense one, or retrofit this further")
    }
    let taught = shape.taught(recipe.eviction?.settings ?? (recipe.kind == .fade ? DMSSettings() : nil))
    let layout = ParameterLayout(taught)
    if recipe.kind == .pretrain, !Checkpoint.hasWeights(in: model) {
      return (Parameters(layout, random: recipe.seed), shape.storedType ?? .f32)
    }
    let checkpoint = try Checkpoint(folder: model)
    return (try Parameters(layout, from: checkpoint), shape.storedType ?? .f32)
  }

  /// The steps that are left.
  ///
  /// - Parameters:
  ///   - isCancelled: asked after each step; the run is saved then.
  /// - Throws: `InputError` if the loss is no number any more: the last checkpoint stays.
  public func run(isCancelled: () -> Bool, onEvent: (Event) -> Void) throws -> End {
    let step = TrainingStep(
      parameters, trains: parts, teacher: teacher, divergence: recipe.divergence, capacity: recipe.tokensAtOnce,
      recomputes: recipe.recomputes, pool: pool)
    let clock = ContinuousClock()
    var saved = state.step
    // It may have been interrupted.
    if isEvaluated(state.step), try !folder.hasEvaluation(after: state.step) {
      guard try evaluate(isCancelled: isCancelled, onEvent) else { return .cancelled }
    }
    while state.step < recipe.steps {
      let begin = clock.now
      let (loss, norm) = try advance(step)
      state.seconds += (clock.now - begin) / .seconds(1)
      try folder.append(line(loss, norm))
      onEvent(.step(progress(loss, (clock.now - begin) / .seconds(1))))
      for ratio in recipe.eviction?.exports ?? [] where crosses(ratio) {
        try write(to: folder.model(ratio: ratio), ratio: ratio, onEvent)
      }
      let isDue = recipe.checkpointEvery > 0 && state.step % recipe.checkpointEvery == 0
      if isDue || isCancelled() || state.step == recipe.steps {
        try state.save(parameters, optimizer, parts, in: folder.checkpoints)
        saved = state.step
      }
      if saved == state.step, state.step < recipe.steps, isCancelled() { return .cancelled }
      if isEvaluated(state.step), try !evaluate(isCancelled: isCancelled, onEvent) {
        if saved < state.step { try state.save(parameters, optimizer, parts, in: folder.checkpoints) }
        return .cancelled
      }
    }
    return try finish(isCancelled: isCancelled, onEvent) ? .finished : .cancelled
  }

  /// Whether an evaluation follows a step. One follows the last step anyway.
  private func isEvaluated(_ step: Int) -> Bool {
    recipe.evaluateEvery > 0 && step > 0 && step < recipe.steps && step % recipe.evaluateEvery == 0
  }

  /// One step of the optimiser.
  private func advance(_ step: TrainingStep) throws -> (StepLoss, norm: Double) {
    let (number, stage) = (state.step, recipe.stage(of: state.step))
    let batch = try data.next(stage)
    var eviction: TrainingStep.Eviction?
    if let settings = recipe.eviction {
      let noise = LogisticNoise(
        seed: recipe.seed, step: number, layers: layout.shape.layers, kvHeads: layout.shape.kvHeads)
      eviction = TrainingStep.Eviction(
        targetShare: 1 - 1 / recipe.targetRatio(at: number), weight: settings.weight
      ) { noise(layer: $0, sequence: $1, kvHead: $2, token: $3) }
    }
    let loss = step.run(batch, eviction)
    let norm = AdamW.norm(step.gradients, pool)
    guard loss.loss.isFinite, norm.isFinite else {
      throw InputError(
        "the loss of step \(number + 1) is \(loss.loss), the gradient's norm \(norm)", at: folder.path,
        remedy: "go on from the last checkpoint with a lower rate: --resume --set rate.peak=…")
    }
    optimizer.update(parameters, step.gradients, norm: norm, rate: recipe.rate.value(at: number), pool)
    state.step += 1
    state.tokens += batch.rows
    state.cursor = data.cursor
    if recipe.kind == .fade { fade() }
    return (loss, norm)
  }

  /// What is left of the borrowed rows after the step that is done.
  private func fade() {
    guard let teacher else { return }
    let factor = Float(recipe.borrowedShare(after: state.step))
    for part in TrainableParts(layout, .borrowed).parts {
      for place in part.range { parameters.values.base[place] = teacher.parameters.values.base[place] * factor }
    }
  }

  /// Whether the last step reached a ratio.
  private func crosses(_ ratio: Double) -> Bool {
    recipe.targetRatio(at: state.step - 1) >= ratio
      && (state.step == 1 || recipe.targetRatio(at: state.step - 2) < ratio)
  }

  // MARK: Results

  /// - Returns: `false` if it was cancelled.
  private func finish(isCancelled: () -> Bool, _ onEvent: (Event) -> Void) throws -> Bool {
    try write(to: folder.model, ratio: recipe.eviction?.ratio, onEvent)
    let evaluation = try HeldOutEvaluation.measure(
      data.heldOut, folder: folder.model, on: machine, isCancelled: isCancelled)
    guard let evaluation else { return false }
    onEvent(.evaluation(step: state.step, evaluation))
    try RunReport(folder, recipe, model: source, evaluation).write()
    return true
  }

  /// - Returns: `false` if it was cancelled.
  private func evaluate(isCancelled: () -> Bool, _ onEvent: (Event) -> Void) throws -> Bool {
    // A folder that is never finished goes away by itself, or when a killed run goes on.
    let temporary = try CheckpointFolder(folder.path + "/evaluated")
    try TrainedModel.write(
      parameters, into: temporary, source: source, type: .f32, dms: recipe.eviction?.settings)
    let evaluation = try HeldOutEvaluation.measure(
      data.heldOut, folder: temporary.partial, on: machine, isCancelled: isCancelled)
    guard let evaluation else { return false }
    try folder.append(
      .members([
        "step": .integer(state.step),
        "evaluation": .members([
          "loss": .number(evaluation.loss), "hitShare": .number(evaluation.hitShare),
          "exactShare": .number(evaluation.exactShare), "ratio": .number(evaluation.ratio),
          "documents": .integer(evaluation.documents),
        ]),
      ]))
    onEvent(.evaluation(step: state.step, evaluation))
    return true
  }

  private func write(to path: String, ratio: Double?, _ onEvent: (Event) -> Void) throws {
    // A run that goes on may come by here again, and by other steps than before.
    let model = try CheckpointFolder(path, replaces: true)
    var settings = recipe.eviction?.settings
    settings?.compressionRatio = ratio
    try TrainedModel.write(parameters, into: model, source: source, type: type, dms: settings)
    try model.finish()
    onEvent(.model(path: path))
  }

  private func line(_ loss: StepLoss, _ norm: Double) -> JSON {
    var members: [(String, JSON)] = [
      ("step", .integer(state.step)), ("loss", .number(loss.loss)), ("tokenLoss", .number(loss.tokenLoss)),
      ("hitShare", .number(loss.hitShare)), ("rate", .number(recipe.rate.value(at: state.step - 1))),
      ("norm", .number(norm)), ("tokens", .integer(state.tokens)), ("seconds", .number(state.seconds)),
    ]
    if recipe.eviction != nil {
      members += [
        ("ratioLoss", .number(loss.ratioLoss)), ("targetShare", .number(loss.targetShare)),
        ("evictedShare", .number(loss.evictedShare)),
      ]
    }
    var object = JSONObject()
    for (key, value) in members { object[key] = value }
    return .object(object)
  }

  private func progress(_ loss: StepLoss, _ seconds: Double) -> Progress {
    let perStep = state.seconds / Double(max(1, state.step))
    return Progress(
      step: state.step, steps: recipe.steps, loss: loss, targetRatio: recipe.targetRatio(at: state.step - 1),
      rate: recipe.rate.value(at: state.step - 1), tokensPerSecond: Double(loss.tokens) / max(1e-9, seconds),
      secondsLeft: perStep * Double(recipe.steps - state.step))
  }
}
