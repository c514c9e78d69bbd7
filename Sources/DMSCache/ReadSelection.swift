// What a query reads of what stays: a question apart from what stays. A selection saves reads, not memory. The prompt is read in
// full; a decode step's queries are lent the pages that the selection chose, as if they were all.
//
// G KV heads · R query heads of a KV head · D head dim

import DMSKernels
import DMSPlatform
import DMSTensor

/// What chooses the pages that a query reads.
package protocol ReadSelection: AnyObject {
  /// Floats that the store keeps with each page.
  var pageFloats: Int { get }
  /// Tokens were stored in the last `tokens` slots of every head of a layer.
  func note(_ tokens: Int, _ view: SelectionView)
  /// Chooses pages for the queries `[G, R, D]` of a decode step.
  ///
  /// - Returns: by KV head the pages to read, in their order, the last one among them.
  func choose(_ queries: UnsafePointer<Float>, _ view: SelectionView) -> [[Int]]
}

/// A layer of the store, as a selection sees it.
package struct SelectionView {
  let layer: Int
  let shape: CacheShape
  let store: SlotStore
  let scratch: PolicyScratch

  /// The number of a head among those of all layers.
  func head(_ kvHead: Int) -> Int { layer * shape.kvHeads + kvHead }

  /// Slots that a head holds, and their pages.
  func slots(_ kvHead: Int) -> Int { store.slots[head(kvHead)] }
  func pages(_ kvHead: Int) -> Int { (slots(kvHead) + KVLayout.slotsPerPage - 1) / KVLayout.slotsPerPage }

  /// The floats of a head's page; those of the next page follow.
  func floats(_ kvHead: Int, page: Int) -> UnsafeMutablePointer<Float> {
    guard let floats = store.floats else { preconditionFailure("a selection asks for the floats that it keeps") }
    return floats.page(page, head: head(kvHead))
  }
}

/// Page tables of chosen pages, for the time of a decode step: of every sequence and head. They grow with the longest.
package final class ChosenPages {
  private let heads: Int
  private var pages = UnsafeMutablePointer<KVPage>.allocate(capacity: 0)
  private var redirects = UnsafeMutablePointer<KVSlot>.allocate(capacity: 0)
  private var capacity = 0

  /// - Parameter heads: KV heads of all sequences of a step.
  package init(heads: Int) { self.heads = heads }

  deinit {
    pages.deallocate()
    redirects.deallocate()
  }

  /// Makes room for `count` pages of each head; what was lent before is no longer valid.
  package func reserve(pages count: Int) {
    guard count > capacity else { return }
    pages.deallocate()
    redirects.deallocate()
    // By half at least, so rarely.
    capacity = max(count, capacity / 2 * 3)
    pages = .allocate(capacity: heads * capacity)
    redirects = .allocate(capacity: heads * capacity * KVLayout.slotsPerPage)
  }

  /// A span of some pages of another.
  ///
  /// - Parameter chosen: in their order, at most as many as were reserved for; the last page, which may be partly filled, last.
  func span(_ head: Int, _ chosen: [Int], of span: KVSpan) -> KVSpan {
    precondition(chosen.count <= capacity, "room is made before pages are chosen")
    let (size, first) = (KVLayout.slotsPerPage, head * capacity)
    for (place, page) in chosen.enumerated() {
      (pages + first + place).initialize(to: span.pages[page])
      guard span.pages[page].redirected != 0 else { continue }
      (redirects + (first + place) * size).update(from: span.redirects + page * size, count: size)
    }
    let slots = chosen.isEmpty ? 0 : (chosen.count - 1) * size + min(size, span.slots - (chosen.last ?? 0) * size)
    return KVSpan(layout: span.layout, pages: pages + first, redirects: redirects + first * size, slots: slots)
  }
}
