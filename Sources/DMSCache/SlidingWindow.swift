// Sliding-window attention (Jiang et al., 2023): every token is forgotten when it leaves the window.
//
//   key i is visible to query t  iff  t − w < i ≤ t
//
// So a token's slot is its position modulo w, and nothing has to be remembered about it.

struct SlidingWindow {
  let tokens: Int

  /// The token at `position` arrives. Returns the token whose slot it takes over; `nil`: it needs a new one.
  func arrive(position: Int) -> Departure? {
    position >= tokens ? Departure(position: position - tokens, slot: position % tokens) : nil
  }

  /// Slots of a head that has seen so many tokens.
  func slots(tokensSeen: Int) -> Int { min(tokens, tokensSeen) }
}
