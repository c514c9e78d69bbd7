// Sliding-window attention (Jiang et al., 2023): every token is forgotten when it leaves the window.
//
//   key i is visible to query t  iff  t − w < i ≤ t
//
// So a token's slot is its position modulo w, and nothing has to be remembered about it. Some layers of a model may keep all.

final class SlidingWindow: CachePolicy {
  /// By layer; `nil`: it keeps every token.
  private let windows: [Int?]
  let needs = PolicyNeeds()
  let state: [UInt32] = []

  /// - Precondition: each layer has a window, or none.
  init(windows: [Int?]) {
    precondition(windows.allSatisfy { $0 ?? 1 > 0 }, "a window has tokens")
    self.windows = windows
  }

  func admit(_ arrivals: Arrivals) {
    guard let window = windows[arrivals.layer] else { return arrivals.seatAll() }
    for kvHead in 0..<arrivals.kvHeads {
      for token in 0..<arrivals.tokens {
        let position = arrivals.position + token
        arrivals.seat(
          token, kvHead,
          replacing: position >= window ? Departure(position: position - window, slot: position % window) : nil)
      }
    }
  }

  func settle(_ call: SettledCall) {}
  func fork() -> any CachePolicy { self }

  /// Whether saved slots can be this policy's: they are numbered by position.
  func fits(_ saved: SavedPolicy, kvHeads: Int) -> Bool {
    windows.indices.allSatisfy { layer in
      guard let window = windows[layer] else { return true }
      return (0..<kvHeads).allSatisfy { saved.live(layer * kvHeads + $0) == min(window, saved.tokensSeen) }
    }
  }
}
