// Random numbers by address: the number for (seed, sequence, position) is the same whoever asks, in whatever order, on
// however many threads.

import Glibc

package enum RandomNumbers {
  /// Uniform in [0, 1), with 53 random bits.
  package static func uniform(seed: UInt64, sequence: Int, position: Int) -> Double {
    var state = mix(seed &+ 0x9E37_79B9_7F4A_7C15)
    state = mix(state ^ UInt64(truncatingIfNeeded: sequence) &* 0xD1B5_4A32_D192_ED03)
    state = mix(state ^ UInt64(truncatingIfNeeded: position) &* 0x8CB9_2BA7_2F3D_8DD7)
    return Double(state >> 11) * 0x1p-53
  }

  /// Normal with mean 0 and deviation 1 (Box and Muller, 1958).
  package static func normal(seed: UInt64, sequence: Int, position: Int) -> Double {
    let radius = (-2 * log(1 - uniform(seed: seed, sequence: sequence, position: 2 * position))).squareRoot()
    return radius * cos(2 * .pi * uniform(seed: seed, sequence: sequence, position: 2 * position + 1))
  }

  /// A seed for what has a seed of its own: the numbers under different names and numbers are independent.
  package static func seed(_ seed: UInt64, _ name: Int) -> UInt64 {
    mix(seed &+ 0x9E37_79B9_7F4A_7C15 &* (UInt64(truncatingIfNeeded: name) &+ 1))
  }

  /// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// A stream of random numbers from one address: for what is drawn in order, as a problem's parts.
package struct RandomStream: RandomNumberGenerator {
  private let seed: UInt64
  private var drawn = 0

  package init(seed: UInt64) { self.seed = seed }

  package mutating func next() -> UInt64 {
    drawn += 1
    return RandomNumbers.seed(seed, drawn)
  }
}
