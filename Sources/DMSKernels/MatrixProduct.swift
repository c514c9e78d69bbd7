// Y = X Wᵀ for prefill: many rows at once, by OpenBLAS on fixed tiles, each by one thread. The tiles depend on the shapes
// alone, so the result is the same for any number of threads.
//
// T rows (tokens) · K inputs · N outputs

import COpenBLAS
import DMSPlatform
import DMSTensor

/// `Y = X Wᵀ (+ b)` for the rows of a chunk, by OpenBLAS. A task takes a tile of 128 outputs.
public struct MatrixProduct: ParallelWork {
  /// Outputs of one tile: its fp32 weights (N × K) are made in scratch memory unless they are stored so.
  public static let tile = 128

  let weights: Weights
  let input: UnsafePointer<Float>
  let rows: Int
  let bias: UnsafePointer<Float>?
  let output: UnsafeMutablePointer<Float>
  let outputStride: Int
  let scratch: UnsafeMutablePointer<Float>
  let scratchStride: Int

  /// Prepares `output[t, n] = Σ_k input[t, k] · weights[n, k] (+ bias[n])`.
  ///
  /// - Parameters:
  ///   - input: `[T, K]`.
  ///   - output: T rows of `outputStride` numbers, at least N.
  ///   - scratch: for each worker `scratchStride` numbers, at least `tile · K`.
  public init(
    _ weights: Weights, input: UnsafePointer<Float>, rows: Int, bias: UnsafePointer<Float>?,
    output: UnsafeMutablePointer<Float>, outputStride: Int, scratch: UnsafeMutablePointer<Float>, scratchStride: Int
  ) {
    precondition(scratchStride >= Self.tile * weights.columns, "a worker's scratch holds one tile of weights")
    self.weights = weights
    self.input = input
    self.rows = rows
    self.bias = bias
    self.output = output
    self.outputStride = outputStride
    self.scratch = scratch
    self.scratchStride = scratchStride
  }

  /// Tiles of outputs.
  public var tasks: Int { (weights.rows + Self.tile - 1) / Self.tile }

  /// Computes a tile for all rows.
  public func run(task: Int, worker: Int) {
    let first = task * Self.tile
    let count = min(Self.tile, weights.rows - first)
    let columns = weights.columns
    let tile: UnsafePointer<Float>
    if case .stored(let matrix) = weights, matrix.type == .f32 {
      tile = matrix.row(first).assumingMemoryBound(to: Float.self)
    } else {
      let wide = scratch + worker * scratchStride
      widen(weights, rows: first..<first + count, to: wide)
      tile = UnsafePointer(wide)
    }
    if let bias {
      for row in 0..<rows { (output + row * outputStride + first).update(from: bias + first, count: count) }
    }
    multiply(
      rows, count, columns, input, columns, tile, columns, transposed: true, output + first, outputStride,
      accumulating: bias != nil)
  }
}

/// Tells OpenBLAS to stay on the calling thread: the parallelism is ours. The setting is the process's; call it once before
/// the first product.
public func useOneBLASThread() { openblas_set_num_threads(1) }
