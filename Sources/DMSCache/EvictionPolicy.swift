// What decides where a new token goes. The store knows none of this.

/// How a cache treats its tokens.
public enum EvictionPolicy: Sendable, Equatable {
  /// Every token stays.
  case keepAll
  /// Dynamic Memory Sparsification: see `DelayedEviction`.
  case delayed(window: Int, shift: Int)
}
