// Weights in any form as what they stand for: rows widened to fp32, and products with vectors that are not rounded. Slower
// than products of blocks, and exact: the reference for them.
//
// R rows · K columns · S vectors

import DMSPlatform
import DMSTensor

/// Writes rows of a matrix as fp32 `[rows.count, columns]`.
public func widen(_ weights: Weights, rows: Range<Int>, to out: UnsafeMutablePointer<Float>) {
  switch weights {
  case .stored(let matrix): widen(matrix.row(rows.lowerBound), matrix.type, rows.count * matrix.columns, to: out)
  case .ggml(let matrix): widen(matrix.row(rows.lowerBound), matrix.type, rows.count * matrix.columns, to: out)
  case .blocks(let matrix):
    for row in rows { widen(matrix, row: row, to: out + (row - rows.lowerBound) * matrix.columns) }
  }
}

/// `y = W x (+ b)` for the vectors of one decode step, with weights in blocks as what they stand for. The sums are those of
/// `MatrixVectorProduct` with the same numbers in F32.
public struct WidenedVectorProduct: ParallelWork {
  /// Rows that are widened at a time: few enough for the cache.
  static let rowsPerTile = 16

  let weights: Weights
  let input: UnsafePointer<Float>
  let vectors: Int
  let bias: UnsafePointer<Float>?
  let output: UnsafeMutablePointer<Float>
  let outputStride: Int
  let scratch: UnsafeMutablePointer<Float>
  let scratchStride: Int
  let instructions: InstructionSet

  /// Prepares `output[s, r] = Σ_k weights[r, k] · input[s, k] (+ bias[r])`.
  ///
  /// - Parameters:
  ///   - input: `[S, K]`.
  ///   - output: rows of `outputStride` numbers, at least R.
  ///   - scratch: for each worker `scratchStride` numbers, at least 16 · K.
  ///   - instructions: must be available.
  public init(
    _ weights: Weights, input: UnsafePointer<Float>, vectors: Int, bias: UnsafePointer<Float>?,
    output: UnsafeMutablePointer<Float>, outputStride: Int, scratch: UnsafeMutablePointer<Float>, scratchStride: Int,
    instructions: InstructionSet
  ) {
    precondition(scratchStride >= Self.rowsPerTile * weights.columns, "a worker's scratch holds a tile of weights")
    self.weights = weights
    self.input = input
    self.vectors = vectors
    self.bias = bias
    self.output = output
    self.outputStride = outputStride
    self.scratch = scratch
    self.scratchStride = scratchStride
    self.instructions = instructions
  }

  /// Tiles of rows.
  public var tasks: Int { (weights.rows + Self.rowsPerTile - 1) / Self.rowsPerTile }

  /// Computes a tile for all vectors.
  public func run(task: Int, worker: Int) {
    let rows = task * Self.rowsPerTile..<min(weights.rows, (task + 1) * Self.rowsPerTile)
    let wide = scratch + worker * scratchStride
    widen(weights, rows: rows, to: wide)
    let bytes = UnsafeRawBufferPointer(start: wide, count: rows.count * weights.columns * MemoryLayout<Float>.stride)
    let tile = Matrix(TensorView(type: .f32, shape: [rows.count, weights.columns], bytes: bytes))
    MatrixVectorProduct(
      tile, input: input, vectors: vectors, bias: bias.map { $0 + rows.lowerBound },
      output: output + rows.lowerBound, outputStride: outputStride, scratch: wide, instructions: instructions
    ).run(task: 0, worker: worker)
  }
}
