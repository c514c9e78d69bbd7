// A training step beside the time that its matrix products alone need, in turn, in one run.

import ArgumentParser
import DMS
import DMSPlatform

struct TrainingBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "training", abstract: "A training step beside its matrix products alone.",
    discussion: "A step of pretraining, or with --window one of a retrofit with its teacher's forward.")

  @Option(help: "A folder with the config.json of the shape.") var model = "../Models/tiny"
  @Option(help: "Tokens of a document.") var length = 512
  @Option(help: "Tokens of a step.") var tokens = 2048
  @Option(help: "Retrofit with this window.") var window: Int?
  @Option(help: "What a retrofit trains: full, adapter or borrowed.") var trains = TrainableSet.full
  @Option(help: "What the factors of products are rounded to: f32 or bf16.") var products = ProductType.f32
  @Option(help: "Worker threads; 0: one per usable processor.") var threads = 0
  @Option(help: "Repetitions of each measurement.") var repetitions = 15

  mutating func validate() throws {
    if window == nil, trains != .full { throw ValidationError("--trains is for a retrofit: give --window, too") }
  }

  func run() throws {
    let threads = threads > 0 ? threads : Topology.allowedProcessors().count
    printProvenance(threads: threads)
    let shape = try shape()
    let machine = try Machine(threads: threads)
    let layout = ParameterLayout(shape)
    let parameters = Parameters(layout, random: 1)
    let batch = batch(shape)
    let parts = TrainableParts(layout, trains)
    let distils = window != nil
    let step = TrainingStep(
      parameters, trains: parts,
      teacher: distils ? Teacher(trains == .adapter ? parameters : parameters.copy(), zeroesBorrowed: true) : nil,
      capacity: batch.rows, recomputes: false, products: products, on: machine)
    let optimizer = AdamW(parts, AdamW.Options())
    let bare = StepProducts(
      shape, batch, distils: distils, recomputes: false, trains: trains, products: products, on: machine)
    let eviction = distils ? TrainingStep.Eviction(targetShare: 0.75) { _, _, _, _ in 0 } : nil
    var (steps, alone, shares): ([Double], [Double], [Double]) = ([], [], [])
    for repetition in 0...repetitions {
      let time = seconds {
        _ = step.run(batch, eviction)
        optimizer.update(
          parameters, step.gradients, norm: AdamW.norm(step.gradients, on: machine), rate: 1e-4, on: machine)
      }
      let own = seconds { bare.run() }
      // The first of each is warm-up.
      guard repetition > 0 else { continue }
      steps.append(1000 * time)
      alone.append(1000 * own)
      shares.append(100 * own / time)
    }
    print("step of \(batch.rows) tokens in documents of \(length): \(Measurement(steps).text) ms")
    print("its matrix products alone: \(Measurement(alone).text) ms, \(Measurement(shares).text) % of the step")
    print("\(Measurement(steps.map { Double(batch.rows) * 1000 / $0 }).text) tokens/s")
  }

  private func shape() throws -> ModelConfiguration {
    let dense = try ModelConfiguration(folder: model)
    guard let window else { return dense }
    var settings = DMSSettings()
    settings.window = window
    settings.separateAlpha = trains == .adapter
    return dense.taught(settings)
  }

  private func batch(_ shape: ModelConfiguration) -> TokenBatch {
    var batch = TokenBatch()
    for first in stride(from: 0, to: tokens, by: length) {
      let ids = (first..<min(tokens, first + length)).map { $0 * 7919 % shape.vocabulary }
      batch.append([Document(ids, last: 0)])
    }
    return batch
  }
}

extension TrainableSet: @retroactive ExpressibleByArgument {}
extension ProductType: @retroactive ExpressibleByArgument {}
