// The memory that a call of the decoder works in, allocated once per engine.
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
  let admission: Admission
  let spans: UnsafeMutablePointer<KVSpan>  // [batch or 1, G]

  init(_ shape: ModelConfiguration, rows: Int, batch: Int, workers: Int, blocks: Bool) {
    let group = shape.heads / shape.kvHeads
    let widest = max(shape.hidden, shape.intermediate, shape.heads * shape.headDim)
    hidden = FloatBuffer(rows * shape.hidden)
    normed = FloatBuffer(rows * shape.hidden)
    delta = FloatBuffer(rows * shape.hidden)
    queries = FloatBuffer(rows * shape.heads * shape.headDim)
    keys = FloatBuffer(rows * shape.kvHeads * shape.headDim)
    values = FloatBuffer(rows * shape.kvHeads * shape.headDim)
    attention = FloatBuffer(rows * shape.heads * shape.headDim)
    gateUp = FloatBuffer(rows * 2 * shape.intermediate)
    activated = FloatBuffer(rows * shape.intermediate)
    decisions = FloatBuffer(rows * shape.kvHeads)
    cosines = FloatBuffer(rows * shape.headDim / 2)
    sines = FloatBuffer(rows * shape.headDim / 2)
    logits = FloatBuffer(batch * shape.vocabulary)
    // Decisions of all rows come from vector products: the adapter's, or those of borrowed channels apart from blocks.
    let decidesApart = shape.dms.map { $0.separateAlpha || blocks } ?? false
    splitStride = max(batch * widest, decidesApart ? rows * shape.hidden : 0)
    split = FloatBuffer(3 * splitStride)
    blockVectors = BlockVectors(vectors: blocks ? rows : 0, columns: widest)
    scratchStride = max(
      MatrixProduct.tile * widest, PrefillAttention.scratchCount(group: group, headDim: shape.headDim),
      DecodeAttention.scratchCount(group: group, headDim: shape.headDim))
    scratch = FloatBuffer(workers * scratchStride)
    admission = Admission(kvHeads: shape.kvHeads, capacity: rows)
    spans = .allocate(capacity: batch * shape.kvHeads)
  }

  /// Makes room for the pieces of `heads` heads of up to `slots` slots. Grows by half at least, so rarely.
  func reservePartials(heads: Int, slots: Int, group: Int, headDim: Int) {
    let count = heads * DecodeAttention.partialCount(slots: slots, group: group, headDim: headDim)
    if count > partials.count { partials = FloatBuffer(max(count, partials.count / 2 * 3)) }
  }

  deinit { spans.deallocate() }
}
