// What a policy sees after attention, and what it can do then: look at the live tokens of a layer, ask for attention weights,
// keep floats with slots, give slots up.
//
// T tokens of the call · G KV heads · R query heads of a KV head · H = G · R · D head dim

import DMSKernels
import DMSPlatform
import DMSTensor

/// A layer of a call after attention: its tokens are stored.
package struct SettledCall {
  let layer: Int
  let tokens: Int
  /// The position of the call's first token.
  let position: Int
  /// `[T, H, D]`, after RoPE.
  let queries: UnsafePointer<Float>
  /// Whether the tokens are a prompt's.
  let isPrompt: Bool
  let shape: CacheShape
  let store: SlotStore
  let scratch: PolicyScratch

  /// The position of the call's last token.
  var last: Int { position + tokens - 1 }
  var kvHeads: Int { shape.kvHeads }

  /// The number of a head among those of all layers.
  func head(_ kvHead: Int) -> Int { layer * kvHeads + kvHead }

  /// Slots that a head holds.
  func live(_ kvHead: Int) -> Int { store.slots[head(kvHead)] }

  /// A field of a head's slots, `[live]`.
  func field(_ field: SlotField, _ kvHead: Int) -> UnsafeMutablePointer<Float> {
    guard let floats = store.floats else { preconditionFailure("a policy asks for the floats that it keeps") }
    return floats.field(field, head: head(kvHead))
  }

  /// Notes the positions of the call's tokens in their slots, which are the last ones of every head.
  func notePositions() {
    for kvHead in 0..<kvHeads {
      let (field, first) = (field(.position, kvHead), live(kvHead) - tokens)
      for token in 0..<tokens { field[first + token] = Float(position + token) }
    }
  }

  /// The weights that the call's last queries give to the live slots of every head.
  ///
  /// - Returns: as `attention(of:count:_:)`.
  func attention(ofLast count: Int, _ reduction: AttentionWeights.Reduction) -> WeightRows {
    let width = shape.kvHeads * shape.group * shape.headDim
    return attention(of: queries + (tokens - count) * width, count: count, reduction)
  }

  /// The weights that the sequence's last queries give to the live slots of every head, by a kernel of its own.
  ///
  /// - Parameter queries: `[count, H, D]`, up to this call's last one.
  /// - Returns: for each head a row of `live` numbers; valid until the next use of the scratch memory.
  func attention(
    of queries: UnsafePointer<Float>, count: Int, _ reduction: AttentionWeights.Reduction
  ) -> WeightRows {
    var longest = 0
    for kvHead in 0..<kvHeads { longest = max(longest, live(kvHead)) }
    let need = AttentionWeights.scratchCount(slots: longest, group: shape.group, headDim: shape.headDim)
    let rows = scratch.prepare(heads: kvHeads, stride: AttentionWeights.padded(longest), perWorker: need)
    for kvHead in 0..<kvHeads {
      (scratch.spans + kvHead).initialize(to: store.span(head: head(kvHead), slots: live(kvHead)))
    }
    let positions = field(.position, 0)
    let work = AttentionWeights(
      of: .init(queries, count: count, last: last), spans: scratch.spans,
      positions: .init(positions, stride: kvHeads > 1 ? field(.position, 1) - positions : 0), reduction: reduction,
      output: .init(rows.base, stride: rows.stride), heads: (kvHeads, shape.group),
      scratch: .init(scratch.working.base, stride: need), instructions: scratch.machine.instructions)
    scratch.machine.pool.run(tasks: work.tasks, work)
    return rows
  }

  /// Gives up the marked slots of a head.
  ///
  /// - Parameter marks: for each of its slots.
  func release(_ kvHead: Int, _ marks: [Bool]) throws {
    let head = head(kvHead)
    // From the last one down: what moves into a hole is known to stay.
    for slot in marks.indices.reversed() where marks[slot] { try store.release(head: head, slot: slot) }
  }
}

/// For each KV head a row of numbers by slot.
struct WeightRows {
  let base: UnsafeMutablePointer<Float>
  let stride: Int

  subscript(kvHead: Int) -> UnsafeMutablePointer<Float> { base + kvHead * stride }
}

/// Memory that the policies of an engine work in, one after another; it grows with the longest head.
package final class PolicyScratch {
  let machine: (pool: ThreadPool, instructions: InstructionSet)
  fileprivate let spans: UnsafeMutablePointer<KVSpan>  // [G]
  fileprivate private(set) var working = FloatBuffer(0)  // [workers, …]
  private var weights = FloatBuffer(0)  // [G, stride]

  package init(pool: ThreadPool, instructions: InstructionSet, kvHeads: Int) {
    machine = (pool, instructions)
    spans = .allocate(capacity: kvHeads)
  }

  deinit { spans.deallocate() }

  func prepare(heads: Int, stride: Int, perWorker: Int) -> WeightRows {
    // By half at least, so rarely.
    if heads * stride > weights.count { weights = FloatBuffer(max(heads * stride, weights.count / 2 * 3)) }
    let count = machine.pool.count * perWorker
    if count > working.count { working = FloatBuffer(max(count, working.count / 2 * 3)) }
    return WeightRows(base: weights.base, stride: stride)
  }
}
