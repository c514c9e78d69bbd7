// How much keys repeat each other, beside the definition in double precision.

import DMSTensor
import Testing

@testable import DMSKernels

struct KeyRedundancyTests {
  @Test(arguments: [1, 2, 63, 64, 65, 200], [1, 8, 80])
  func itIsThatOfTheTwin(count: Int, dim: Int) {
    var random = SplitMix(UInt64(count * 100 + dim))
    // From a few directions, so that many are alike.
    let themes = (0..<4).map { _ in random.floats(dim) }
    let keys = (0..<count).map { index in zip(themes[index % 4], random.floats(dim)).map { $0 + 0.4 * $1 } }
    let (all, output) = (FloatBuffer(count * dim), FloatBuffer(count))
    let scratch = FloatBuffer(KeyRedundancy.scratchCount(keys: count))
    for (index, number) in keys.joined().enumerated() { all.base[index] = number }
    KeyRedundancy.measure(all.base, count: count, headDim: dim, output: output.base, scratch: scratch.base)
    let expected = Reference.redundancy(keys: keys)
    // Cosines of D products, summed over S keys; a cosine next to ½ may count on one side only, by ½ of S.
    for index in 0..<count {
      #expect(
        abs(Double(output.base[index]) - expected[index]) <= (sumTolerance(dim) + sumTolerance(count)) * expected[index]
      )
    }
    withExtendedLifetime((all, output, scratch)) {}
  }
}
