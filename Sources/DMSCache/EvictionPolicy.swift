// What decides where a new token goes. The store knows none of this.

/// How a cache treats its tokens.
public enum EvictionPolicy: Sendable, Equatable {
  /// Every token stays.
  case keepAll
  /// Dynamic Memory Sparsification (Łańcucki et al., 2025, section 3): each KV head decides which tokens to forget, and
  /// forgets them `window` tokens later. With `shift` 1 the next token brings the decision about a token, with 0 the
  /// token itself.
  case delayed(window: Int, shift: Int)
}
