// What decides where a new token goes. The store knows none of this.

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
}

/// A token that is forgotten: its position, and the slot that becomes free.
struct Departure {
  var position: Int
  var slot: Int
}
