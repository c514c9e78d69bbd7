// The KV cache of one sequence: the store, and the policy that decides. A call of the model goes through each layer once:
// `admit` numbers the slots of its tokens, attention reads spans, `store` writes what is still alive at the call's end;
// then `advance`. A call that breaks off leaves the cache of no use; memory is reserved before, so lack of it breaks none.
// Decoding stores before it attends, prefill after, since its earlier queries still see what its later
// tokens overwrite.
//
// L layers · G KV heads · T tokens of the call · D head dim

import DMSKernels
import DMSPlatform

/// The KV cache of one sequence, in pages of its engine's memory. Not for several threads at once.
public final class SequenceCache {
  /// What decides which tokens stay.
  public let policy: EvictionPolicy
  /// The most tokens that can go in, forgotten ones included.
  public let capacity: Int
  /// Tokens that went in: the next one's position.
  public internal(set) var tokensSeen = 0
  /// Whether no call is under way, and none broke off: layers would have seen different numbers of tokens then.
  package private(set) var isWhole = true
  let slots: SlotStore
  var eviction: DelayedEviction?
  var capped: CappedEviction?
  /// By layer; empty if none slides.
  let windows: [SlidingWindow?]
  private var keysRead = 0
  private var peakSlots = 0

  package init(pool: KVPool, layers: Int, capacity: Int, policy: EvictionPolicy) throws {
    self.policy = policy
    self.capacity = capacity
    slots = try SlotStore(pool: pool, layers: layers, capacity: capacity)
    if case .sliding(let windows) = policy {
      precondition(windows.count == layers && windows.allSatisfy { $0 ?? 1 > 0 }, "each layer has a window, or none")
      self.windows = windows.map { $0.map(SlidingWindow.init) }
    } else {
      windows = []
    }
    if case .delayed(let window, let shift) = policy {
      // Within a context that is shorter than the window nothing leaves, and no more of it is needed.
      let window = min(window, capacity)
      try MemoryLimits.require(
        DelayedEviction.bytes(window: window, heads: slots.heads), for: "the window of \(window) tokens",
        remedy: "use a smaller --context")
      eviction = DelayedEviction(window: window, shift: shift, heads: slots.heads)
    }
    if case .capped(let window, let shift, let cap) = policy {
      let window = min(window, capacity)
      try MemoryLimits.require(
        slots.heads * CappedEviction.bytes(window: window, tokens: 0), for: "the window of \(window) tokens",
        remedy: "use a smaller --context")
      capped = try CappedEviction(window: window, shift: shift, cap: cap, heads: slots.heads, capacity: capacity)
    }
  }

  private init(forking other: SequenceCache) throws {
    policy = other.policy
    capacity = other.capacity
    tokensSeen = other.tokensSeen
    keysRead = other.keysRead
    peakSlots = other.peakSlots
    slots = try other.slots.fork()
    eviction = other.eviction?.copy()
    capped = try other.capped?.copy(capacity: capacity)
    windows = other.windows
  }

  /// A second sequence with the same past. The past stays shared: neither copies it, whatever either forgets of it.
  /// Cost: a copy of the page tables.
  ///
  /// - Throws: `InputError` for lack of memory.
  public func fork() throws -> SequenceCache { try SequenceCache(forking: self) }

  /// Undoes what sharing cost once other forks have gone: moved slots return to their pages. The numbers do not change.
  public func consolidate() { slots.consolidate() }

  private var kvHeads: Int { slots.pool.kvHeads }
  package var layout: KVLayout { slots.pool.layout }

  /// Begins a call. Until `advance`, the cache is of no use to another one.
  package func begin() { isWhole = false }

  /// Numbers the slots of the call's tokens in one layer.
  ///
  /// - Parameters:
  ///   - decisions: `[T, G]` logits, evict where positive; `nil` or a policy that keeps all: nothing is evicted.
  ///   - attendsFirst: whether attention reads the slots before the call's tokens are stored (prefill).
  ///   - assignment: receives the slots, and for prefill how long keys stay visible.
  /// - Precondition: `tokensSeen + tokens ≤ capacity`.
  package func admit(
    layer: Int, tokens: Int, decisions: UnsafePointer<Float>?, attendsFirst: Bool, into assignment: SlotAssignment
  ) {
    precondition(tokensSeen + tokens <= capacity, "the caller checks the capacity")
    let window = windows.isEmpty ? nil : windows[layer]
    for kvHead in 0..<kvHeads {
      let head = layer * kvHeads + kvHead
      assignment.begin(kvHead: kvHead, slots: slots.slots[head], tokens: tokens)
      for token in 0..<tokens {
        let logit = decisions.map { $0[token * kvHeads + kvHead] } ?? -.infinity
        let position = tokensSeen + token
        let departure: Departure? =
          if let window { window.arrive(position: position) } else if capped != nil {
            capped?.arrive(head: head, position: position, logit: logit, live: slots.slots[head]) ?? nil
          } else { eviction?.arrive(head: head, position: position, decision: logit > 0) ?? nil }
        let slot = departure?.slot ?? slots.slots[head]
        if let departure {
          // A token of this call overwritten in this call is never stored; a cached one is hidden from later queries.
          let last = position - 1
          if departure.position >= tokensSeen {
            assignment.expire(kvHead: kvHead, token: departure.position - tokensSeen, last: last)
          } else if attendsFirst {
            assignment.expire(kvHead: kvHead, cachedSlot: slot, last: last)
          }
        } else {
          slots.slots[head] += 1
        }
        eviction?.settle(head: head, position: position, slot: slot, decision: logit > 0)
        capped?.settle(head: head, position: position, slot: slot, logit: logit)
        assignment.slots[kvHead * assignment.capacity + token] = Int32(slot)
      }
    }
  }

  /// Finds the places of the tokens that are alive at the end of the call. To be called once per layer after `admit`.
  package func place(layer: Int, tokens: Int, in assignment: SlotAssignment) throws {
    for kvHead in 0..<kvHeads {
      for token in 0..<tokens where assignment.lives(kvHead: kvHead, token: token) {
        let index = kvHead * assignment.capacity + token
        let place = try slots.placeForWriting(head: layer * kvHeads + kvHead, slot: Int(assignment.slots[index]))
        (assignment.places + index).initialize(to: place)
      }
    }
  }

  /// A head's slots as they are now.
  package func span(layer: Int, kvHead: Int) -> KVSpan {
    let head = layer * kvHeads + kvHead
    return slots.span(head: head, slots: slots.slots[head])
  }

  /// A head's slots as they were before the call that was admitted.
  package func spanBefore(layer: Int, kvHead: Int, assignment: SlotAssignment) -> KVSpan {
    slots.span(head: layer * kvHeads + kvHead, slots: assignment.before(kvHead: kvHead))
  }

  /// Ends a call. `reads`: whether it was a decode step, whose reads the ledger counts.
  package func advance(by tokens: Int, reads: Bool) {
    isWhole = true
    tokensSeen += tokens
    var live = 0
    for head in 0..<slots.heads { live += slots.slots[head] }
    if reads { keysRead += live }
    peakSlots = max(peakSlots, live)
  }

  /// Tokens that a head still has.
  public func liveTokens(layer: Int, kvHead: Int) -> Int { slots.slots[layer * kvHeads + kvHead] }

  /// The sequence's account. Cost: a pass over the page tables.
  public var ledger: Ledger {
    let heads = Double(slots.heads)
    let live = (0..<slots.heads).reduce(0) { $0 + slots.slots[$1] }
    let tables = slots.tableBytes + (eviction?.bytes ?? 0) + (capped?.bytes ?? 0)
    var ledger = Ledger()
    ledger.tokensSeen = tokensSeen
    ledger.liveTokens = Double(live) / heads
    ledger.bytesHeld = slots.referencedPages * layout.pageBytes + tables
    ledger.bytesPrivate = slots.privatePages * layout.pageBytes + tables
    ledger.bytesLive = live * layout.slotBytes
    ledger.bytesDense = tokensSeen * slots.heads * layout.slotBytes
    ledger.bytesReserved = slots.pool.bytesReserved
    ledger.tokensRead = Double(keysRead) / heads
    ledger.peakTokens = Double(peakSlots) / heads
    return ledger
  }
}
