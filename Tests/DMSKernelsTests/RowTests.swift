import DMSPlatform
import DMSTensor
import Glibc
import Testing

@testable import DMSKernels

struct RowTests {
  @Test(arguments: [1, 2, 7, 8, 9, 64, 129])
  func normsAreThoseOfTheTwin(size: Int) throws {
    var random = SplitMix(3)
    for rows in [1, 8, 9] {
      var x = random.floats(rows * size)
      let (delta, gain) = (random.floats(rows * size), random.floats(size))
      let sums = zip(x, delta).map { $0 + $1 }
      var out = [Float](repeating: .nan, count: rows * size)
      let pool = try ThreadPool(threads: 2)
      x.withUnsafeMutableBufferPointer { x in
        out.withUnsafeMutableBufferPointer { out in
          guard let xs = x.baseAddress, let ys = out.baseAddress else { return }
          delta.withUnsafeBufferPointer { delta in
            gain.withUnsafeBufferPointer { gain in
              guard let gains = gain.baseAddress else { return }
              let work = ResidualNorm(
                x: xs, delta: delta.baseAddress, rows: rows, size: size, gain: gains, epsilon: 1e-6, output: ys)
              pool.run(tasks: work.tasks, work)
            }
          }
        }
      }
      #expect(x == sums)
      for row in 0..<rows {
        let expected = Reference.rmsNorm(Array(sums[row * size..<(row + 1) * size]), gain: gain, epsilon: 1e-6)
        // The root of a mean of n squares, relative: n/8 roundings in each partial sum, and a few more.
        let tolerance = Double(size / 8 + 8) * 0x1p-24
        for index in 0..<size {
          #expect(abs(Double(out[row * size + index]) - expected[index]) <= tolerance * max(1, abs(expected[index])))
        }
      }
    }
  }

  @Test(arguments: [1, 15, 16, 17, 2047, 2048, 2049])
  func swiGLUIsThatOfTheTwin(size: Int) throws {
    var random = SplitMix(4)
    let rows = 2
    let gateUp = random.floats(rows * 2 * size).map { $0 * 20 }
    let (input, out) = (FloatBuffer(gateUp.count), FloatBuffer(rows * size))
    input.base.update(from: gateUp, count: gateUp.count)
    let work = SwiGLU(gateUp: input.base, rows: rows, size: size, output: out.base)
    try ThreadPool(threads: 2).run(tasks: work.tasks, work)
    for row in 0..<rows {
      for index in 0..<size {
        let expected = Reference.swiGLU(gate: gateUp[row * 2 * size + index], up: gateUp[row * 2 * size + size + index])
        // The exponential's 2e-7, and four roundings.
        #expect(abs(Double(out.base[row * size + index]) - expected) <= 5e-7 * max(1, abs(expected)))
      }
    }
  }

  @Test(arguments: [2, 8, 24, 128])
  func rotationTurnsPairsOfChannels(headDim: Int) {
    var random = SplitMix(5)
    let (half, heads) = (headDim / 2, 3)
    let frequencies = (0..<half).map { 1 / powf(10_000, Float($0) / Float(half)) }
    var (cosines, sines) = ([Float](repeating: 0, count: half), [Float](repeating: 0, count: half))
    rotaryTable(position: 77, frequencies: frequencies, scale: 1.5, cosines: &cosines, sines: &sines)
    let x = random.floats(heads * headDim)
    var turned = x
    rotate(&turned, heads: heads, headDim: headDim, cosines: cosines, sines: sines)
    for head in 0..<heads {
      for channel in 0..<half {
        // The angle is a product in fp32; from there on all is exact in the twin.
        let angle = Double(77 * frequencies[channel])
        let (a, b) = (Double(x[head * headDim + channel]), Double(x[head * headDim + half + channel]))
        let low = 1.5 * (a * cos(angle) - b * sin(angle))
        let high = 1.5 * (b * cos(angle) + a * sin(angle))
        #expect(abs(Double(turned[head * headDim + channel]) - low) <= 8 * 0x1p-24 * 1.5)
        #expect(abs(Double(turned[head * headDim + half + channel]) - high) <= 8 * 0x1p-24 * 1.5)
      }
    }
  }
}
