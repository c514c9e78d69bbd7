// The matrix products of a step and nothing else: what they alone need, beside which a step's own time is measured.
//
// N rows · C hidden · P = (H + 2G) D · F MLP size · V vocabulary

import DMSCheckpoint
import DMSKernels
import DMSPlatform
import DMSTensor

/// Runs the products of a step on one batch, in the shapes and on the tiles of `TrainingStep`, on zeros, which multiply as fast
/// as others.
public final class StepProducts {
  private let shape: ModelConfiguration
  private let batch: TokenBatch
  private let pool: ThreadPool
  /// Whether the teacher's forward is part of a step.
  private let distils: Bool
  private let recomputes: Bool
  private let trains: TrainableSet
  private let products: ProductType
  private let x: FloatBuffer
  private let y: FloatBuffer
  private let weights: FloatBuffer
  private let gradient: FloatBuffer
  private let scratch: FloatBuffer
  private let scratchStride: Int

  /// - Parameter batch: of few enough rows to go through the decoder at once.
  public init(
    _ shape: ModelConfiguration, _ batch: TokenBatch, distils: Bool, recomputes: Bool, trains: TrainableSet,
    products: ProductType, on machine: Machine
  ) {
    self.shape = shape
    self.batch = batch
    pool = machine.pool
    self.distils = distils
    self.recomputes = recomputes
    self.trains = trains
    self.products = products
    let sizes = LayerSizes(shape)
    let held = LossHead.rowsHeld(rows: batch.rows, vocabulary: shape.vocabulary) * shape.vocabulary
    let widest = max(shape.hidden, sizes.projected, 2 * shape.intermediate)
    x = FloatBuffer(max(batch.rows * widest, held))
    y = FloatBuffer(max(batch.rows * widest, held))
    let largest = shape.hidden * max(sizes.projected, 2 * shape.intermediate, shape.vocabulary)
    weights = FloatBuffer(largest)
    gradient = FloatBuffer(largest)
    // Scores of a block of queries, and the largest product of them.
    let (rows, longest) = (Attention.block * shape.heads / shape.kvHeads, batch.longestDocument)
    scratchStride = rows * longest + max(rows, longest) * shape.headDim
    scratch = FloatBuffer(pool.count * scratchStride)
  }

  /// Multiplies once what a step multiplies.
  public func run() {
    let sizes = LayerSizes(shape)
    let maps = [
      (sizes.projected, shape.hidden), (shape.hidden, sizes.queries), (2 * shape.intermediate, shape.hidden),
      (shape.hidden, shape.intermediate),
    ].map { LinearMap(weights: weights.base, bias: nil, outputs: $0.0, inputs: $0.1, products: products) }
    for _ in 0..<shape.layers {
      for _ in 0..<1 + (distils ? 1 : 0) + (recomputes ? 1 : 0) {
        for map in maps { map.forward(x.base, rows: batch.rows, to: y.base, pool) }
        attention(isBackward: false)
      }
      for map in maps { backward(map, batch.rows) }
      attention(isBackward: true)
    }
    let head = LinearMap(
      weights: weights.base, bias: nil, outputs: shape.vocabulary, inputs: shape.hidden,
      products: products)
    let step = LossHead.rowsHeld(rows: batch.rows, vocabulary: shape.vocabulary)
    for first in stride(from: 0, to: batch.rows, by: step) {
      let rows = min(step, batch.rows - first)
      for _ in 0..<(distils ? 2 : 1) { head.forward(x.base, rows: rows, to: y.base, pool) }
      backward(head, rows)
    }
  }

  private func backward(_ map: LinearMap, _ rows: Int) {
    map.backward(y.base, rows: rows, toInputs: x.base, pool)
    guard trains == .full else { return }
    let run = GradientRun(first: 0, count: map.outputs, gradient: gradient.base)
    map.backward(y.base, x.base, rows: rows, toWeights: [run], pool)
  }

  /// Products of each block of queries: scores and sums; backward scores, dP, dQ, dV and dK.
  private func attention(isBackward: Bool) {
    let (group, dim, block) = (shape.heads / shape.kvHeads, shape.headDim, Attention.block)
    let order = batch.documents.sorted { $0.count > $1.count }
    pool.forEach(order.count * shape.kvHeads) { task, worker in
      let tokens = order[task / shape.kvHeads].count
      let (p, q, k) = (scratch.base + worker * scratchStride, x.base, y.base)
      let out = p + block * group * batch.longestDocument
      for first in stride(from: 0, to: tokens, by: block) {
        let rows = min(block, tokens - first) * group
        let seen = first + min(block, tokens - first)
        func scores() {
          multiply(
            rows, seen, dim, q, dim, k, dim, transposed: true, p, seen, accumulating: false, in: products)
        }
        func sums() {
          multiply(
            rows, dim, seen, p, seen, k, dim, transposed: false, out, dim, accumulating: false, in: products)
        }
        func transposedSums() {
          multiply(
            seen, dim, rows, p, seen, transposedA: true, q, dim, transposed: false, out, dim, accumulating: false,
            in: products)
        }
        scores()
        sums()
        guard isBackward else { continue }
        scores()
        transposedSums()
        transposedSums()
      }
    }
  }
}
