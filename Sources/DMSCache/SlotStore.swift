// The KV store of one sequence: numbered slots in pages, per head, nothing about why a slot is written or given up. Where a slot
// is given up, the head's last one moves into the hole, so that live slots stay dense.
//
// A slot's number is its place in every sum; where its bytes are is the store's affair. Forks share pages by reference
// count. A slot whose page is shared is never written in place: it moves to a private overlay page and keeps its number,
// so a fork computes bit for bit what an unforked sequence would, and the rest of the page stays shared.

import DMSKernels
import DMSPlatform
import DMSTensor
import Glibc

final class SlotStore {
  let pool: KVPool
  /// Layers × KV heads; head `h` is KV head `h % kvHeads` of layer `h / kvHeads`.
  let heads: Int
  /// Slots that a head can have: the context.
  let capacity: Int
  /// Slots in use per head, numbered from 0.
  let slots: UnsafeMutablePointer<Int>
  private let pageCounts: UnsafeMutablePointer<Int>
  private let pagesPerHead: Int
  /// `[heads, pagesPerHead]` and `[heads, pagesPerHead · 16]`: reserved for the whole context, touched as it grows.
  private let pages: LazyTable<KVPage>
  private let redirects: LazyTable<KVSlot>
  private var overlays: [[Overlay]]
  /// What a policy keeps with slots and pages; `nil` for one that keeps nothing.
  let floats: SlotFloats?
  private let needs: PolicyNeeds
  /// Whether pages may be shared with another store, or may have been.
  private var hasForks = false

  /// A page of moved slots, filled from 0 up.
  private struct Overlay {
    var base: UnsafeMutableRawPointer
    var id: UInt32
    var used: UInt32
  }

  init(pool: KVPool, layers: Int, capacity: Int, needs: PolicyNeeds) throws {
    self.pool = pool
    self.needs = needs
    self.capacity = capacity
    heads = layers * pool.kvHeads
    pagesPerHead = (capacity + KVLayout.slotsPerPage - 1) / KVLayout.slotsPerPage
    pages = try LazyTable(heads * pagesPerHead)
    redirects = try LazyTable(heads * pagesPerHead * KVLayout.slotsPerPage)
    overlays = Array(repeating: [], count: heads)
    floats =
      needs.slotFloats + needs.pageFloats > 0
      ? try SlotFloats(needs, heads: heads, capacity: capacity, pagesPerHead: pagesPerHead) : nil
    slots = .allocate(capacity: heads)
    slots.initialize(repeating: 0, count: heads)
    pageCounts = .allocate(capacity: heads)
    pageCounts.initialize(repeating: 0, count: heads)
  }

  deinit {
    for head in 0..<heads {
      let arena = arena(head)
      for page in 0..<pageCounts[head] { arena.release(self.page(head, page).pointee.id) }
      for overlay in overlays[head] { arena.release(overlay.id) }
    }
    slots.deallocate()
    pageCounts.deallocate()
  }

  /// Another store with the same contents, sharing every page. Cost: a table entry per page.
  func fork() throws -> SlotStore {
    let other = try SlotStore(pool: pool, layers: heads / pool.kvHeads, capacity: capacity, needs: needs)
    other.slots.update(from: slots, count: heads)
    other.pageCounts.update(from: pageCounts, count: heads)
    other.overlays = overlays
    hasForks = true
    other.hasForks = true
    for head in 0..<heads {
      let arena = arena(head)
      for index in 0..<pageCounts[head] {
        let entry = page(head, index).pointee
        arena.retain(entry.id)
        other.page(head, index).initialize(to: entry)
        guard entry.redirected != 0 else { continue }
        let first = index * KVLayout.slotsPerPage
        other.redirect(head, first).update(from: redirect(head, first), count: KVLayout.slotsPerPage)
      }
      for overlay in overlays[head] { arena.retain(overlay.id) }
      if let floats {
        other.floats?.update(from: floats, head: head, slots: slots[head], pages: pageCounts[head])
      }
    }
    return other
  }

  /// The first `slots` slots of a head. Valid until the store changes.
  func span(head: Int, slots: Int) -> KVSpan {
    KVSpan(layout: pool.layout, pages: page(head, 0), redirects: redirect(head, 0), slots: slots)
  }

  /// Where slot `slot` of `head` is.
  func place(head: Int, slot: Int) -> KVSlot {
    let (index, place) = slot.quotientAndRemainder(dividingBy: KVLayout.slotsPerPage)
    let entry = page(head, index).pointee
    if entry.redirected & 1 << UInt16(place) != 0 { return redirect(head, slot).pointee }
    return KVSlot(base: entry.base, id: entry.id, index: UInt32(place))
  }

  /// Where slot `slot` of `head` may be written: at home if no other sequence shares the page, in an overlay otherwise.
  /// Takes pages as needed: one for each sixteen slots up to this one.
  func placeForWriting(head: Int, slot: Int) throws -> KVSlot {
    let arena = arena(head)
    let (index, place) = slot.quotientAndRemainder(dividingBy: KVLayout.slotsPerPage)
    let entry = page(head, index)
    while pageCounts[head] <= index {
      let id = try arena.allocate()
      page(head, pageCounts[head]).initialize(to: KVPage(base: arena.pointer(to: id), id: id))
      pageCounts[head] += 1
    }
    let bit: UInt16 = 1 << UInt16(place)
    if !arena.isShared(entry.pointee.id) {
      entry.pointee.redirected &= ~bit
      return KVSlot(base: entry.pointee.base, id: entry.pointee.id, index: UInt32(place))
    }
    let moved = redirect(head, slot)
    if entry.pointee.redirected & bit != 0, !arena.isShared(moved.pointee.id) { return moved.pointee }
    moved.initialize(to: try overlaySlot(head, arena))
    entry.pointee.redirected |= bit
    return moved.pointee
  }

  /// Gives a slot up: the head's last one moves into the hole with its floats, and a page that this empties goes back. What is
  /// reserved before a call is enough for all that it gives up.
  ///
  /// - Returns: the number of the slot that moved; `nil` if the last one was given up itself.
  @discardableResult
  func release(head: Int, slot: Int) throws -> Int? {
    let last = slots[head] - 1
    precondition((0...last).contains(slot), "a live slot is given up")
    if slot < last {
      let source = place(head: head, slot: last)
      let hole = try placeForWriting(head: head, slot: slot)
      pool.layout.copy(from: source.base, index: Int(source.index), to: hole.base, index: Int(hole.index))
      floats?.move(head: head, from: last, to: slot)
    }
    slots[head] = last
    let needed = (last + KVLayout.slotsPerPage - 1) / KVLayout.slotsPerPage
    while pageCounts[head] > needed {
      pageCounts[head] -= 1
      arena(head).release(page(head, pageCounts[head]).pointee.id)
    }
    return slot < last ? last : nil
  }

  /// The most pages that `tokens` more tokens of a head can take: homes of their own, or, while pages are shared, overlays; and
  /// for a policy that gives slots up, overlays for all that may move into holes.
  func pagesNeeded(head: Int, tokens: Int) -> Int {
    let size = KVLayout.slotsPerPage
    let homes = max(0, (slots[head] + tokens + size - 1) / size - pageCounts[head])
    guard hasForks else { return homes }
    let moves = needs.sees.contains(.stored) ? slots[head] : 0
    return homes + (tokens + moves + size - 1) / size + 1
  }

  private func overlaySlot(_ head: Int, _ arena: PageArena) throws -> KVSlot {
    if let last = overlays[head].indices.last {
      let overlay = overlays[head][last]
      if overlay.used < UInt32(KVLayout.slotsPerPage), !arena.isShared(overlay.id) {
        overlays[head][last].used += 1
        return KVSlot(base: overlay.base, id: overlay.id, index: overlay.used)
      }
    }
    let id = try arena.allocate()
    let base = arena.pointer(to: id)
    overlays[head].append(Overlay(base: base, id: id, used: 1))
    return KVSlot(base: base, id: id, index: 0)
  }

  /// Brings moved slots home where the page is no longer shared, and gives back the overlay pages that this empties.
  /// Worth a call when other forks have been dropped. Cost: one copy per moved slot.
  func consolidate() {
    for head in 0..<heads where !overlays[head].isEmpty {
      let arena = arena(head)
      var used: Set<UInt32> = []
      for index in 0..<pageCounts[head] {
        let entry = page(head, index)
        let home = !arena.isShared(entry.pointee.id)
        for place in 0..<KVLayout.slotsPerPage where entry.pointee.redirected & 1 << UInt16(place) != 0 {
          let moved = redirect(head, index * KVLayout.slotsPerPage + place).pointee
          if home {
            pool.layout.copy(from: moved.base, index: Int(moved.index), to: entry.pointee.base, index: place)
          } else {
            used.insert(moved.id)
          }
        }
        if home { entry.pointee.redirected = 0 }
      }
      for overlay in overlays[head] where !used.contains(overlay.id) { arena.release(overlay.id) }
      overlays[head].removeAll { !used.contains($0.id) }
    }
  }

  /// Pages that this sequence refers to, shared ones included.
  var referencedPages: Int {
    (0..<heads).reduce(0) { $0 + pageCounts[$1] + overlays[$1].count }
  }

  /// Pages that no other sequence refers to.
  var privatePages: Int {
    var count = 0
    for head in 0..<heads {
      let arena = arena(head)
      for index in 0..<pageCounts[head] where !arena.isShared(page(head, index).pointee.id) { count += 1 }
      for overlay in overlays[head] where !arena.isShared(overlay.id) { count += 1 }
    }
    return count
  }

  /// Slots whose bytes lie in pages that no other sequence refers to.
  var privateSlots: Int {
    var count = 0
    for head in 0..<heads {
      let arena = arena(head)
      for slot in 0..<slots[head] where !arena.isShared(place(head: head, slot: slot).id) { count += 1 }
    }
    return count
  }

  /// Bytes of the tables that are in use.
  var tableBytes: Int {
    var bytes = 0
    for head in 0..<heads {
      bytes += pageCounts[head] * MemoryLayout<KVPage>.stride
      for index in 0..<pageCounts[head] where page(head, index).pointee.redirected != 0 {
        bytes += KVLayout.slotsPerPage * MemoryLayout<KVSlot>.stride
      }
      bytes += floats?.bytes(slots: slots[head], pages: pageCounts[head]) ?? 0
    }
    return bytes
  }

  /// All floats in use, head by head.
  var floatWords: [UInt32] {
    guard let floats else { return [] }
    return (0..<heads).flatMap { floats.words(head: $0, slots: slots[$0], pages: pageCounts[$0]) }
  }

  /// How many `floatWords` there are.
  var floatCount: Int {
    guard let floats else { return 0 }
    return (0..<heads).reduce(0) {
      $0 + floats.bytes(slots: slots[$1], pages: pageCounts[$1]) / MemoryLayout<Float>.stride
    }
  }

  /// Takes over what `floatWords` gave, once the slots are there.
  /// - Returns: whether they can be believed.
  func restore(floatWords words: ArraySlice<UInt32>, tokensSeen: Int) -> Bool {
    guard let floats else { return words.isEmpty }
    guard words.count == floatCount else { return false }
    var first = words.startIndex
    for head in 0..<heads {
      let count = floats.bytes(slots: slots[head], pages: pageCounts[head]) / MemoryLayout<Float>.stride
      let isGood = floats.restore(
        words[first..<first + count], head: head, slots: slots[head], pages: pageCounts[head], tokensSeen: tokensSeen)
      guard isGood else { return false }
      first += count
    }
    return true
  }

  private func arena(_ head: Int) -> PageArena { pool.arena(kvHead: head % pool.kvHeads) }

  private func page(_ head: Int, _ index: Int) -> UnsafeMutablePointer<KVPage> {
    pages.base + head * pagesPerHead + index
  }

  private func redirect(_ head: Int, _ slot: Int) -> UnsafeMutablePointer<KVSlot> {
    redirects.base + head * pagesPerHead * KVLayout.slotsPerPage + slot
  }
}
