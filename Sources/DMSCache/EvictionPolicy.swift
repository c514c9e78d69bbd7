// How a cache treats its tokens, as a value; and what carries it out.

import DMSPlatform

/// How a cache treats its tokens.
public enum EvictionPolicy: Sendable, Equatable {
  /// Every token stays.
  case keepAll
  /// Dynamic Memory Sparsification (Łańcucki et al., 2025, section 3): each KV head decides which tokens to forget, and
  /// forgets them `window` tokens later. With `shift` 1 the next token brings the decision about a token, with 0 the
  /// token itself.
  case delayed(window: Int, shift: Int)
  /// The same, and no head holds more tokens than the cap: where more would stay, the one outside the window goes that its
  /// head came nearest to forgetting.
  case capped(window: Int, shift: Int, TokenCap)
  /// Sliding-window attention, by layer: each keeps its last `windows[layer]` tokens, or all where that is `nil`.
  case sliding(windows: [Int?])
  /// Decisions drawn at random in the place of the model's, of which a share of 1 − 1 / `ratio` evicts: for measuring speed
  /// on a model that was not taught to forget. The text then means nothing.
  indirect case drawn(ratio: Double, EvictionPolicy)
  /// A policy that needs no training, and holds every head to a budget.
  case budgeted(BudgetedPolicy)
  /// Quest (Tang et al., 2024): every token stays, and a query of a decode step reads no more than so many.
  case quest(TokenCap)
  /// TriAttention (arXiv 2604.04921): a prompt, the last tokens, and those to which a model's queries will attend by a calibration.
  case triAttention(TokenCap, QueryCalibration)
}

extension EvictionPolicy {
  /// What carries the policy out for one sequence.
  ///
  /// - Parameter saved: what a saved session holds of it; `nil` for an empty sequence.
  /// - Throws: `InputError` for lack of memory, and for a saved state that does not fit.
  func keeper(_ shape: CacheShape, saved: SavedPolicy? = nil) throws -> any CachePolicy {
    switch self {
    case .keepAll, .quest:
      try Self.requireNothing(saved)
      return KeepAll()
    case .sliding(let windows):
      precondition(windows.count == shape.layers, "each layer has a window, or none")
      try Self.requireNothing(saved)
      let policy = SlidingWindow(windows: windows)
      if let saved, !policy.fits(saved, kvHeads: shape.kvHeads) {
        throw InputError("the saved cache does not fit: a layer has not the tokens of its window")
      }
      return policy
    case .delayed(let window, let shift):
      // Within a context that is shorter than the window nothing leaves, and no more of it is needed.
      let window = min(window, shape.capacity)
      try Self.require(DelayedEviction.bytes(window: window, heads: shape.heads), forWindow: window)
      let policy = DelayedEviction(window: window, shift: shift, heads: shape.heads)
      if let saved { try policy.restore(saved) }
      return policy
    case .capped(let window, let shift, let cap):
      let window = min(window, shape.capacity)
      try Self.require(shape.heads * CappedEviction.bytes(window: window, tokens: 0), forWindow: window)
      let policy = try CappedEviction(
        window: window, shift: shift, cap: cap, heads: shape.heads, capacity: shape.capacity)
      if let saved { try policy.restore(saved) }
      return policy
    case .drawn(let ratio, let policy):
      return DrawnEviction(ratio: ratio, base: try policy.keeper(shape, saved: saved))
    case .budgeted(let policy):
      return try policy.keeper(shape, saved: saved)
    case .triAttention(let cap, let calibration):
      let model = (shape.layers, shape.kvHeads * shape.group, shape.headDim)
      precondition(calibration.shape == model, "a calibration is of the model that it serves")
      try SlotFloats.requirePositions(shape.capacity, for: name)
      try Self.requireNothing(saved)
      return TriAttention(cap: cap, calibration)
    }
  }

  /// What chooses what queries read; `nil`: they read everything that stays.
  func selection(_ shape: CacheShape) -> (any ReadSelection)? {
    if case .quest(let cap) = self { Quest(cap: cap, headDim: shape.headDim) } else { nil }
  }

  private static func require(_ bytes: Int, forWindow window: Int) throws {
    try MemoryLimits.require(bytes, for: "the window of \(window) tokens", remedy: "use a smaller --context")
  }

  /// Of policies that remember nothing, nothing is saved.
  static func requireNothing(_ saved: SavedPolicy?) throws {
    guard saved?.words.isEmpty ?? true else {
      throw InputError("the saved cache does not fit: its eviction state has another size")
    }
  }
}
