// Decisions drawn at random, so that the speed of a sparse cache can be measured on a model that was not taught to forget.

import DMSCache
import DMSPlatform

/// Decisions drawn at random, for measuring the speed of a sparse cache on a model that was not taught to forget.
public struct SimulatedEviction: Sendable, Equatable {
  /// Tokens of which one survives its window: the compression of a long sequence.
  public var ratio: Double
  /// Tokens after which a token that is to go is forgotten.
  public var window: Int

  /// Decisions of which a share of 1 − 1 / `ratio` evicts.
  public init(ratio: Double, window: Int = 256) {
    self.ratio = ratio
    self.window = window
  }

  /// A decision logit: positive with the probability 1 − 1 / ratio. Depends on the place alone.
  func logit(layer: Int, kvHead: Int, position: Int) -> Float {
    var z = UInt64(bitPattern: Int64(position)) &* 0x9E37_79B9_7F4A_7C15
    z &+= UInt64(layer * 1024 + kvHead) &* 0xD1B5_4A32_D192_ED03
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    let uniform = Double((z ^ (z >> 31)) >> 11) * 0x1p-53
    return uniform < 1 - 1 / ratio ? 1 : -1
  }
}

extension Engine {
  /// Appends tokens with arbitrary keys and values, without computing them: a cache of a given depth, quickly. Policies
  /// see the tokens as they see others; a model's own decisions cannot be had this way, simulated ones can.
  ///
  /// - Throws: `InputError` if the cache or the memory has no room.
  public func fillArbitrarily(_ cache: SequenceCache, tokens: Int) throws {
    let shape = decoder.configuration
    guard tokens <= cache.capacity - cache.tokensSeen else {
      throw InputError("\(tokens) tokens do not fit", remedy: "raise --context")
    }
    for index in 0..<workspace.keys.count {
      workspace.keys.base[index] = Float(index &* 7919 % 2003) / 1001.5 - 1
      workspace.values.base[index] = Float(index &* 6007 % 2003) / 1001.5 - 1
    }
    var left = tokens
    while left > 0 {
      let count = min(chunk, left)
      for layer in 0..<shape.layers {
        simulateDecisions(layer: layer, rows: count) { cache.tokensSeen + $0 }
        try appendRows(count, to: cache, layer: layer)
      }
      cache.advance(by: count, reads: false)
      left -= count
    }
  }
}
