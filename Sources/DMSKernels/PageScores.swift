// How much a query may find in a page, without reading its keys: from the least and the largest number of each channel over the
// page's keys follows the most that any of them can score (Quest, Tang et al., arXiv 2406.10774).
//
//   bound(q, page) = Σ_c max(q_c · min_c, q_c · max_c) = Σ_c (q_c⁺ · max_c + q_c⁻ · min_c)
//   out[page] = max over the group's query heads of it
//
// G KV heads · R query heads of a KV head · D head dim · P pages

import DMSPlatform

/// For each page of a layer's heads the most that one of a group's queries can score in it. One task per KV head. Cost: 2 · R · P · D
/// multiplications.
public struct PageScores: ParallelWork {
  /// A head's pages.
  public struct Head {
    let bounds: UnsafePointer<Float>
    let pages: Int

    /// - Parameter bounds: `[P, 2, D]`: the least numbers of a page, then the largest.
    public init(bounds: UnsafePointer<Float>, pages: Int) {
      self.bounds = bounds
      self.pages = pages
    }
  }

  let heads: UnsafePointer<Head>
  let queries: UnsafePointer<Float>
  let output: UnsafeMutablePointer<Float>
  let stride: Int
  let group: Int
  let headDim: Int

  /// Prepares the scores of a layer.
  ///
  /// - Parameters:
  ///   - heads: `[G]`.
  ///   - queries: `[G, R, D]`, after RoPE.
  ///   - output: a row for each head, `stride` numbers apart.
  public init(
    heads: UnsafePointer<Head>, queries: UnsafePointer<Float>, output: UnsafeMutablePointer<Float>, stride: Int,
    shape: (group: Int, headDim: Int)
  ) {
    self.heads = heads
    self.queries = queries
    self.output = output
    self.stride = stride
    (group, headDim) = shape
  }

  /// Scores a head's pages.
  public func run(task kvHead: Int, worker: Int) {
    let head = heads[kvHead]
    let out = output + kvHead * stride
    for page in 0..<head.pages {
      let least = head.bounds + page * 2 * headDim
      var best = -Float.infinity
      for member in 0..<group {
        best = max(best, bound(queries + (kvHead * group + member) * headDim, least, least + headDim))
      }
      out[page] = best
    }
  }

  private func bound(
    _ query: UnsafePointer<Float>, _ least: UnsafePointer<Float>, _ largest: UnsafePointer<Float>
  ) -> Float {
    var sums = SIMD16<Float>()
    var channel = 0
    while channel + 16 <= headDim {
      let q = UnsafeRawPointer(query + channel).loadUnaligned(as: SIMD16<Float>.self)
      let low = UnsafeRawPointer(least + channel).loadUnaligned(as: SIMD16<Float>.self)
      let high = UnsafeRawPointer(largest + channel).loadUnaligned(as: SIMD16<Float>.self)
      sums += q * high.replacing(with: low, where: q .< 0)
      channel += 16
    }
    var sum: Float = 0
    for lane in 0..<16 { sum += sums[lane] }
    while channel < headDim {
      sum += query[channel] * (query[channel] < 0 ? least[channel] : largest[channel])
      channel += 1
    }
    return sum
  }
}
