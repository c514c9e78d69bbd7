// Random numbers that depend on the seed and the case alone, so that a case can be had again.

struct Random {
  private var state: UInt64

  init(seed: UInt64, case number: Int) {
    state = seed &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(bitPattern: Int64(number)) &* 0xD1B5_4A32_D192_ED03
  }

  /// SplitMix64.
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }

  /// A number below `bound`; 0 where that is not positive.
  mutating func below(_ bound: Int) -> Int { bound > 0 ? Int(next() % UInt64(bound)) : 0 }

  mutating func chance(_ share: Double) -> Bool { Double(next() >> 11) * 0x1p-53 < share }

  mutating func pick<Element>(_ list: [Element]) -> Element { list[below(list.count)] }

  /// From -1 to 1.
  mutating func uniform() -> Float { Float(next() >> 40) * 0x1p-23 - 1 }
}
