// A training step beside the time that OpenBLAS alone needs for the step's matrix products, in turn, in one run.

import ArgumentParser
import DMS
import DMSPlatform

struct TrainingBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "training", abstract: "A pretraining step beside its matrix products alone.")

  @Option(help: "A folder with the config.json of the shape.") var model = "../Models/tiny"
  @Option(help: "Tokens of a document.") var length = 512
  @Option(help: "Tokens of a step.") var tokens = 2048
  @Option(help: "Worker threads; 0: one per usable processor.") var threads = 0
  @Option(help: "Repetitions of each measurement.") var repetitions = 15

  func run() throws {
    let threads = threads > 0 ? threads : Topology.allowedProcessors().count
    printProvenance(threads: threads)
    let shape = try ModelConfiguration(folder: model)
    let machine = try Machine(threads: threads)
    let layout = ParameterLayout(shape)
    let parameters = Parameters(layout, random: 1)
    var batch = TokenBatch()
    for first in stride(from: 0, to: tokens, by: length) {
      let ids = (first..<min(tokens, first + length)).map { $0 * 7919 % shape.vocabulary }
      batch.append([Document(ids, last: 0)])
    }
    let parts = TrainableParts(layout, .full)
    let step = TrainingStep(
      parameters, trains: parts, teacher: nil, capacity: batch.rows, recomputes: false, on: machine)
    let optimizer = AdamW(parts, AdamW.Options())
    let products = StepProducts(shape, batch, distils: false, recomputes: false, trains: .full, on: machine)
    var (steps, alone, shares): ([Double], [Double], [Double]) = ([], [], [])
    for repetition in 0...repetitions {
      let time = seconds {
        _ = step.run(batch, nil)
        optimizer.update(
          parameters, step.gradients, norm: AdamW.norm(step.gradients, on: machine), rate: 1e-4, on: machine)
      }
      let own = seconds { products.run() }
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
}
