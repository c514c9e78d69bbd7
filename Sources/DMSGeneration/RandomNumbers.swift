// Random numbers by address: the number for (seed, sequence, position) is the same whoever asks, in whatever order, on
// however many threads.

enum RandomNumbers {
  /// Uniform in [0, 1), with 53 random bits.
  static func uniform(seed: UInt64, sequence: Int, position: Int) -> Double {
    var state = mix(seed &+ 0x9E37_79B9_7F4A_7C15)
    state = mix(state ^ UInt64(truncatingIfNeeded: sequence) &* 0xD1B5_4A32_D192_ED03)
    state = mix(state ^ UInt64(truncatingIfNeeded: position) &* 0x8CB9_2BA7_2F3D_8DD7)
    return Double(state >> 11) * 0x1p-53
  }

  /// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
