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
}
