// The KV cache of one sequence: the store, and the policy that decides. A call of the model goes through each layer once:
// `admit` numbers the slots of its tokens, attention reads spans, `store` writes what is still alive at the call's end,
// `settle` lets the policy give slots up; then `advance`. A call that breaks off leaves the cache of no use; memory is reserved before, so lack of it breaks none.
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
  var keeper: any CachePolicy
  let shape: CacheShape
  private let selection: (any ReadSelection)?
  /// Whether the policy gives slots up after attention.
  package let settles: Bool
  private var keysRead = 0
  private var liveSlots = 0
  private var peakSlots = 0

  /// - Parameter group: query heads of a KV head.
  package init(pool: KVPool, layers: Int, group: Int, capacity: Int, policy: EvictionPolicy) throws {
    self.policy = policy
    self.capacity = capacity
    shape = CacheShape(
      layers: layers, kvHeads: pool.kvHeads, group: group, headDim: pool.layout.headDim, capacity: capacity)
    keeper = try policy.keeper(shape)
    selection = policy.selection(shape)
    var needs = keeper.needs
    needs.pageFloats += selection?.pageFloats ?? 0
    settles = !needs.sees.isDisjoint(with: [.stored, .queries])
    slots = try SlotStore(pool: pool, layers: layers, capacity: capacity, needs: needs)
  }

  private init(forking other: SequenceCache) throws {
    policy = other.policy
    capacity = other.capacity
    tokensSeen = other.tokensSeen
    keysRead = other.keysRead
    liveSlots = other.liveSlots
    peakSlots = other.peakSlots
    shape = other.shape
    // It remembers nothing of its own.
    selection = other.selection
    settles = other.settles
    slots = try other.slots.fork()
    keeper = try other.keeper.fork()
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
    for kvHead in 0..<kvHeads {
      assignment.begin(kvHead: kvHead, slots: slots.slots[layer * kvHeads + kvHead], tokens: tokens)
    }
    let before = live(layer)
    keeper.admit(
      Arrivals(
        layer: layer, tokens: tokens, position: tokensSeen, decisions: decisions, attendsFirst: attendsFirst,
        store: slots, assignment: assignment))
    liveSlots += live(layer) - before
    peakSlots = max(peakSlots, liveSlots)
  }

  private func live(_ layer: Int) -> Int {
    var count = 0
    for kvHead in 0..<kvHeads { count += slots.slots[layer * kvHeads + kvHead] }
    return count
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

  /// Lends a head's slots as they are now to a query, whose reads the ledger counts.
  package func span(layer: Int, kvHead: Int) -> KVSpan {
    let head = layer * kvHeads + kvHead
    keysRead += slots.slots[head]
    return slots.span(head: head, slots: slots.slots[head])
  }

  /// Whether a query reads a part of what stays only.
  package var selects: Bool { selection != nil }

  /// Tokens were stored in a layer: a selection may look at them.
  package func noteStored(layer: Int, tokens: Int, with scratch: PolicyScratch) {
    selection?.note(tokens, SelectionView(layer: layer, shape: shape, store: slots, scratch: scratch))
  }

  /// Lends the slots of a layer's heads that the queries of a decode step read, whose reads the ledger counts.
  ///
  /// - Parameters:
  ///   - queries: `[H, D]`, after RoPE.
  ///   - spans: `[G]`, valid until the next step.
  ///   - chosen: with room for the pages of this sequence.
  ///   - row: the sequence's place in the step.
  package func lend(
    layer: Int, queries: UnsafePointer<Float>, to spans: UnsafeMutablePointer<KVSpan>, from chosen: ChosenPages,
    row: Int,
    with scratch: PolicyScratch
  ) {
    let view = SelectionView(layer: layer, shape: shape, store: slots, scratch: scratch)
    guard let pages = selection?.choose(queries, view) else {
      for kvHead in 0..<kvHeads { (spans + kvHead).initialize(to: span(layer: layer, kvHead: kvHead)) }
      return
    }
    for kvHead in 0..<kvHeads {
      let head = layer * kvHeads + kvHead
      let span = chosen.span(
        row * kvHeads + kvHead, pages[kvHead], of: slots.span(head: head, slots: slots.slots[head]))
      keysRead += span.slots + view.pages(kvHead)
      (spans + kvHead).initialize(to: span)
    }
  }

  /// A head's slots as they were before the call that was admitted.
  package func spanBefore(layer: Int, kvHead: Int, assignment: SlotAssignment) -> KVSpan {
    slots.span(head: layer * kvHeads + kvHead, slots: assignment.before(kvHead: kvHead))
  }

  /// Lets a policy that `settles` give slots up in a layer, once the call's tokens are stored and attended to.
  ///
  /// - Parameters:
  ///   - queries: `[T, H, D]`, after RoPE.
  ///   - isPrompt: whether the tokens are a prompt's.
  package func settle(
    layer: Int, tokens: Int, queries: UnsafePointer<Float>, isPrompt: Bool, with scratch: PolicyScratch
  ) throws {
    let before = live(layer)
    try keeper.settle(
      SettledCall(
        layer: layer, tokens: tokens, position: tokensSeen, queries: queries, isPrompt: isPrompt, shape: shape,
        store: slots,
        scratch: scratch))
    liveSlots += live(layer) - before
  }

  /// Ends a call.
  package func advance(by tokens: Int) {
    isWhole = true
    tokensSeen += tokens
  }

  /// Begins the account of a cache that was filled from a file.
  func noteRestored(tokensSeen count: Int) {
    tokensSeen = count
    liveSlots = (0..<slots.heads).reduce(0) { $0 + slots.slots[$1] }
  }

  /// Tokens that a head still has.
  public func liveTokens(layer: Int, kvHead: Int) -> Int { slots.slots[layer * kvHeads + kvHead] }

  /// Live tokens, the mean over heads; at once.
  package var liveTokens: Double { Double(liveSlots) / Double(slots.heads) }

  /// Tokens that decode steps have read, the mean over heads; at once.
  package var tokensRead: Double { Double(keysRead) / Double(slots.heads) }

  /// The sequence's account. Cost: a pass over the page tables.
  public var ledger: Ledger {
    let heads = Double(slots.heads)
    let tables = slots.tableBytes + keeper.needs.bytes
    var ledger = Ledger()
    ledger.tokensSeen = tokensSeen
    ledger.liveTokens = liveTokens
    ledger.bytesHeld = slots.referencedPages * layout.pageBytes + tables
    ledger.bytesPrivate = slots.privatePages * layout.pageBytes + tables
    ledger.bytesLive = liveSlots * layout.slotBytes
    ledger.bytesDense = tokensSeen * slots.heads * layout.slotBytes
    ledger.bytesReserved = slots.pool.bytesReserved
    ledger.tokensRead = tokensRead
    ledger.peakTokens = Double(peakSlots) / heads
    return ledger
  }
}
