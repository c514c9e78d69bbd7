// One training step of NVIDIA's reference at fixed noise: losses, the evicted share and every gradient.

import DMSCheckpoint
import DMSPlatform
import DMSRetrofit
import DMSTensor
import Testing

struct FixtureTests {
  @Test func thereAreTrainingFixtures() { #expect(!TrainingFixture.all.isEmpty) }

  /// How the same step can be computed.
  struct Way: Sendable, CustomTestStringConvertible {
    var recomputes = false
    var threads = 2
    /// Sequences at a time.
    var sequences = 64
    var testDescription: String { "recomputes \(recomputes), \(threads) threads, \(sequences) sequences at a time" }
  }

  @Test(
    arguments: TrainingFixture.all,
    [Way(), Way(recomputes: true), Way(threads: 1), Way(sequences: 1), Way(recomputes: true, sequences: 1)])
  func lossesAndGradientsAreThoseOfTheReference(fixture: TrainingFixture, way: Way) throws {
    let step = try fixture.step(recomputes: way.recomputes, threads: way.threads, sequences: way.sequences)
    let loss = step.run(try fixture.batch(), try fixture.eviction())
    #expect(abs(loss.loss - fixture.number("loss")) <= 1e-5)
    #expect(abs(loss.tokenLoss - fixture.number("distillation_loss")) <= 1e-5)
    #expect(abs(loss.ratioLoss - fixture.number("dms_loss")) <= 1e-5)
    #expect(abs(loss.evictedShare - fixture.number("fraction_evicted")) <= 1e-5)
    for tensor in step.parameters.layout.tensors {
      let expected = try #require(fixture.floats("grad.\(tensor.name)"))
      let found = step.gradients.values.base + tensor.offset
      let largest = expected.reduce(0) { max($0, abs($1)) }
      let difference = expected.indices.reduce(Float(0)) { max($0, abs(found[$1] - expected[$1])) }
      #expect(difference <= 1e-4 * largest, "\(tensor.name)")
    }
  }

  /// A factor rounded to BF16 is off by 2⁻⁹ of itself at most. The gradient of the model with an adapter is off by 1.0 % of
  /// its length, that with borrowed neurons, whose decisions are read from products, by 5.6 %.
  @Test(arguments: TrainingFixture.all)
  func factorsRoundedToBF16LeaveTheGradientNear(fixture: TrainingFixture) throws {
    let step = try fixture.step(recomputes: false, threads: 2, sequences: 64, products: .bf16)
    let loss = step.run(try fixture.batch(), try fixture.eviction())
    #expect(abs(loss.loss - fixture.number("loss")) <= 2e-3 * fixture.number("loss"))
    var (off, length) = (0.0, 0.0)
    for tensor in step.parameters.layout.tensors {
      let expected = try #require(fixture.floats("grad.\(tensor.name)"))
      let found = step.gradients.values.base + tensor.offset
      for (index, exact) in expected.enumerated() {
        off += Double((found[index] - exact) * (found[index] - exact))
        length += Double(exact * exact)
      }
    }
    #expect((off / length).squareRoot() <= 0.1)
  }
}
