// The memory that a call of the decoder works in, allocated once per engine. How much that is follows from the list of buffers
// itself: the same code allocates them and counts them.
//
// N rows at most (tokens of a chunk, or sequences of a decode step) · H query heads · G KV heads · D head dim · F MLP size

import DMSCache
import DMSCheckpoint
import DMSKernels
import DMSTensor

final class Workspace {
  let hidden: FloatBuffer  // [N, hidden]
  let normed: FloatBuffer  // [N, hidden]
  let delta: FloatBuffer  // [N, hidden]: what the last block adds to `hidden`
  let queries: FloatBuffer  // [N, H, D]
  let keys: FloatBuffer  // [N, G, D]
  let values: FloatBuffer  // [N, G, D]
  let attention: FloatBuffer  // [N, H, D]
  let gateUp: FloatBuffer  // [N, 2F]
  let activated: FloatBuffer  // [N, F]
  let decisions: FloatBuffer  // [N, G]
  let cosines: FloatBuffer  // [N, D / 2]
  let sines: FloatBuffer  // [N, D / 2]
  /// The logits of the last row of a prefill, or of each sequence of a decode step.
  let logits: FloatBuffer  // [batch, vocabulary]
  /// Inputs of matrix–vector products in their split form; three products may run at once.
  let split: FloatBuffer  // [3, max(batch or N for the adapter), widest]
  let splitStride: Int
  /// Inputs of products with weights in blocks.
  let blockVectors: BlockVectors  // [N, widest]
  let scratch: FloatBuffer  // [workers, scratchStride]
  let scratchStride: Int
  /// What the pieces of long heads found; grows with the longest.
  private(set) var partials = FloatBuffer(0)  // [batch, G, partialCount]
  let assignment: SlotAssignment
  let spans: UnsafeMutablePointer<KVSpan>  // [batch or 1, G]

  /// For what a workspace is made.
  struct Needs {
    let shape: ModelConfiguration
    /// The most tokens of a chunk, or sequences of a decode step.
    let rows: Int
    let batch: Int
    let workers: Int
    /// Whether weights are in blocks.
    let blocks: Bool
  }

  /// Bytes of its buffers, but for what grows with the longest head.
  static func bytes(_ needs: Needs) -> Int {
    var count = 0
    _ = Workspace(needs) {
      count += $0
      return FloatBuffer(0)
    }
    return count * MemoryLayout<Float>.stride
  }

  /// - Parameter floats: makes a buffer of so many numbers.
  init(_ needs: Needs, floats: (Int) -> FloatBuffer = FloatBuffer.init) {
    let (shape, rows, batch, blocks) = (needs.shape, needs.rows, needs.batch, needs.blocks)
    let group = shape.heads / shape.kvHeads
    let widest = max(shape.hidden, shape.intermediate, shape.heads * shape.headDim)
    hidden = floats(rows * shape.hidden)
    normed = floats(rows * shape.hidden)
    delta = floats(rows * shape.hidden)
    queries = floats(rows * shape.heads * shape.headDim)
    keys = floats(rows * shape.kvHeads * shape.headDim)
    values = floats(rows * shape.kvHeads * shape.headDim)
    attention = floats(rows * shape.heads * shape.headDim)
    gateUp = floats(rows * 2 * shape.intermediate)
    activated = floats(rows * shape.intermediate)
    decisions = floats(rows * shape.kvHeads)
    cosines = floats(rows * shape.headDim / 2)
    sines = floats(rows * shape.headDim / 2)
    logits = floats(batch * shape.vocabulary)
    // Decisions of all rows come from vector products: the adapter's, or those of borrowed channels apart from blocks.
    let decidesApart = shape.dms.map { $0.separateAlpha || blocks } ?? false
    splitStride = max(batch * widest, decidesApart ? rows * shape.hidden : 0)
    split = floats(3 * splitStride)
    blockVectors = BlockVectors(vectors: blocks ? rows : 0, columns: widest)
    scratchStride = max(
      MatrixProduct.tile * widest, PrefillAttention.scratchCount(group: group, headDim: shape.headDim),
      DecodeAttention.scratchCount(group: group, headDim: shape.headDim))
    scratch = floats(needs.workers * scratchStride)
    assignment = SlotAssignment(kvHeads: shape.kvHeads, capacity: rows)
    spans = .allocate(capacity: batch * shape.kvHeads)
  }

  /// Makes room for the pieces of `heads` heads of up to `slots` slots. Grows by half at least, so rarely.
  func reservePartials(heads: Int, slots: Int, group: Int, headDim: Int) {
    let count = heads * DecodeAttention.partialCount(slots: slots, group: group, headDim: headDim)
    if count > partials.count { partials = FloatBuffer(max(count, partials.count / 2 * 3)) }
  }

  deinit { spans.deallocate() }
}
