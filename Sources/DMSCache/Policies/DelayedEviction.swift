// DMS (Łańcucki et al., 2025, section 3): each head decides which tokens to forget, and forgets them w tokens later.
//
//   evict(i) = d[i + shift]          shift 1: the next token decides; shift 0: the token itself
//   key i is visible to query t  iff  i ≤ t and (t − i ≤ w or not evict(i))
//
// A ring per head holds the last w + 1 tokens: each one's slot, and whether it will go. Token t arrives: its decision is
// written to token t − shift; token t − (w + 1) leaves the ring, and if it is to go, t takes over its slot.

import DMSPlatform

final class DelayedEviction: CachePolicy {
  let window: Int
  let shift: Int
  let heads: Int
  /// `[heads, w + 1]`, by position modulo w + 1: the slot, shifted left, and the evict flag in bit 0.
  let ring: UnsafeMutableBufferPointer<UInt32>

  /// - Precondition: `window ≥ 0`, `shift` 0 or 1.
  init(window: Int, shift: Int, heads: Int) {
    precondition(window >= 0 && (0...1).contains(shift), "a window is not negative, a shift is 0 or 1")
    self.window = window
    self.shift = shift
    self.heads = heads
    ring = .allocate(capacity: heads * (window + 1))
    ring.initialize(repeating: 0)
  }

  deinit { ring.deallocate() }

  var needs: PolicyNeeds { PolicyNeeds(sees: .decisions, bytes: Self.bytes(window: window, heads: heads)) }

  func admit(_ arrivals: Arrivals) {
    for kvHead in 0..<arrivals.kvHeads {
      let head = arrivals.head(kvHead)
      for token in 0..<arrivals.tokens {
        let (position, decision) = (arrivals.position + token, arrivals.logit(token, kvHead) > 0)
        let departure = arrive(head: head, position: position, decision: decision)
        let slot = arrivals.seat(token, kvHead, replacing: departure)
        settle(head: head, position: position, slot: slot, decision: decision)
      }
    }
  }

  func settle(_ call: SettledCall) {}

  func fork() -> any CachePolicy { copy() }

  func copy() -> DelayedEviction {
    let other = DelayedEviction(window: window, shift: shift, heads: heads)
    _ = other.ring.update(from: ring)
    return other
  }

  /// All rings, as numbers.
  var state: [UInt32] { Array(ring) }

  /// Takes a saved state over.
  ///
  /// - Throws: `InputError` for rings of another size, or with slots that do not exist.
  func restore(_ saved: SavedPolicy) throws {
    guard saved.words.count == ring.count else {
      throw InputError("the saved cache does not fit: its eviction state has another size")
    }
    for head in 0..<heads {
      let (first, live) = (saved.words.startIndex + head * (window + 1), saved.live(head))
      for entry in saved.words[first..<first + min(window + 1, saved.tokensSeen)] where Int(entry >> 1) >= live {
        throw InputError("the saved cache does not fit: its eviction state names a slot that does not exist")
      }
    }
    _ = ring.update(from: saved.words)
  }

  static func bytes(window: Int, heads: Int) -> Int { heads * (window + 1) * MemoryLayout<UInt32>.stride }

  /// The token at `position` arrives in `head` with its decision. Returns the token whose slot it takes over; `nil`: it
  /// needs a new one.
  func arrive(head: Int, position: Int, decision: Bool) -> Departure? {
    if decision, shift == 1, position >= 1 {
      // Not `|=`, of which Swift 6.3's compiler makes no valid code under ThreadSanitizer.
      let previous = place(head, position - 1)
      ring[previous] = ring[previous] | 1
    }
    guard position > window else { return nil }
    let leaving = ring[place(head, position - window - 1)]
    return leaving & 1 == 1 ? Departure(position: position - window - 1, slot: Int(leaving >> 1)) : nil
  }

  /// Notes the slot that the token at `position` took.
  func settle(head: Int, position: Int, slot: Int, decision: Bool) {
    ring[place(head, position)] = UInt32(slot) << 1 | (decision && shift == 0 ? 1 : 0)
  }

  private func place(_ head: Int, _ position: Int) -> Int { head * (window + 1) + position % (window + 1) }
}
