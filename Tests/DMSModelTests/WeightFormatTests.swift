// Converted weights: what must not change with the threads, and how far rounding goes.

import DMSKernels
import DMSModel
import DMSTensor
import Testing

struct WeightFormatTests {
  @Test(arguments: Fixture.all, [WeightFormat.q8, .q4])
  func decodingInBlocksDoesNotFeelTheThreads(fixture: Fixture, format: WeightFormat) throws {
    let decoder = try fixture.decoder(format)
    let ids = try #require(fixture.integers("input_ids"))
    for instructions in InstructionSet.available {
      let runs = try [1, 3].map { threads in
        let run = try Run(decoder, threads: threads, instructions: instructions)
        try run.read(ids, split: [40])
        return run.logits.map(\.bitPattern)
      }
      #expect(runs[0] == runs[1], "\(instructions)")
    }
  }

  /// Wider types hold the numbers exactly, so the results are those of the stored weights up to the order of summation.
  @Test(arguments: Fixture.all)
  func weightsInAWiderTypeAreTheSame(fixture: Fixture) throws {
    let ids = try #require(fixture.integers("input_ids"))
    let run = try Run(fixture.decoder(.f32))
    try run.read(ids, split: [ids.count / 2])
    let expected = try #require(fixture.floats("logits"))
    #expect(largestDifference(run.logits, expected) <= 1e-4 * largest(expected))
  }

  /// These fixtures are random, the worst case: a trained model's errors average out, here every layer amplifies them. The
  /// largest relative error over all logits was measured as 0.066 and 0.60; a wrong index or scale gives more than 1.
  @Test(arguments: Fixture.all.filter { $0.golden.view("decisions") == nil }, [(WeightFormat.q8, 0.1), (.q4, 0.9)])
  func roundedWeightsStayNear(fixture: Fixture, format: (WeightFormat, Double)) throws {
    let ids = try #require(fixture.integers("input_ids"))
    let run = try Run(fixture.decoder(format.0))
    try run.read(ids, split: [ids.count])
    let expected = try #require(fixture.floats("logits"))
    var (error, size) = (0.0, 0.0)
    for (ours, exact) in zip(run.logits, expected) {
      error += Double(ours - exact) * Double(ours - exact)
      size += Double(exact) * Double(exact)
    }
    let relative = (error / size).squareRoot()
    #expect(relative > 0 && relative < format.1, "\(format.0): \(relative)")
  }

  /// The rows that decide are not rounded, and their product is that of decoding, however many rows there are. The first
  /// layer's input is the embedding alone, so there a decision does not feel how a prompt is split.
  @Test(arguments: Fixture.sparse, [WeightFormat.q8, .q4])
  func theFirstLayersDecisionsDoNotFeelTheSplit(fixture: Fixture, format: WeightFormat) throws {
    let decoder = try fixture.decoder(format)
    let ids = try #require(fixture.integers("input_ids"))
    let runs = try [[ids.count], [7, 20], []].map { split in
      let run = try Run(decoder)
      try run.read(ids, split: split)
      return run.decisionLogits[0].map(\.bitPattern)
    }
    #expect(runs[0] == runs[1] && runs[0] == runs[2])
  }

  /// Of about 1,650 decisions 3 differ; where the rows that decide were rounded as well, 24 did.
  @Test func fewDecisionsDifferInEightBits() throws {
    var (flips, count) = (0, 0)
    for fixture in Fixture.sparse where try fixture.decoder().configuration.dms?.separateAlpha == false {
      let ids = try #require(fixture.integers("input_ids"))
      let run = try Run(fixture.decoder(.q8))
      try run.read(ids, split: [ids.count])
      let expected = try #require(fixture.integers("decisions"))  // [L, G, T]
      let kvHeads = expected.count / run.decisionLogits.count / ids.count
      for (layer, logits) in run.decisionLogits.enumerated() {
        for (index, logit) in logits.enumerated() {
          let place = (layer * kvHeads + index % kvHeads) * ids.count + index / kvHeads
          flips += (logit > 0) == (expected[place] > 0) ? 0 : 1
          count += 1
        }
      }
    }
    #expect(flips * 1000 <= 5 * count, "\(flips) of \(count)")
  }
}
