// How much a head's keys repeat each other (R-KV, Cai et al., arXiv 2505.24133).
//
//   s[i, j] = cos(k_i, k_j),  s[i, i] = 0
//   of each i, the latest j with s[i, j] > ½ does not count: s[i, j] = 0
//   out = softmax over j of (1 / S) Σ_i s[i, j]
//
// Keys come in the order of their positions. S keys · D head dim

import DMSTensor

/// The redundancy of a head's keys. Cost: S² · D multiplications, by OpenBLAS.
public enum KeyRedundancy {
  private static let rows = 64
  /// From this cosine on a key repeats another one.
  private static let threshold: Float = 0.5

  /// Numbers of scratch memory.
  public static func scratchCount(keys: Int) -> Int { rows * keys }

  /// - Parameters:
  ///   - keys: `[S, D]`, in the order of their positions; on return of length 1.
  ///   - output: `[S]`.
  ///   - scratch: `scratchCount` numbers.
  public static func measure(
    _ keys: UnsafeMutablePointer<Float>, count: Int, headDim: Int, output: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    guard count > 0 else { return }
    for key in 0..<count { normalise(keys + key * headDim, headDim) }
    output.update(repeating: 0, count: count)
    for first in stride(from: 0, to: count, by: rows) {
      let block = min(rows, count - first)
      multiply(
        block, count, headDim, keys + first * headDim, headDim, keys, headDim, transposed: true, scratch, count,
        accumulating: false)
      for row in 0..<block { add(scratch + row * count, key: first + row, count, to: output) }
    }
    softmax(output, count)
  }

  private static func normalise(_ key: UnsafeMutablePointer<Float>, _ dim: Int) {
    var sum: Float = 0
    for channel in 0..<dim { sum += key[channel] * key[channel] }
    let inverse = 1 / (sum.squareRoot() + 1e-8)
    for channel in 0..<dim { key[channel] *= inverse }
  }

  /// Adds what a key has in common with the others.
  private static func add(
    _ cosines: UnsafeMutablePointer<Float>, key: Int, _ count: Int, to output: UnsafeMutablePointer<Float>
  ) {
    cosines[key] = 0
    if let latest = (0..<count).last(where: { cosines[$0] > threshold }) { cosines[latest] = 0 }
    for other in 0..<count { output[other] += cosines[other] }
  }

  private static func softmax(_ numbers: UnsafeMutablePointer<Float>, _ count: Int) {
    var (largest, sum) = (-Float.infinity, Float(0))
    for place in 0..<count {
      numbers[place] /= Float(count)
      largest = max(largest, numbers[place])
    }
    for place in 0..<count {
      numbers[place] = exponential(SIMD16(repeating: numbers[place] - largest))[0]
      sum += numbers[place]
    }
    for place in 0..<count { numbers[place] /= sum }
  }
}
