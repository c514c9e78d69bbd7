// TOVA, token omission via attention (Oren et al., arXiv 2401.06104): where a layer holds more than its budget, the token goes
// to which the newest query attends least.
//
//   a[i] = mean over the layer's query heads of softmax(q_t · k / √D)[i]
//   while more than B tokens are there: the i with the smallest a[i] goes, of equals the oldest
//
// One set of tokens per layer: all its heads hold the same. A prompt goes in calls of C tokens and is cut down to B after each,
// by its last query; C = 1 is the paper's definition.

final class TOVA: CachePolicy {
  static let least = 1
  static let slotFloats = 1

  private let cap: TokenCap
  let needs = PolicyNeeds(sees: [.stored, .queries], slotFloats: TOVA.slotFloats)
  let state: [UInt32] = []

  init(cap: TokenCap) { self.cap = cap }

  func admit(_ arrivals: Arrivals) { arrivals.seatAll() }

  func settle(_ call: SettledCall) throws {
    call.notePositions()
    let live = call.live(0)
    let excess = live - cap.tokens(seen: call.last + 1, least: Self.least)
    guard excess > 0 else { return }
    let weights = call.attention(ofLast: 1, .sum)
    // Their sum orders tokens as their mean does.
    for kvHead in 1..<max(1, call.kvHeads) where kvHead < call.kvHeads {
      for slot in 0..<live { weights[0][slot] += weights[kvHead][slot] }
    }
    let (sums, positions) = (weights[0], call.field(.position, 0))
    let lowest = lowest(excess, of: 0..<live) { (sums[$0], positions[$0]) }
    for kvHead in 0..<call.kvHeads { try call.release(kvHead, lowest) }
  }

  func fork() -> any CachePolicy { self }
}
