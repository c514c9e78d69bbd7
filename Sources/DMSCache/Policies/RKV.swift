// R-KV (Cai et al., arXiv 2505.24133) and SnapKV while decoding (Li et al., arXiv 2404.14469): tokens that a short window of
// queries attends to stay; R-KV takes away those that repeat others.
//
//   a call that finds B + 128 tokens in a head, or more, cuts it down to B: its last N tokens, and of the others those with the
//   highest score, of equals the youngest
//
//   R-KV     N = 8    score = 0.1 · imp − 0.9 · red
//            imp[i] = mean over the last 8 queries of the largest softmax(q · k / √D)[i] of the group's heads; of each token the
//                     largest among it and its three neighbours on either side
//            red    = how much the keys repeat each other, over all tokens of the head: `KeyRedundancy`
//   SnapKV   N = 32   score = imp, of 32 queries, the mean among a token and its two neighbours on either side
//
// Softmax is over all tokens that are there and not after the query. Neighbours are next to each other in the order of the tokens
// that are there and older than the last N.

import DMSKernels
import DMSTensor

final class RKV: CachePolicy {
  /// What R-KV and SnapKV have of their own.
  struct Settings: Sendable {
    /// The last tokens, which stay, and whose queries are asked.
    let window: Int
    let pooling: Pooling
    let reach: Int
    /// Of importance in the score; the rest is the redundancy's, taken away.
    let importance: Float

    static let rkv = Settings(window: 8, pooling: .largest, reach: 3, importance: 0.1)
    static let snapKV = Settings(window: 32, pooling: .mean, reach: 2, importance: 1)

    var least: Int { window + 1 }
  }

  /// Tokens beyond the budget that are waited for.
  static let interval = 128
  static let slotFloats = 1

  private let settings: Settings
  private let cap: TokenCap
  private let recent: ObservationWindow

  init(_ settings: Settings, cap: TokenCap, _ shape: CacheShape) {
    self.settings = settings
    self.cap = cap
    recent = ObservationWindow(settings.window, shape)
  }

  private init(copying other: RKV) {
    (settings, cap) = (other.settings, other.cap)
    recent = other.recent.copy()
  }

  var needs: PolicyNeeds {
    PolicyNeeds(sees: [.stored, .queries], slotFloats: Self.slotFloats, bytes: recent.bytes)
  }

  func admit(_ arrivals: Arrivals) { arrivals.seatAll() }

  func settle(_ call: SettledCall) throws {
    call.notePositions()
    recent.note(call)
    let budget = cap.tokens(seen: call.last + 1, least: settings.least)
    // A budget may be any number: nothing is added to it.
    guard call.live(0) - Self.interval >= budget else { return }
    let (weights, queries) = recent.attention(call, .largest)
    for kvHead in 0..<call.kvHeads {
      let positions = call.field(.position, kvHead)
      let inOrder = call.slotsInOrder(kvHead)
      let others =
        inOrder.count - inOrder.reversed().prefix { positions[$0] > Float(call.last - settings.window) }.count
      let importance = settings.pooling.apply(
        inOrder[..<others].map { weights[kvHead][$0] / Float(queries) }, reach: settings.reach)
      let redundancy = settings.importance < 1 ? call.redundancy(kvHead, inOrder) : []
      var scores = [Float](repeating: .infinity, count: inOrder.count)
      for (place, slot) in inOrder[..<others].enumerated() {
        scores[slot] = settings.importance * importance[place]
        if !redundancy.isEmpty { scores[slot] -= (1 - settings.importance) * redundancy[place] }
      }
      let lowest = lowest(inOrder.count - budget, of: 0..<inOrder.count) { (scores[$0], positions[$0]) }
      try call.release(kvHead, lowest)
    }
  }

  func fork() -> any CachePolicy { RKV(copying: self) }

  var state: [UInt32] { recent.words }

  /// Takes a saved state over.
  /// - Throws: `InputError` for one that does not fit.
  func restore(_ saved: SavedPolicy) throws { try recent.restore(saved) }
}

extension SettledCall {
  /// The slots of a head in the order of their tokens.
  func slotsInOrder(_ kvHead: Int) -> [Int] {
    let positions = field(.position, kvHead)
    return (0..<live(kvHead)).sorted { (positions[$0], $0) < (positions[$1], $1) }
  }

  /// The redundancy of a head's keys, in the order of their tokens.
  fileprivate func redundancy(_ kvHead: Int, _ slots: [Int]) -> [Float] {
    let dim = shape.headDim
    let (keys, output) = (FloatBuffer(slots.count * dim), FloatBuffer(slots.count))
    let work = FloatBuffer(KeyRedundancy.scratchCount(keys: slots.count))
    for (place, slot) in slots.enumerated() {
      store.pool.layout.loadKey(store.place(head: head(kvHead), slot: slot), to: keys.base + place * dim)
    }
    return withExtendedLifetime((keys, output, work)) {
      KeyRedundancy.measure(keys.base, count: slots.count, headDim: dim, output: output.base, scratch: work.base)
      return (0..<slots.count).map { output.base[$0] }
    }
  }
}
