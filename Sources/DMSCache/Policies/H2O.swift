// H2O, the heavy-hitter oracle (Zhang et al., arXiv 2306.14048): of each head's budget one half is for the most recent tokens,
// the other for those that all queries so far attended to most.
//
//   s[i] = Σ over the queries since i, and the group's query heads, of softmax(q · k / √D)[i]
//   while more than B tokens are there: of all but the last B − ⌊B / 2⌋, the i with the smallest s[i] goes, of equals the oldest
//
// Attention is over the tokens that a query found there. A prompt goes in calls of C tokens and is cut down to B after each; C = 1
// is the paper's definition.

final class H2O: CachePolicy {
  static let least = 2
  static let slotFloats = 2
  private static let sum = SlotField(1)

  private let cap: TokenCap
  let needs = PolicyNeeds(sees: [.stored, .queries], slotFloats: H2O.slotFloats)
  let state: [UInt32] = []

  init(cap: TokenCap) { self.cap = cap }

  func admit(_ arrivals: Arrivals) { arrivals.seatAll() }

  func settle(_ call: SettledCall) throws {
    call.notePositions()
    let weights = call.attention(ofLast: call.tokens, .sum)
    let budget = cap.tokens(seen: call.last + 1, least: Self.least)
    let oldestRecent = Float(call.last + 1 - (budget - budget / 2))
    for kvHead in 0..<call.kvHeads {
      let (live, sums, positions) = (call.live(kvHead), call.field(Self.sum, kvHead), call.field(.position, kvHead))
      for slot in live - call.tokens..<live { sums[slot] = 0 }
      for slot in 0..<live { sums[slot] += weights[kvHead][slot] }
      guard live > budget else { continue }
      let lowest = lowest(live - budget, of: 0..<live, where: { positions[$0] < oldestRecent }) {
        (sums[$0], positions[$0])
      }
      try call.release(kvHead, lowest)
    }
  }

  func fork() -> any CachePolicy { self }
}
