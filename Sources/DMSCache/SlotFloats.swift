// Floats that a policy keeps with slots and pages: positions, attention sums, the bounds of keys. The store keeps them, moves
// them with their tokens, forks and counts them, and does not know what they mean. Those of a head lie field by field, so that
// a field is one run of memory.

import DMSPlatform

/// A float that a policy keeps with every slot.
package struct SlotField: Sendable, Equatable {
  let index: Int

  init(_ index: Int) { self.index = index }

  /// The position of the slot's token, where a policy asks for any floats at all. Exact up to 2^24.
  static let position = SlotField(0)
}

final class SlotFloats {
  /// Floats of a slot, and of a page.
  let perSlot: Int
  let perPage: Int
  private let heads: Int
  private let capacity: Int
  private let pagesPerHead: Int
  private let slots: LazyTable<Float>  // [heads, perSlot, capacity]
  private let pages: LazyTable<Float>  // [heads, pagesPerHead, perPage]

  /// Positions beyond this have no float of their own.
  private static let mostPositions = 1 << 24

  /// - Throws: `InputError` for a context with positions that have no float of their own.
  static func requirePositions(_ capacity: Int, for policy: String) throws {
    guard capacity <= mostPositions else {
      throw InputError("\(policy) counts positions up to \(mostPositions)", remedy: "use a smaller --context")
    }
  }

  init(_ needs: PolicyNeeds, heads: Int, capacity: Int, pagesPerHead: Int) throws {
    (perSlot, perPage) = (needs.slotFloats, needs.pageFloats)
    (self.heads, self.capacity, self.pagesPerHead) = (heads, capacity, pagesPerHead)
    slots = try LazyTable(heads * perSlot * capacity)
    pages = try LazyTable(heads * perPage * pagesPerHead)
  }

  /// A field of all slots of a head, `[slots]`.
  func field(_ field: SlotField, head: Int) -> UnsafeMutablePointer<Float> {
    slots.base + (head * perSlot + field.index) * capacity
  }

  /// The floats of a page, `[perPage]`; those of the next page follow.
  func page(_ page: Int, head: Int) -> UnsafeMutablePointer<Float> {
    pages.base + (head * pagesPerHead + page) * perPage
  }

  /// A token moves from one slot to another.
  func move(head: Int, from slot: Int, to place: Int) {
    for index in 0..<perSlot {
      let field = field(SlotField(index), head: head)
      field[place] = field[slot]
    }
  }

  /// Takes over what another one has for `slots` slots and `pages` pages of a head.
  func update(from other: SlotFloats, head: Int, slots: Int, pages: Int) {
    for index in 0..<perSlot {
      field(SlotField(index), head: head).update(from: other.field(SlotField(index), head: head), count: slots)
    }
    page(0, head: head).update(from: other.page(0, head: head), count: pages * perPage)
  }

  /// What is kept for so many slots and pages of a head.
  func words(head: Int, slots: Int, pages: Int) -> [UInt32] {
    var words: [UInt32] = []
    for index in 0..<perSlot {
      words += UnsafeBufferPointer(start: field(SlotField(index), head: head), count: slots).map(\.bitPattern)
    }
    return words + UnsafeBufferPointer(start: page(0, head: head), count: pages * perPage).map(\.bitPattern)
  }

  /// Takes over what `words` gave.
  ///
  /// - Returns: whether they can be believed: all are finite, and the positions are some that were seen.
  func restore(_ words: ArraySlice<UInt32>, head: Int, slots: Int, pages: Int, tokensSeen: Int) -> Bool {
    guard words.count == slots * perSlot + pages * perPage else { return false }
    for (place, word) in words.enumerated() {
      let float = Float(bitPattern: word)
      guard float.isFinite else { return false }
      if place < slots * perSlot {
        field(SlotField(place / max(1, slots)), head: head)[place % max(1, slots)] = float
      } else {
        page(0, head: head)[place - slots * perSlot] = float
      }
    }
    guard perSlot > 0 else { return true }
    let positions = field(.position, head: head)
    return (0..<slots).allSatisfy { slot in
      positions[slot] >= 0 && positions[slot] < Float(tokensSeen) && positions[slot].rounded() == positions[slot]
    }
  }

  /// Bytes for so many slots and pages.
  func bytes(slots: Int, pages: Int) -> Int { (slots * perSlot + pages * perPage) * MemoryLayout<Float>.stride }
}
