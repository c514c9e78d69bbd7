// Policies that need no training, as values: which one, and what each head may hold.

import DMSKernels
import DMSPlatform

/// A policy that needs no training: what stays within a budget is chosen by what the past shows.
public struct BudgetedPolicy: Sendable, Equatable {
  /// How tokens are chosen.
  public enum Kind: String, Sendable, CaseIterable {
    /// The first four tokens and the most recent ones (after StreamingLLM, arXiv 2309.17453).
    case window
    /// Those that the newest query attends to, one set per layer (arXiv 2401.06104).
    case tova
    /// The most recent ones, and those that all queries attended to (arXiv 2306.14048).
    case h2o
    /// Those that the last eight queries attend to and that do not repeat others (arXiv 2505.24133).
    case rKV = "r-kv"
    /// Those that the last 32 queries attend to (arXiv 2404.14469, while decoding).
    case snapKV = "snapkv"
    /// Those whose keys and values span most (arXiv 2606.03928).
    case vaseDKV = "vase-dkv"
    /// Those whose values reach furthest, and others drawn by what the last 64 queries attend to (arXiv 2606.03928).
    case vaseAttnV = "vase-attnv"
  }

  /// How tokens are chosen.
  public var kind: Kind
  /// What each KV head is cut down to.
  public var cap: TokenCap
  /// Of what is drawn at random.
  public var seed: UInt64

  /// A policy with its budget.
  public init(_ kind: Kind, cap: TokenCap, seed: UInt64 = 0) {
    self.kind = kind
    self.cap = cap
    self.seed = seed
  }

  /// The same with a ratio made to tokens, for a sequence of a known length, as the papers set their budgets before a run: of
  /// `length` tokens, one in so many.
  func fixed(length: Int) -> BudgetedPolicy {
    BudgetedPolicy(kind, cap: cap.fixed(length: length, least: kind.least), seed: seed)
  }

  func keeper(_ shape: CacheShape, saved: SavedPolicy?) throws -> any CachePolicy {
    try SlotFloats.requirePositions(shape.capacity, for: kind.rawValue)
    switch kind {
    case .window:
      let policy = try WindowWithSinks(cap: cap, layers: shape.layers, capacity: shape.capacity)
      if let saved { try policy.restore(saved, heads: shape.heads) }
      return policy
    case .tova:
      try EvictionPolicy.requireNothing(saved)
      try saved?.requireEqualHeads(shape)
      return TOVA(cap: cap)
    case .h2o:
      try EvictionPolicy.requireNothing(saved)
      return H2O(cap: cap)
    case .rKV, .snapKV:
      let policy = RKV(kind == .rKV ? .rkv : .snapKV, cap: cap, shape)
      if let saved { try policy.restore(saved) }
      return policy
    case .vaseDKV:
      try EvictionPolicy.requireNothing(saved)
      return VaSEDKV(cap: cap, seed: seed)
    case .vaseAttnV:
      let policy = VaSEAttnV(cap: cap, seed: seed, shape)
      if let saved { try policy.restore(saved) }
      return policy
    }
  }
}

extension BudgetedPolicy.Kind {
  /// The fewest tokens that it can work with.
  var least: Int {
    switch self {
    case .window: WindowWithSinks.least
    case .tova: TOVA.least
    case .h2o: H2O.least
    case .rKV: RKV.Settings.rkv.least
    case .snapKV: RKV.Settings.snapKV.least
    case .vaseDKV: VaSEDKV.least
    case .vaseAttnV: VaSEAttnV.least
    }
  }

  /// Tokens beyond the budget that a head may hold between calls: some policies wait for them.
  var slack: Int {
    switch self {
    case .window, .tova, .h2o: 0
    case .rKV, .snapKV: RKV.interval - 1
    case .vaseDKV, .vaseAttnV: VaSE.interval - 1
    }
  }

  /// The most bytes that a cache holds between calls, with tables and bookkeeping, when its heads are held to so many tokens.
  func bytes(holding tokens: Int, _ shape: CacheShape, layout: KVLayout) -> Int {
    let tokens = tokens + slack
    let pages = (tokens + KVLayout.slotsPerPage - 1) / KVLayout.slotsPerPage
    let held = shape.heads * pages * (layout.pageBytes + MemoryLayout<KVPage>.stride)
    let floats = shape.heads * MemoryLayout<Float>.stride * tokens
    switch self {
    case .window: return held + shape.layers * MemoryLayout<UInt32>.stride * tokens
    case .tova: return held + floats * TOVA.slotFloats
    case .h2o: return held + floats * H2O.slotFloats
    case .rKV: return held + floats * RKV.slotFloats + ObservationWindow.bytes(RKV.Settings.rkv.window, shape)
    case .snapKV: return held + floats * RKV.slotFloats + ObservationWindow.bytes(RKV.Settings.snapKV.window, shape)
    case .vaseDKV: return held + floats * VaSE.slotFloats
    case .vaseAttnV: return held + floats * VaSE.slotFloats + ObservationWindow.bytes(VaSEAttnV.window, shape)
    }
  }
}

extension SavedPolicy {
  /// - Throws: `InputError` where the heads of a layer hold different numbers of tokens.
  fileprivate func requireEqualHeads(_ shape: CacheShape) throws {
    for head in 0..<shape.heads where live(head) != live(head / shape.kvHeads * shape.kvHeads) {
      throw InputError("the saved cache does not fit: the heads of a layer hold different numbers of tokens")
    }
  }
}

/// Marks the slots with the lowest scores.
///
/// - Parameters:
///   - score: what a slot is measured by; of equals the second decides.
/// - Returns: for each slot whether it is one of the `count` lowest candidates.
func lowest(
  _ count: Int, of slots: Range<Int>, where isCandidate: (Int) -> Bool = { _ in true },
  by score: (Int) -> (Float, Float)
) -> [Bool] {
  var marks = [Bool](repeating: false, count: slots.count)
  if count == 1 {
    // One goes at every step of a decoding: no need to order them all.
    var least: (slot: Int, score: (Float, Float))?
    for slot in slots where isCandidate(slot) {
      let score = score(slot)
      if least.map({ score < $0.score }) ?? true { least = (slot, score) }
    }
    if let least { marks[least.slot] = true }
    return marks
  }
  let candidates = slots.filter(isCandidate).map { (slot: $0, score: score($0)) }
  for candidate in candidates.sorted(by: { $0.score < $1.score }).prefix(count) { marks[candidate.slot] = true }
  return marks
}
