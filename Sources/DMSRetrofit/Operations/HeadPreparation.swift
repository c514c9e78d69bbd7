// From projections to what attention takes: query and key norms, the borrowed channels, RoPE.
//
// N rows · H query heads · G KV heads · R = H / G · D head dim · P = (H + 2G) D, a row of [queries | keys | values]
//
// The borrowed neuron (DMS, section 3.1): the last channel of the first query head of each group, after its norm, is read as
// `a` and then zero for attention, before RoPE and after it. Backward, what is zeroed passes no gradient, and da takes the
// place of the channel's. RoPE turns by the angle, its backward by the angle's opposite.

import DMSPlatform

struct HeadPreparation {
  let heads: Int
  let kvHeads: Int
  let headDim: Int
  let queryNorm: RMSNorm?
  let keyNorm: RMSNorm?
  /// By position within a document, `[positions, D / 2]`.
  let cosines: UnsafePointer<Float>
  let sines: UnsafePointer<Float>
  /// What becomes of the borrowed channels.
  let borrowed: Borrowed
  /// Whether the layer has RoPE.
  var rotates = true

  enum Borrowed { case untouched, zeroed, zeroedAndRead }

  private var group: Int { heads / kvHeads }
  private var width: Int { (heads + 2 * kvHeads) * headDim }
  private var zeroes: Bool { borrowed != .untouched }

  /// - Parameters:
  ///   - projected: `[N, P]`.
  ///   - queries: `[G, N, R, D]`.
  ///   - keys: `[G, N, D]`.
  ///   - scales: `[N, H + G]`, the norms' s.
  ///   - decisions: `[N, G]`, receives a, if it is read.
  func forward(
    _ projected: UnsafePointer<Float>, positions: [Int32], queries: Floats, keys: Floats, scales: Floats,
    decisions: Floats, _ pool: ThreadPool
  ) {
    let rows = positions.count
    pool.forPieces(of: rows, size: PartialSums.rowsPerPart) { _, part in
      for row in part {
        let source = projected + row * width
        for head in 0..<heads + kvHeads {
          let out = place(head, row, rows, queries, keys)
          let scale = scales + row * (heads + kvHeads) + head
          if let norm = head < heads ? queryNorm : keyNorm {
            scale.pointee = norm.forward(source + head * headDim, to: out)
          } else {
            out.update(from: source + head * headDim, count: headDim)
          }
          let borrows = zeroes && head < heads && head % group == 0
          if borrows {
            if borrowed == .zeroedAndRead { decisions[row * kvHeads + head / group] = out[headDim - 1] }
            out[headDim - 1] = 0
          }
          if rotates { turn(out, Int(positions[row]), direction: 1) }
          if borrows { out[headDim - 1] = 0 }
        }
      }
    }
  }

  /// - Parameters:
  ///   - dQueries, dKeys: as `queries` and `keys`; overwritten.
  ///   - dDecisions: `[N, G]`, da.
  ///   - dProjected: its queries and keys are replaced.
  ///   - partials: `[parts, 2 D]`.
  func backward(
    _ projected: UnsafePointer<Float>, positions: [Int32], scales: UnsafePointer<Float>, dQueries: Floats,
    dKeys: Floats,
    dDecisions: UnsafePointer<Float>, to dProjected: Floats, queryGain: [GradientRun], keyGain: [GradientRun],
    partials: Floats, _ pool: ThreadPool
  ) {
    let rows = positions.count
    let sums = PartialSums(parts: partials, size: 2 * headDim)
    pool.forPieces(of: rows, size: PartialSums.rowsPerPart) { part, rowsOfPart in
      let dGains = sums.start(part)
      for row in rowsOfPart {
        let (source, out) = (projected + row * width, dProjected + row * width)
        for head in 0..<heads + kvHeads {
          let gradient = place(head, row, rows, dQueries, dKeys)
          let borrows = zeroes && head < heads && head % group == 0
          if borrows { gradient[headDim - 1] = 0 }
          if rotates { turn(gradient, Int(positions[row]), direction: -1) }
          if borrows {
            gradient[headDim - 1] = borrowed == .zeroedAndRead ? dDecisions[row * kvHeads + head / group] : 0
          }
          let target = out + head * headDim
          if let norm = head < heads ? queryNorm : keyNorm {
            norm.backward(
              gradient, source + head * headDim, scale: scales[row * (heads + kvHeads) + head], to: target,
              accumulating: false, dGains + (head < heads ? 0 : headDim))
          } else {
            target.update(from: gradient, count: headDim)
          }
        }
      }
    }
    for run in queryGain { sums.add(run.first..<run.first + run.count, rows: rows, to: run.gradient) }
    for run in keyGain {
      sums.add(headDim + run.first..<headDim + run.first + run.count, rows: rows, to: run.gradient)
    }
  }

  @inline(__always)
  private func place(_ head: Int, _ row: Int, _ rows: Int, _ queries: Floats, _ keys: Floats) -> Floats {
    head < heads
      ? queries + ((head / group * rows + row) * group + head % group) * headDim
      : keys + ((head - heads) * rows + row) * headDim
  }

  @inline(__always)
  private func turn(_ low: Floats, _ position: Int, direction: Float) {
    let half = headDim / 2
    let (high, cosine, sine) = (low + half, cosines + position * half, sines + position * half)
    for channel in 0..<half {
      let (x, y, s) = (low[channel], high[channel], sine[channel] * direction)
      low[channel] = x * cosine[channel] - y * s
      high[channel] = y * cosine[channel] + x * s
    }
  }
}
