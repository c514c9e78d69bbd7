// AdamW (Loshchilov and Hutter, 2019) over the packed trainable numbers, after clipping the gradient's norm.
//
//   m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
//   θ ← θ − η ( m / (1 − β₁ᵗ) / (sqrt(v / (1 − β₂ᵗ)) + ε) + λ θ )

import DMSKernels
import DMSPlatform
import DMSTensor
import Glibc

/// The optimiser (Loshchilov and Hutter, 2019): two moments for each number that trains.
public final class AdamW {
  /// How fast it forgets, decays and clips.
  public struct Options: Sendable, Equatable {
    /// Of the first moment: the share that a step keeps.
    public var beta1 = 0.9
    /// Of the second moment.
    public var beta2 = 0.95
    /// What is added to the second moment's root.
    public var epsilon = 1e-8
    /// Of matrices; norms and biases do not decay.
    public var weightDecay = 0.0
    /// The gradient's largest norm.
    public var clip = 1.0

    /// The paper's values.
    public init() {}
  }

  /// Of each number that trains.
  struct Moments<Buffer> {
    let first: Buffer
    let second: Buffer

    init(count: Int, _ make: (Int) -> Buffer) {
      first = make(count)
      second = make(count)
    }
  }

  /// As they were given.
  public let options: Options
  let moments: Moments<FloatBuffer>
  /// Updates so far.
  public internal(set) var updates = 0
  private let parts: TrainableParts
  private static let block = 1 << 14

  /// Moments of zero.
  public init(_ parts: TrainableParts, _ options: Options) {
    self.parts = parts
    self.options = options
    moments = Moments(count: parts.count, FloatBuffer.init)
  }

  /// The norm of a gradient. In blocks of a fixed size, added in order.
  public static func norm(_ gradient: Gradients, on machine: Machine) -> Double {
    let pool = machine.pool
    let values = gradient.values
    var sums = [Double](repeating: 0, count: (values.count + block - 1) / block)
    sums.withUnsafeMutableBufferPointer { sums in
      pool.forPieces(of: values.count, size: block) { piece, range in
        sums[piece] = Double(dot(values.base + range.lowerBound, values.base + range.lowerBound, range.count))
      }
    }
    return sums.reduce(0, +).squareRoot()
  }

  /// - Parameter norm: the gradient's.
  public func update(_ parameters: Parameters, _ gradient: Gradients, norm: Double, rate: Double, on machine: Machine) {
    let pool = machine.pool
    updates += 1
    let scale = Float(norm > options.clip ? options.clip / norm : 1)
    let (b1, b2) = (Float(options.beta1), Float(options.beta2))
    let step = Float(rate / (1 - pow(options.beta1, Double(updates))))
    let correction = Float(1 / (1 - pow(options.beta2, Double(updates))))
    let epsilon = Float(options.epsilon)
    for part in parts.parts {
      let decay = Float(part.decays ? rate * options.weightDecay : 0)
      let values = parameters.values.base + part.range.lowerBound
      let (m, v) = (moments.first.base + part.packed, moments.second.base + part.packed)
      let g = gradient.values.base + part.packed
      pool.forPieces(of: part.range.count, size: Self.block) { _, range in
        for index in range {
          let slope = g[index] * scale
          m[index] = b1 * m[index] + (1 - b1) * slope
          v[index] = b2 * v[index] + (1 - b2) * slope * slope
          let change = step * m[index] / ((v[index] * correction).squareRoot() + epsilon)
          values[index] -= change + decay * values[index]
        }
      }
    }
  }
}
