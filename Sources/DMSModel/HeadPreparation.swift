// From projections to what attention takes: query and key norms, the eviction decision, RoPE. One task per row.
//
// H query heads · G KV heads · R = H / G · D head dim

import DMSCheckpoint
import DMSKernels
import DMSPlatform

/// The borrowed neuron (DMS, section 3.1): the last channel of the first query head of each group is the decision, read
/// after the projection and its norm and before RoPE; for attention it is zero, before RoPE and, since RoPE rotates its
/// partner into it, after RoPE again.
struct HeadPreparation: ParallelWork {
  let shape: (heads: Int, kvHeads: Int, headDim: Int)
  let epsilon: Float
  let queryNorm: UnsafePointer<Float>?
  let keyNorm: UnsafePointer<Float>?
  let queries: UnsafeMutablePointer<Float>  // [rows, H, D]
  let keys: UnsafeMutablePointer<Float>  // [rows, G, D]
  let values: UnsafePointer<Float>  // [rows, G, D], only looked at
  let cosines: UnsafePointer<Float>  // [rows, D / 2]
  let sines: UnsafePointer<Float>  // [rows, D / 2]
  let rotates: Bool
  let dms: DMSSettings?
  /// Whether the borrowed channels were computed apart, and wait in `decisions`.
  let borrowsApart: Bool
  /// `[rows, G]`: the adapter's projection, or the borrowed channels, on entry; the decision logits on return.
  let decisions: UnsafeMutablePointer<Float>
  let faults: RowFaults.Stage

  func run(task row: Int, worker: Int) {
    let (heads, kvHeads, dim) = shape
    let query = queries + row * heads * dim
    let key = keys + row * kvHeads * dim
    if borrowsApart {
      for kvHead in 0..<kvHeads { query[borrowedChannel(kvHead)] = decisions[row * kvHeads + kvHead] }
    }
    if let queryNorm {
      rmsNorm(query, count: heads, size: dim, stride: dim, gain: queryNorm, epsilon: epsilon, output: query)
    }
    if let keyNorm {
      rmsNorm(key, count: kvHeads, size: dim, stride: dim, gain: keyNorm, epsilon: epsilon, output: key)
    }
    if let dms {
      decide(dms, query, decisions + row * kvHeads)
      // A borrowed channel is zero from here on: what was wrong with it shows nowhere else.
      faults.check(decisions + row * kvHeads, kvHeads, row: row)
    }
    if rotates {
      let (cosine, sine) = (cosines + row * dim / 2, sines + row * dim / 2)
      rotate(query, heads: heads, headDim: dim, cosines: cosine, sines: sine)
      rotate(key, heads: kvHeads, headDim: dim, cosines: cosine, sines: sine)
    }
    if let dms, !dms.separateAlpha, dms.zeroAfterRope { zeroBorrowed(query) }
    // Before the cache rounds them: in 8 bits NaN would be a number.
    faults.check(query, heads * dim, row: row)
    faults.check(key, kvHeads * dim, row: row)
    faults.check(values + row * kvHeads * dim, kvHeads * dim, row: row)
  }

  private func decide(_ dms: DMSSettings, _ query: UnsafeMutablePointer<Float>, _ logits: UnsafeMutablePointer<Float>) {
    for kvHead in 0..<shape.kvHeads {
      let a = dms.separateAlpha ? logits[kvHead] : query[borrowedChannel(kvHead)]
      logits[kvHead] = a * dms.alphaScale - dms.alphaOffset
    }
    if dms.alphaPer == .layer {
      for kvHead in 1..<max(1, shape.kvHeads) where kvHead < shape.kvHeads { logits[kvHead] = logits[0] }
    }
    if !dms.separateAlpha { zeroBorrowed(query) }
  }

  private func zeroBorrowed(_ query: UnsafeMutablePointer<Float>) {
    for kvHead in 0..<shape.kvHeads { query[borrowedChannel(kvHead)] = 0 }
  }

  private func borrowedChannel(_ kvHead: Int) -> Int {
    BorrowedNeuron.channel(of: kvHead, heads: shape.heads, kvHeads: shape.kvHeads, headDim: shape.headDim)
  }
}

enum BorrowedNeuron {
  /// The place of a KV head's decision among the channels of all query heads.
  static func channel(of kvHead: Int, heads: Int, kvHeads: Int, headDim: Int) -> Int {
    kvHead * (heads / kvHeads) * headDim + headDim - 1
  }
}

extension ModelConfiguration {
  /// The row of the query projection that a KV head borrows.
  package func borrowedChannel(_ kvHead: Int) -> Int {
    BorrowedNeuron.channel(of: kvHead, heads: heads, kvHeads: kvHeads, headDim: headDim)
  }
}
