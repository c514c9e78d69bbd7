// The merges of a byte-pair encoding: which two tokens become which, and how early.

struct MergeTable: Sendable {
  struct Merge {
    /// Lower comes first.
    var rank: UInt32
    var result: UInt32
  }

  /// Open addressing: the pair plus one, so that 0 is empty, and the merge.
  private var keys: [UInt64]
  private var merges: [Merge]
  private var count = 0
  private let seed = UInt64.random(in: .min ... .max)

  init(expecting expected: Int) {
    var size = 64
    while size < 2 * expected { size *= 2 }
    keys = Array(repeating: 0, count: size)
    merges = Array(repeating: Merge(rank: 0, result: 0), count: size)
  }

  private func key(_ left: Int, _ right: Int) -> UInt64 { (UInt64(left) << 32 | UInt64(right)) &+ 1 }

  /// A pair that is there already keeps its later rank, as in the reference implementation.
  mutating func insert(_ left: Int, _ right: Int, _ merge: Merge) {
    if 2 * (count + 1) > keys.count { grow() }
    let key = key(left, right)
    let place = find(key)
    if keys[place] == 0 { count += 1 }
    keys[place] = key
    merges[place] = merge
  }

  private mutating func grow() {
    let (oldKeys, oldMerges) = (keys, merges)
    keys = Array(repeating: 0, count: 2 * oldKeys.count)
    merges = Array(repeating: Merge(rank: 0, result: 0), count: 2 * oldKeys.count)
    for (key, merge) in zip(oldKeys, oldMerges) where key != 0 {
      let place = find(key)
      keys[place] = key
      merges[place] = merge
    }
  }

  @inline(__always)
  private func find(_ key: UInt64) -> Int {
    var place = Int(truncatingIfNeeded: mix(key ^ seed) >> 1) & (keys.count - 1)
    while keys[place] != 0, keys[place] != key { place = (place + 1) & (keys.count - 1) }
    return place
  }

  @inline(__always)
  subscript(left: Int, right: Int) -> Merge? {
    let place = find(key(left, right))
    return keys[place] == 0 ? nil : merges[place]
  }
}

/// Merges a word's symbols until none fits any more: always the earliest merge, of equal ones the leftmost.
/// Cost: n log n for n symbols, so that a word of a million letters is no trap.
struct SymbolMerger {
  private struct Symbol {
    var id: Int
    var previous: Int
    var next: Int
  }

  private struct Candidate: Comparable {
    var rank: UInt32
    var place: Int
    var left: Int
    var right: Int

    static func < (a: Candidate, b: Candidate) -> Bool { (a.rank, a.place) < (b.rank, b.place) }
  }

  private var symbols: [Symbol] = []
  private var heap: [Candidate] = []

  mutating func merge(_ ids: inout [Int], with table: borrowing MergeTable) {
    guard ids.count > 1 else { return }
    symbols.removeAll(keepingCapacity: true)
    heap.removeAll(keepingCapacity: true)
    for (place, id) in ids.enumerated() {
      symbols.append(Symbol(id: id, previous: place - 1, next: place + 1 < ids.count ? place + 1 : -1))
    }
    for place in 0..<ids.count - 1 { propose(place, table) }
    while let candidate = pop() {
      let place = candidate.place
      let next = symbols[place].next
      // A stale candidate: one of its symbols has been merged since.
      guard next >= 0, symbols[place].id == candidate.left, symbols[next].id == candidate.right,
        let merge = table[candidate.left, candidate.right]
      else { continue }
      symbols[place].id = Int(merge.result)
      symbols[place].next = symbols[next].next
      symbols[next].id = -1
      if symbols[place].next >= 0 { symbols[symbols[place].next].previous = place }
      if symbols[place].previous >= 0 { propose(symbols[place].previous, table) }
      propose(place, table)
    }
    ids.removeAll(keepingCapacity: true)
    var place = 0
    while place >= 0 {
      ids.append(symbols[place].id)
      place = symbols[place].next
    }
  }

  private mutating func propose(_ place: Int, _ table: borrowing MergeTable) {
    let next = symbols[place].next
    guard next >= 0, let merge = table[symbols[place].id, symbols[next].id] else { return }
    push(Candidate(rank: merge.rank, place: place, left: symbols[place].id, right: symbols[next].id))
  }

  private mutating func push(_ candidate: Candidate) {
    heap.append(candidate)
    var child = heap.count - 1
    while child > 0, heap[child] < heap[(child - 1) / 2] {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  private mutating func pop() -> Candidate? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    guard !heap.isEmpty else { return first }
    heap[0] = last
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < heap.count else { return first }
      if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
      guard heap[child] < heap[parent] else { return first }
      heap.swapAt(child, parent)
      parent = child
    }
  }
}
