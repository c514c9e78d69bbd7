// A run from a recipe: data, steps, checkpoints, evaluations, models. Interrupted and continued it is the run that was never
// interrupted. Whom it tells how far it is, it does not know.

import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import DMSTensor
import DMSText

/// A run of a recipe on a model, in a folder of its own.
public final class TrainingRun {
  /// How far a run is.
  public struct Progress: Sendable {
    /// Steps that are done.
    public let step: Int
    /// Steps in all.
    public let steps: Int
    /// Of the last step.
    public let loss: StepLoss
    /// `nil` for what is no retrofit.
    public let targetRatio: Double?
    /// The learning rate of the last step.
    public let rate: Double
    /// Of the last step.
    public let tokensPerSecond: Double
    /// At the mean speed so far.
    public let secondsLeft: Double
  }

  /// What has happened.
  public enum Event: Sendable {
    case step(Progress)
    case evaluation(step: Int, HeldOutEvaluation)
    /// A model has been written.
    case model(path: String)
    /// The run can be made, and probably not as it was meant.
    case warning(String)
  }

  /// How it ended.
  public enum End: Sendable, Equatable { case finished, cancelled }

  /// What it does.
  public let recipe: Recipe
  /// Where it keeps everything.
  public let folder: RunFolder
  /// Of what it trains.
  public let layout: ParameterLayout
  private let source: String
  private let machine: Machine
  private let parameters: Parameters
  private let parts: TrainableParts
  private let optimizer: AdamW
  private let teacher: Teacher?
  private let data: TrainingData
  private let type: ElementType
  private var log: RunLog
  private var hasBegun = false
  private var state: RunState

  /// Prepares a run, or finds where it stood.
  ///
  /// - Parameters:
  ///   - model: the folder of the model that is trained; a pretraining may do without weights.
  /// - Throws: `InputError` for data, a model or a saved run that cannot be used, before anything is written.
  public init(_ recipe: Recipe, model: String, folder: RunFolder, on machine: Machine) throws {
    self.recipe = recipe
    self.folder = folder
    source = model
    self.machine = machine
    let start = try Self.start(recipe, model: model)
    let parameters = start.parameters
    layout = parameters.layout
    self.parameters = parameters
    type = recipe.weights?.type ?? start.type
    parts = TrainableParts(layout, recipe.trains)
    optimizer = AdamW(parts, recipe.optimizer)
    teacher = recipe.divergence.map {
      // A retrofit's teacher reads the borrowed rows: a head's norm does before they are zeroed.
      Teacher(
        recipe.copiesTeacher ? parameters.copy() : parameters, zeroesBorrowed: recipe.eviction != nil, divergence: $0)
    }
    data = try TrainingData(recipe, model: model, vocabulary: layout.shape.vocabulary)
    state = RunState(cursor: data.cursor)
    guard folder.resumes else {
      log = RunLog(new: folder.log)
      return
    }
    try Self.refuseOtherPast(recipe, in: folder)
    if let saved = try RunState.loadLast(in: folder.checkpoints, recipe, data, parameters, optimizer, parts) {
      state = saved
      data.cursor = saved.cursor
    }
    log = try RunLog(folder.log, until: state.step)
  }

  /// What has been done cannot be changed: the recipe says what a run did.
  private static func refuseOtherPast(_ recipe: Recipe, in folder: RunFolder) throws {
    let step = RunState.lastStep(in: folder.checkpoints) ?? 0
    func past(_ recipe: Recipe) -> [[Int]] {
      recipe.stages(until: step).map { [$0.steps, $0.stage.sequences, $0.stage.length] }
    }
    guard try past(recipe) == past(Recipe(file: folder.recipe)) else {
      throw InputError(
        "\(step) steps are done, in stages of another form", at: "\(folder.recipe): stages",
        remedy: "change what is to come, by a stage of its own")
    }
  }

  private static func start(_ recipe: Recipe, model: String) throws -> (parameters: Parameters, type: ElementType) {
    let shape = try ModelConfiguration(trained: model)
    guard recipe.eviction != nil || shape.dms == nil else {
      throw InputError(
        "has learnt to forget already", at: model,
        remedy: "\(recipe.kind.name.rawValue) a dense one, or retrofit this further")
    }
    let layout = ParameterLayout(shape.taught(recipe.settings))
    if recipe.divergence == nil, !Checkpoint.hasWeights(in: model) {
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
    if hasBegun {
      log = try RunLog(folder.log, until: state.step)
    } else {
      try folder.begin(recipe, keeping: log)
      hasBegun = true
    }
    let step = TrainingStep(
      parameters, trains: parts, teacher: teacher, capacity: recipe.tokensAtOnce, recomputes: recipe.recomputes,
      products: recipe.products, on: machine)
    if let warning = data.warning(recipe) { onEvent(.warning(warning)) }
    let clock = ContinuousClock()
    var saved = state.step
    // It may have been interrupted.
    if isEvaluated(state.step), !log.isEvaluated {
      guard try evaluate(isCancelled: isCancelled, onEvent) else { return .cancelled }
    }
    while state.step < recipe.steps {
      let begin = clock.now
      let (loss, norm) = try advance(step)
      state.seconds += (clock.now - begin) / .seconds(1)
      try log.append(record(loss, norm))
      onEvent(.step(progress(loss, (clock.now - begin) / .seconds(1))))
      for ratio in recipe.eviction?.exports ?? [] where crosses(ratio) {
        try write(to: folder.model(ratio: ratio), ratio: ratio, onEvent)
      }
      let isDue = recipe.checkpointEvery > 0 && state.step % recipe.checkpointEvery == 0
      if isDue || isCancelled() || state.step == recipe.steps {
        try save()
        saved = state.step
      }
      if saved == state.step, state.step < recipe.steps, isCancelled() { return .cancelled }
      if isEvaluated(state.step), try !evaluate(isCancelled: isCancelled, onEvent) {
        if saved < state.step { try save() }
        return .cancelled
      }
    }
    return try finish(isCancelled: isCancelled, onEvent) ? .finished : .cancelled
  }

  private func save() throws {
    log.sync()
    try state.save(parameters, optimizer, parts, in: folder.checkpoints)
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
    let norm = AdamW.norm(step.gradients, on: machine)
    guard loss.loss.isFinite, norm.isFinite else {
      throw lost("the loss of step \(number + 1) is \(loss.loss), the gradient's norm \(norm)")
    }
    optimizer.update(parameters, step.gradients, norm: norm, rate: recipe.rate.value(at: number), on: machine)
    state.step += 1
    state.tokens += batch.rows
    state.cursor = data.cursor
    if case .fade = recipe.kind { fade() }
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
    guard let evaluation = try measure(folder.model, isCancelled: isCancelled) else { return false }
    onEvent(.evaluation(step: state.step, evaluation))
    let steps = try RunLog(folder.log, until: state.step).steps
    try RunReport(recipe: recipe, model: source, steps: steps, evaluation: evaluation).write(to: folder)
    return true
  }

  /// - Returns: `false` if it was cancelled.
  private func evaluate(isCancelled: () -> Bool, _ onEvent: (Event) -> Void) throws -> Bool {
    // A folder that is never finished goes away by itself, or when a killed run goes on.
    let temporary = try CheckpointFolder(folder.path + "/evaluated")
    try TrainedModel.write(
      parameters, into: temporary, source: source, type: .f32, dms: recipe.eviction?.settings)
    guard let evaluation = try measure(temporary.partial, isCancelled: isCancelled) else { return false }
    try log.append(evaluation, after: state.step)
    onEvent(.evaluation(step: state.step, evaluation))
    return true
  }

  /// - Returns: `nil` if it was cancelled.
  private func measure(_ model: String, isCancelled: () -> Bool) throws -> HeldOutEvaluation? {
    let found = try HeldOutEvaluation.measure(
      data.heldOut, folder: model, on: machine, isCancelled: isCancelled)
    guard found?.loss.isFinite ?? true else {
      throw lost("the loss on held-out documents is no number after step \(state.step)")
    }
    return found
  }

  /// What has become of a run whose numbers are none any more.
  private func lost(_ problem: String) -> InputError {
    InputError(
      problem, at: folder.path, remedy: "go on from the last checkpoint with a lower rate: --resume --set rate.peak=…")
  }

  private func write(to path: String, ratio: Double?, _ onEvent: (Event) -> Void) throws {
    // A run that goes on may come by here again, and by other steps than before.
    let model = try CheckpointFolder(path, replaces: true)
    var settings = try ratio.flatMap(calibratedSettings) ?? recipe.eviction?.settings
    settings?.compressionRatio = ratio
    try TrainedModel.write(parameters, into: model, source: source, type: type, dms: settings)
    try model.finish()
    onEvent(.model(path: path))
    guard recipe.trains == .adapter else { return }
    let adapter = path + "-dms-adapter"
    try DecisionAdapter.write(
      of: ModelSource(path: path), trainedOn: ModelSource(path: source), to: adapter, replaces: true)
    onEvent(.model(path: adapter))
  }

  /// How the model forgets that is written at a ratio, if the recipe calibrates.
  private func calibratedSettings(ratio: Double) throws -> DMSSettings? {
    guard let eviction = recipe.eviction, eviction.calibrates else { return nil }
    var settings = eviction.settings
    // What is forgotten changes what the layers above decide: the second time hits what the first comes near.
    for _ in 0..<2 {
      let temporary = try CheckpointFolder(folder.path + "/calibrated")
      try TrainedModel.write(parameters, into: temporary, source: source, type: .f32, dms: settings)
      settings.alphaOffset += try OffsetCalibration.shift(
        toEvict: 1 - 1 / ratio, of: data.heldOut, folder: temporary.partial, on: machine)
    }
    return settings
  }

  private func record(_ loss: StepLoss, _ norm: Double) -> StepRecord {
    StepRecord(
      step: state.step, loss: loss.loss, tokenLoss: loss.tokenLoss, hitShare: loss.hitShare,
      rate: recipe.rate.value(at: state.step - 1), norm: norm, tokens: state.tokens, seconds: state.seconds,
      eviction: recipe.eviction.map { _ in
        StepRecord.Eviction(
          ratioLoss: loss.ratioLoss, targetShare: loss.targetShare, evictedShare: loss.evictedShare)
      })
  }

  private func progress(_ loss: StepLoss, _ seconds: Double) -> Progress {
    let perStep = state.seconds / Double(max(1, state.step))
    return Progress(
      step: state.step, steps: recipe.steps, loss: loss,
      targetRatio: recipe.eviction.map { _ in recipe.targetRatio(at: state.step - 1) },
      rate: recipe.rate.value(at: state.step - 1), tokensPerSecond: Double(loss.tokens) / max(1e-9, seconds),
      secondsLeft: perStep * Double(recipe.steps - state.step))
  }
}
