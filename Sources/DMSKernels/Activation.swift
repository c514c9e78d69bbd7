// SwiGLU (Shazeer, 2020): h = silu(gate) · up, silu(x) = x / (1 + e^-x).

import DMSPlatform

/// SwiGLU (Shazeer, 2020): `silu(gate) · up`, where `silu(x) = x / (1 + e⁻ˣ)`. A task takes up to 2048 numbers of a
/// row.
public struct SwiGLU: ParallelWork {
  let gateUp: UnsafeMutablePointer<Float>
  let rows: Int
  let size: Int
  let output: UnsafeMutablePointer<Float>
  /// Numbers of one task.
  static let block = 2048

  /// Prepares `output[t, f] = silu(gateUp[t, f]) · gateUp[t, F + f]` for T rows of F numbers.
  ///
  /// - Parameters:
  ///   - gateUp: `[T, 2F]`; the gate half is overwritten.
  ///   - output: `[T, F]`.
  public init(
    gateUp: UnsafeMutablePointer<Float>, rows: Int, size: Int, output: UnsafeMutablePointer<Float>
  ) {
    self.gateUp = gateUp
    self.rows = rows
    self.size = size
    self.output = output
  }

  private var blocksPerRow: Int { (size + Self.block - 1) / Self.block }
  /// Tasks of all rows.
  public var tasks: Int { rows * blocksPerRow }

  /// Computes a part of a row.
  public func run(task: Int, worker: Int) {
    let row = task / blocksPerRow
    let first = task % blocksPerRow * Self.block
    let count = min(Self.block, size - first)
    let gate = gateUp + row * 2 * size + first
    let up = gate + size
    let out = output + row * size + first
    forSixteens(count, gate) { _, x in x / (exponential(-x) + 1) }
    for index in 0..<count { out[index] = gate[index] * up[index] }
  }
}
