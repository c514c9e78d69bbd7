// From decision numbers to what attention sees of each key (DMS, section 3.2): a relaxed decision that can be trained, or a
// hard one.
//
// N rows · G KV heads · w window
//
//   logit = a · scale − offset        z = (logit + noise) / τ, noise logistic        p = σ(z)        d = 1[p > ½]
//
// d at t + 1 decides about key t. Beyond the window the key's scores get bias = log(1 − p) = logsigmoid(−z), or −∞ where a
// hard decision evicts it. The share of d is pushed to a target, with the straight-through gradient p (1 − p).
//
//   dz[t + 1] = −p · dbias[t] + p (1 − p) · dshare        da = dz · scale / τ

import DMSPlatform
import Glibc

struct EvictionDecision {
  let kvHeads: Int
  let scale: Float
  let offset: Float
  let tau: Float
  /// KV head 0 decides for all.
  let perLayer: Bool
  let isHard: Bool
  /// Which row's decision is about row n: n + shift.
  let shift: Int

  /// - Parameters:
  ///   - a: `[N, G]`; becomes z.
  ///   - noise: for a row and a KV head; not asked for if decisions are hard.
  ///   - bias: `[G, N]`.
  ///   - evicted: for each sequence, receives how many d are 1.
  func forward(
    _ a: Floats, batch: TokenBatch, noise: (_ row: Int, _ kvHead: Int) -> Float, bias: Floats, evicted: inout [Int],
    _ pool: ThreadPool
  ) {
    let rows = batch.rows
    pool.forPieces(of: rows, size: 64) { _, rows in
      for row in rows {
        let z = a + row * kvHeads
        if perLayer { for kvHead in 1..<max(1, kvHeads) { z[kvHead] = z[0] } }
        for kvHead in 0..<kvHeads {
          let logit = z[kvHead] * scale - offset
          z[kvHead] = isHard ? logit : (logit + noise(row, kvHead)) / tau
        }
      }
    }
    pool.forEach(batch.documents.count) { document, _ in
      let range = batch.documents[document]
      for kvHead in 0..<kvHeads {
        for row in range {
          // The last tokens of a document are not decided about.
          let z = row + shift < range.upperBound ? a[(row + shift) * kvHeads + kvHead] : -.infinity
          bias[kvHead * rows + row] = isHard ? (z > 0 ? -.infinity : 0) : -softplus(z)
        }
      }
    }
    evicted = batch.sequences.map { sequence in
      sequence.reduce(0) { sum, row in sum + (0..<kvHeads).count { a[row * kvHeads + $0] > 0 } }
    }
  }

  /// Replaces `z` by da.
  ///
  /// - Parameter dShare: for each sequence, the gradient of one decision through the share.
  func backward(
    _ z: Floats, batch: TokenBatch, dBias: UnsafePointer<Float>, dShare: [Float], _ pool: ThreadPool
  ) {
    let rows = batch.rows
    pool.forEach(batch.documents.count) { document, _ in
      let range = batch.documents[document]
      for row in range {
        let share = dShare[batch.sequenceOfRow(row)]
        let here = z + row * kvHeads
        var sum: Float = 0
        for kvHead in 0..<kvHeads {
          let p = 1 / (1 + exp(-here[kvHead]))
          let about = row - shift >= range.lowerBound ? dBias[kvHead * rows + row - shift] : 0
          let dz = p * (1 - p) * share - p * about
          here[kvHead] = dz * scale / tau
          sum += here[kvHead]
        }
        guard perLayer else { continue }
        for kvHead in 0..<kvHeads { here[kvHead] = kvHead == 0 ? sum : 0 }
      }
    }
  }
}

/// log(1 + e^z), for any z.
@inline(__always)
private func softplus(_ z: Float) -> Float { max(z, 0) + log1p(exp(-abs(z))) }
