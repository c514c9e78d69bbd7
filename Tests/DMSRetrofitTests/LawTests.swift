// The training's decoder is the model that runs, dense and with hard decisions; noise and rates are what they are said to be.

import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import DMSTensor
import Foundation
import Testing

@testable import DMSRetrofit

struct LawTests {
  /// Every checkpoint of the repository: all families, and DMS by borrowed neuron and adapter.
  static let folders: [String] = {
    let root = TrainingFixture.fixtures
    return ((try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []).sorted().map { "\(root)/\($0)" }
  }()

  @Test(arguments: folders, [true, false])
  func theForwardIsTheModels(folder: String, evicts: Bool) throws {
    let checkpoint = try Checkpoint(folder: folder)
    let shape = checkpoint.configuration
    guard shape.dms != nil || !evicts else { return }
    // Two documents of one batch, long enough for a window of 8 to pass, each beside a cache of its own.
    let texts = [90, 41].map { count in (0..<count).map { ($0 * $0 * 7 + $0 * 13 + count) % shape.vocabulary } }
    var batch = TokenBatch()
    batch.append(texts.map { Document($0) })
    let machine = try Machine(threads: 2)
    let parameters = try Parameters(ParameterLayout(shape), from: checkpoint)
    let decoder = TrainingDecoder(shape, capacity: batch.rows, trains: false, recomputes: false, on: machine)
    decoder.forward(batch, parameters, evicts ? .hard : .off(zeroesBorrowed: shape.dms != nil))
    let head = LinearMap(
      weights: parameters.values.base + parameters.layout.head, bias: nil, outputs: shape.vocabulary,
      inputs: shape.hidden, products: .f32)
    let logits = FloatBuffer(batch.rows * shape.vocabulary)
    head.forward(decoder.hidden, rows: batch.rows, to: logits.base, machine.pool)
    let found = (0..<logits.count).map { logits.base[$0] }

    var options = Engine.Options()
    options.eviction = evicts
    options.kvType = .f32
    options.context = 100
    let engine = try Engine(Decoder(ModelSource(checkpoint), on: machine), on: machine, options)
    var expected: [Float] = []
    for text in texts {
      try engine.prefill(text, into: try engine.makeCache()) { _, rows in expected.append(contentsOf: rows) }
    }
    let largest = expected.reduce(0) { max($0, abs($1)) }
    let difference = zip(found, expected).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
    #expect(found.count == expected.count)
    #expect(difference <= 1e-4 * largest)
  }

  @Test func noiseIsLogisticAndEachPlaceHasItsOwn() {
    let noise = LogisticNoise(seed: 7, step: 3, layers: 2, kvHeads: 2)
    let draws = (0..<20_000).map { Double(noise(layer: $0 % 2, sequence: $0 / 200, kvHead: $0 / 2 % 2, token: $0)) }
    let mean = draws.reduce(0, +) / Double(draws.count)
    let variance = draws.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(draws.count)
    // Deviation π / √3; the mean of 20,000 strays by 0.013, their variance (kurtosis 4.2) by 0.042.
    #expect(abs(mean) < 0.06)
    #expect(abs(variance - Double.pi * Double.pi / 3) < 0.17)
    let first = noise(layer: 0, sequence: 0, kvHead: 0, token: 0)
    #expect(first == LogisticNoise(seed: 7, step: 3, layers: 2, kvHeads: 2)(layer: 0, sequence: 0, kvHead: 0, token: 0))
    let others = [
      noise(layer: 1, sequence: 0, kvHead: 0, token: 0), noise(layer: 0, sequence: 1, kvHead: 0, token: 0),
      noise(layer: 0, sequence: 0, kvHead: 1, token: 0), noise(layer: 0, sequence: 0, kvHead: 0, token: 1),
      LogisticNoise(seed: 8, step: 3, layers: 2, kvHeads: 2)(layer: 0, sequence: 0, kvHead: 0, token: 0),
      LogisticNoise(seed: 7, step: 4, layers: 2, kvHeads: 2)(layer: 0, sequence: 0, kvHead: 0, token: 0),
    ]
    #expect(Set(others + [first]).count == 7)
  }

  /// After one update from zero moments m / (1 − β₁) and v / (1 − β₂) are g and g²: every number moves by the rate.
  @Test func theFirstUpdateMovesEveryNumberByTheRate() throws {
    let layout = ParameterLayout(try ModelConfiguration(folder: "\(TrainingFixture.fixtures)/train-neuron"))
    let parts = TrainableParts(layout, .full)
    let (parameters, gradients) = (Parameters(layout), Gradients(parts))
    for index in 0..<gradients.values.count { gradients.values.base[index] = index % 2 == 0 ? 0.5 : -0.5 }
    let optimizer = AdamW(parts, AdamW.Options())
    let machine = try Machine(threads: 2)
    let norm = AdamW.norm(gradients, on: machine)
    #expect(abs(norm - 0.5 * Double(parts.count).squareRoot()) < 1e-3 * norm)
    optimizer.update(parameters, gradients, norm: norm, rate: 0.01, on: machine)
    for index in 0..<parameters.values.count {
      // ε is 1e-8 beside clipped gradients of 1 / sqrt(count), about 3e-3.
      #expect(abs(parameters.values.base[index] - (index % 2 == 0 ? -0.01 : 0.01)) < 1e-6)
    }
  }

  @Test func whatTrainsAloneHasTheGradientItHasAmongAll() throws {
    let fixture = try #require(TrainingFixture.all.first { $0.name == "train-neuron" })
    let checkpoint = try Checkpoint(folder: fixture.folder)
    let layout = ParameterLayout(checkpoint.configuration)
    let full = try fixture.step(recomputes: false, threads: 2, sequences: 64)
    _ = full.run(try fixture.batch(), try fixture.eviction())
    let parts = TrainableParts(layout, .borrowed)
    #expect(parts.count == layout.shape.layers * layout.shape.kvHeads * layout.shape.hidden)
    let parameters = try Parameters(layout, from: checkpoint)
    let some = try TrainingStep(
      parameters, trains: parts, teacher: Teacher(parameters, zeroesBorrowed: true),
      capacity: 100, recomputes: false, on: Machine(threads: 2))
    _ = some.run(try fixture.batch(), try fixture.eviction())
    for part in parts.parts {
      for index in 0..<part.range.count {
        let (own, all) = (
          some.gradients.values.base[part.packed + index], full.gradients.values.base[part.range.lowerBound + index]
        )
        #expect(abs(own - all) <= 1e-6 * max(1, abs(all)))
      }
    }
  }

  /// Of long documents, over many blocks of attention and tiles of products: a small step along the gradient g changes the
  /// loss by the step's length times |g|. The two-sided difference has an error of the order of the step's square; fp32 leaves
  /// about 1e-6 of a loss of 5 beside a change of 1e-2.
  @Test(arguments: ["train-neuron", "train-adapter"], [true, false])
  func theGradientIsTheLossesSlope(name: String, evicts: Bool) throws {
    try expectSlope(folder: "\(TrainingFixture.fixtures)/\(name)", evicts: evicts)
  }

  func expectSlope(folder: String, evicts: Bool) throws {
    let checkpoint = try Checkpoint(folder: folder)
    let (layout, machine) = (ParameterLayout(checkpoint.configuration), try Machine(threads: 2))
    var batch = TokenBatch()
    batch.append([300, 131].map { count in Document((0..<count).map { ($0 * $0 * 7 + $0 * 13 + count) % 128 }) })
    let noise = LogisticNoise(seed: 1, step: 0, layers: layout.shape.layers, kvHeads: layout.shape.kvHeads)
    // A target below what is evicted: the ratio's part, which jumps, is out of the loss.
    let eviction = TrainingStep.Eviction(targetShare: 0) {
      noise(layer: $0, sequence: $1, kvHead: $2, token: $3)
    }
    func step(_ parameters: Parameters) -> TrainingStep {
      TrainingStep(
        parameters, trains: TrainableParts(layout, .full), teacher: nil, capacity: 500,
        recomputes: false, on: machine)
    }
    let parameters = try Parameters(layout, from: checkpoint)
    let whole = step(parameters)
    _ = whole.run(batch, evicts ? eviction : nil)
    let norm = AdamW.norm(whole.gradients, on: machine)
    func loss(_ distance: Double) -> Double {
      let moved = parameters.copy()
      for index in 0..<moved.values.count {
        moved.values.base[index] += Float(distance / norm) * whole.gradients.values.base[index]
      }
      return step(moved).run(batch, evicts ? eviction : nil).tokenLoss
    }
    let distance = 0.01 / norm
    let slope = (loss(distance) - loss(-distance)) / (2 * distance)
    #expect(abs(slope - norm) <= 0.01 * norm)
  }
}
