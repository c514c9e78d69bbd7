// The noise of relaxed decisions by address: a run that goes on after an interruption draws what it would have drawn.

import DMSPlatform
import Glibc

/// n = g₁ − g₂ of two independent Gumbel(0, 1) draws is logistic: log u − log(1 − u), u uniform (DMS, section 3.1).
public struct LogisticNoise: Sendable {
  private let seed: UInt64
  private let layers: Int
  private let kvHeads: Int

  /// - Parameter step: the step that the noise is for.
  public init(seed: UInt64, step: Int, layers: Int, kvHeads: Int) {
    self.seed = RandomNumbers.seed(seed, step)
    self.layers = layers
    self.kvHeads = kvHeads
  }

  /// - Parameters:
  ///   - sequence: its number in the step.
  ///   - token: its place in the sequence.
  public func callAsFunction(layer: Int, sequence: Int, kvHead: Int, token: Int) -> Float {
    let place = (sequence * layers + layer) * kvHeads + kvHead
    let u = RandomNumbers.uniform(seed: seed, sequence: place, position: token) + 0x1p-54
    return Float(log(u) - log1p(-u))
  }
}
