// VaSE, by how much a token's key and value span, or by how far its value reaches (arXiv 2606.03928). Every 64 tokens a head that
// holds more than B is cut down to B.
//
//   VaSE-DKV    the first 4 and the last 64 tokens, and of the others those with the largest ‖k G‖² · ‖v G‖², of equals the
//               youngest; G [D, 20] is drawn anew each time, entries N(0, 1) / √20, the same for all heads, keys and values
//   VaSE-AttnV  the first 4; of the others the ⌊B / 4⌋ with the largest value range, max − min over the channels, of equals the
//               youngest; the rest is drawn without replacement, in proportion to the mean softmax(q · k / √D) of the last 64
//               queries over the group's heads, of each token the mean among it and its two neighbours on either side
//
// Neighbours are next to each other in the order of the tokens that are there and not yet chosen. Drawing in proportion: those with
// the smallest −ln(u) / weight (Efraimidis and Spirakis, 2006). Random numbers are addressed by seed and position.

import DMSKernels
import DMSPlatform
import Glibc

/// What both have.
enum VaSE {
  static let sinks = 4
  /// Tokens between one cut and the next.
  static let interval = 64
  static let slotFloats = 1

  /// Whether a call takes the sequence across a multiple of the interval.
  static func isDue(_ call: SettledCall) -> Bool { (call.last + 1) / interval > call.position / interval }
}

final class VaSEDKV: CachePolicy {
  /// The last tokens, which stay.
  static let window = 64
  static let least = VaSE.sinks + window + 1
  static let projections = 20

  private let cap: TokenCap
  private let seed: UInt64
  let needs = PolicyNeeds(sees: .stored, slotFloats: VaSE.slotFloats)
  let state: [UInt32] = []

  init(cap: TokenCap, seed: UInt64) {
    self.cap = cap
    self.seed = seed
  }

  func admit(_ arrivals: Arrivals) { arrivals.seatAll() }

  func settle(_ call: SettledCall) throws {
    call.notePositions()
    let budget = cap.tokens(seen: call.last + 1, least: Self.least)
    guard VaSE.isDue(call), call.live(0) > budget else { return }
    let gaussian = Self.gaussian(seed: seed, position: call.last, headDim: call.shape.headDim)
    for kvHead in 0..<call.kvHeads {
      let (live, positions) = (call.live(kvHead), call.field(.position, kvHead))
      let lastOthers = Float(call.last - Self.window)
      var spans = [Float](repeating: 0, count: live)
      let isOther = { (slot: Int) in positions[slot] >= Float(VaSE.sinks) && positions[slot] <= lastOthers }
      for slot in 0..<live where isOther(slot) {
        let (key, value) = call.keyAndValue(kvHead, slot)
        spans[slot] = Self.span(key, gaussian) * Self.span(value, gaussian)
      }
      let lowest = lowest(live - budget, of: 0..<live, where: isOther) { (spans[$0], positions[$0]) }
      try call.release(kvHead, lowest)
    }
  }

  func fork() -> any CachePolicy { self }

  /// `[D, 20]`.
  static func gaussian(seed: UInt64, position: Int, headDim: Int) -> [Float] {
    let seed = RandomNumbers.seed(seed, position)
    return (0..<headDim * projections).map {
      Float(RandomNumbers.normal(seed: seed, sequence: 0, position: $0) / Double(projections).squareRoot())
    }
  }

  /// `‖x G‖²`.
  private static func span(_ x: [Float], _ gaussian: [Float]) -> Float {
    var sums = [Float](repeating: 0, count: projections)
    for (channel, number) in x.enumerated() {
      for column in 0..<projections { sums[column] += number * gaussian[channel * projections + column] }
    }
    return sums.reduce(0) { $0 + $1 * $1 }
  }
}

final class VaSEAttnV: CachePolicy {
  /// Queries that are asked.
  static let window = 64
  static let least = VaSE.sinks + 4

  private let cap: TokenCap
  private let seed: UInt64
  private let recent: ObservationWindow

  init(cap: TokenCap, seed: UInt64, _ shape: CacheShape) {
    self.cap = cap
    self.seed = seed
    recent = ObservationWindow(Self.window, shape)
  }

  private init(copying other: VaSEAttnV) {
    (cap, seed) = (other.cap, other.seed)
    recent = other.recent.copy()
  }

  var needs: PolicyNeeds {
    PolicyNeeds(sees: [.stored, .queries], slotFloats: VaSE.slotFloats, bytes: recent.bytes)
  }

  func admit(_ arrivals: Arrivals) { arrivals.seatAll() }

  func settle(_ call: SettledCall) throws {
    call.notePositions()
    recent.note(call)
    let budget = cap.tokens(seen: call.last + 1, least: Self.least)
    guard VaSE.isDue(call), call.live(0) > budget else { return }
    let (weights, queries) = recent.attention(call, .sum)
    for kvHead in 0..<call.kvHeads {
      let (live, positions) = (call.live(kvHead), call.field(.position, kvHead))
      let ranges = (0..<live).map { call.keyAndValue(kvHead, $0).value.range }
      let others = call.slotsInOrder(kvHead).filter { positions[$0] >= Float(VaSE.sinks) }
      let far = Set(
        others.sorted { (-ranges[$0], -positions[$0]) < (-ranges[$1], -positions[$1]) }.prefix(budget / 4))
      let drawn = others.filter { !far.contains($0) }
      let pooled = Pooling.mean.apply(
        drawn.map { weights[kvHead][$0] / Float(queries * call.shape.group) }, reach: 2)
      var order = [Float](repeating: -.infinity, count: live)
      for (slot, weight) in zip(drawn, pooled) {
        let u = RandomNumbers.uniform(
          seed: RandomNumbers.seed(seed, call.last), sequence: call.head(kvHead), position: Int(positions[slot]))
        // Those nearest to 0 stay.
        order[slot] = Float(log(1 - u) / max(Double(weight), 0x1p-126))
      }
      let candidates = Set(drawn)
      let lowest = lowest(live - budget, of: 0..<live, where: candidates.contains) { (order[$0], positions[$0]) }
      try call.release(kvHead, lowest)
    }
  }

  func fork() -> any CachePolicy { VaSEAttnV(copying: self) }

  var state: [UInt32] { recent.words }

  /// Takes a saved state over.
  /// - Throws: `InputError` for one that does not fit.
  func restore(_ saved: SavedPolicy) throws { try recent.restore(saved) }
}

extension SettledCall {
  /// A slot's key and value, as they are stored.
  fileprivate func keyAndValue(_ kvHead: Int, _ slot: Int) -> (key: [Float], value: [Float]) {
    let place = store.place(head: head(kvHead), slot: slot)
    var (key, value) = ([Float](repeating: 0, count: shape.headDim), [Float](repeating: 0, count: shape.headDim))
    store.pool.layout.loadKey(place, to: &key)
    store.pool.layout.loadValue(place, to: &value)
    return (key, value)
  }
}

extension [Float] {
  /// The largest number less the smallest.
  fileprivate var range: Float {
    reduce(-.infinity) { Swift.max($0, $1) } - reduce(.infinity) { Swift.min($0, $1) }
  }
}
