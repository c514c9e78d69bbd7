// Quest (Tang et al., arXiv 2406.10774): nothing is dropped; each query reads the pages in which it may find most.
//
//   of each page of 16 keys the least and the largest number of every channel are kept
//   bound(q, page) = Σ_c max(q_c · min_c, q_c · max_c), of the group's query heads the largest
//   read: the newest page, and of the others those with the highest bounds, of equals the oldest, ⌊B / 16⌋ in all
//
// The prompt is read in full. The bounds count as bytes, and reading a page's bounds, which takes as long as a key and a value,
// counts as the reading of a token.

import DMSKernels

final class Quest: ReadSelection {
  /// A page.
  static let least = KVLayout.slotsPerPage

  private let cap: TokenCap
  private let headDim: Int
  var pageFloats: Int { 2 * headDim }

  /// - Parameter cap: tokens that a query reads.
  init(cap: TokenCap, headDim: Int) {
    self.cap = cap
    self.headDim = headDim
  }

  func note(_ tokens: Int, _ view: SelectionView) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: headDim) { key in
      guard let key = key.baseAddress else { return }
      for kvHead in 0..<view.shape.kvHeads {
        let live = view.slots(kvHead)
        for slot in live - tokens..<live {
          // As it was stored, so that what is rounded bounds what is rounded.
          view.store.pool.layout.loadKey(view.store.place(head: view.head(kvHead), slot: slot), to: key)
          let least = view.floats(kvHead, page: slot / KVLayout.slotsPerPage)
          let largest = least + headDim
          if slot % KVLayout.slotsPerPage == 0 {
            least.update(from: key, count: headDim)
            largest.update(from: key, count: headDim)
          } else {
            for channel in 0..<headDim {
              least[channel] = min(least[channel], key[channel])
              largest[channel] = max(largest[channel], key[channel])
            }
          }
        }
      }
    }
  }

  func choose(_ queries: UnsafePointer<Float>, _ view: SelectionView) -> [[Int]] {
    let bounds = view.pageScores(queries)
    return (0..<view.shape.kvHeads).map { kvHead in
      let (pages, slots) = (view.pages(kvHead), view.slots(kvHead))
      let count = max(1, cap.tokens(seen: slots, least: Self.least) / KVLayout.slotsPerPage)
      guard count < pages else { return Array(0..<pages) }
      let scores = bounds[kvHead]
      let others = (0..<pages - 1).sorted { (-scores[$0], $0) < (-scores[$1], $1) }.prefix(count - 1)
      return others.sorted() + [pages - 1]
    }
  }
}

extension SelectionView {
  /// The bounds of all pages of the layer's heads. Valid until the next use of the scratch memory.
  fileprivate func pageScores(_ queries: UnsafePointer<Float>) -> WeightRows {
    var longest = 0
    for kvHead in 0..<shape.kvHeads { longest = max(longest, pages(kvHead)) }
    let rows = scratch.prepare(heads: shape.kvHeads, stride: longest, perWorker: 0)
    let heads = (0..<shape.kvHeads).map { PageScores.Head(bounds: floats($0, page: 0), pages: pages($0)) }
    heads.withUnsafeBufferPointer { heads in
      guard let heads = heads.baseAddress else { return }
      let work = PageScores(
        heads: heads, queries: queries, output: rows.base, stride: rows.stride, shape: (shape.group, shape.headDim))
      scratch.machine.pool.run(tasks: shape.kvHeads, work)
    }
    return rows
  }
}
