// TriAttention (arXiv 2604.04921): queries of a head lie close to each other before RoPE, so their mean says which keys later
// queries will attend to, at which distance. No attention weights are needed.
//
//   q̄_f      mean of the head's queries before RoPE, per frequency a complex number; m_f = E |q_f|: `QueryCalibration`
//   s(i)   = mean over δ ∈ {1, 2, 4 … 65536} of Σ_f |q̄_f| |k_f| cos(ω_f (t − i + δ) + arg(q̄_f k̄_f*)) + Σ_f (m_f − |q̄_f|) |k_f|
//          = k · mean over δ of (q̄ turned to position t + δ) + Σ_f (m_f − |q̄_f|) |k_f|,   k as cached, after RoPE
//   score  = mean over the group's heads of (s − mean of s) / deviation of s, both over the tokens that are there
//
// Every 128 tokens a head that holds more than B is cut down to B: the last 128 tokens and the prompt stay, whatever their score and
// even if they are more than B, and of the others those with the highest score, of equals the youngest. The prompt is what comes in
// calls that attend before they store.

import DMSKernels
import Glibc

final class TriAttention: CachePolicy {
  /// The last tokens, which stay, and tokens between one cut and the next.
  static let window = 128
  static let least = window + 1
  static let slotFloats = 2
  /// Whether a token is one of a prompt: 1 or 0.
  private static let isPrompt = SlotField(1)
  private static let distances = (0...16).map { 1 << $0 }

  private let cap: TokenCap
  private let calibration: QueryCalibration
  let needs = PolicyNeeds(sees: .stored, slotFloats: TriAttention.slotFloats)
  let state: [UInt32] = []

  init(cap: TokenCap, _ calibration: QueryCalibration) {
    self.cap = cap
    self.calibration = calibration
  }

  func admit(_ arrivals: Arrivals) { arrivals.seatAll() }

  func settle(_ call: SettledCall) throws {
    call.notePositions()
    for kvHead in 0..<call.kvHeads {
      let (prompt, live) = (call.field(Self.isPrompt, kvHead), call.live(kvHead))
      for slot in live - call.tokens..<live { prompt[slot] = call.isPrompt ? 1 : 0 }
    }
    let budget = cap.tokens(seen: call.last + 1, least: Self.least)
    guard (call.last + 1) / Self.window > call.position / Self.window else { return }
    for kvHead in 0..<call.kvHeads where call.live(kvHead) > budget {
      let live = call.live(kvHead)
      let (positions, prompt) = (call.field(.position, kvHead), call.field(Self.isPrompt, kvHead))
      let scores = scores(call, kvHead)
      let lastOthers = Float(call.last - Self.window)
      let isOther = { (slot: Int) in prompt[slot] == 0 && positions[slot] <= lastOthers }
      let lowest = lowest(live - budget, of: 0..<live, where: isOther) { (scores[$0], positions[$0]) }
      try call.release(kvHead, lowest)
    }
  }

  func fork() -> any CachePolicy { self }

  /// For each slot of a head the mean score over its group.
  private func scores(_ call: SettledCall, _ kvHead: Int) -> [Float] {
    let (live, group, dim) = (call.live(kvHead), call.shape.group, call.shape.headDim)
    var mean = [Float](repeating: 0, count: live)
    let keys = (0..<live).map { call.key(kvHead, $0) }
    for member in 0..<group {
      let head = call.layer * calibration.shape.heads + kvHead * group + member
      let center = turned(head, layer: call.layer, after: call.last)
      let spread = spread(head)
      var raw = [Float](repeating: 0, count: live)
      for (slot, key) in keys.enumerated() {
        var sum: Float = 0
        for channel in 0..<dim { sum += center[channel] * key[channel] }
        for frequency in 0..<dim / 2 {
          let (x, y) = (key[frequency], key[frequency + dim / 2])
          sum += spread[frequency] * (x * x + y * y).squareRoot()
        }
        raw[slot] = sum
      }
      let average = raw.reduce(0, +) / Float(live)
      let deviation = (raw.reduce(0) { $0 + ($1 - average) * ($1 - average) } / Float(live)).squareRoot()
      for slot in 0..<live where deviation > 0 { mean[slot] += (raw[slot] - average) / deviation / Float(group) }
    }
    return mean
  }

  /// `[D]`: the mean over all distances of a head's mean query, turned to where it will be.
  private func turned(_ head: Int, layer: Int, after position: Int) -> [Float] {
    let (dim, half) = (calibration.shape.headDim, calibration.shape.headDim / 2)
    var turned = [Float](repeating: 0, count: dim)
    for frequency in 0..<half {
      let x = Double(calibration.centers[head * dim + frequency])
      let y = Double(calibration.centers[head * dim + half + frequency])
      var (cosine, sine) = (0.0, 0.0)
      for distance in Self.distances {
        // As `rotaryTable` turns queries.
        let angle = Double(Float(position + distance) * calibration.frequencies[layer * half + frequency])
        cosine += cos(angle) / Double(Self.distances.count)
        sine += sin(angle) / Double(Self.distances.count)
      }
      turned[frequency] = Float(x * cosine - y * sine)
      turned[frequency + half] = Float(y * cosine + x * sine)
    }
    return turned
  }

  /// `[D/2]`: m_f − |q̄_f|.
  private func spread(_ head: Int) -> [Float] {
    let (dim, half) = (calibration.shape.headDim, calibration.shape.headDim / 2)
    return (0..<half).map { frequency in
      let x = calibration.centers[head * dim + frequency]
      let y = calibration.centers[head * dim + half + frequency]
      return calibration.lengths[head * half + frequency] - (x * x + y * y).squareRoot()
    }
  }
}

extension SettledCall {
  /// A slot's key, as it is stored.
  fileprivate func key(_ kvHead: Int, _ slot: Int) -> [Float] {
    var key = [Float](repeating: 0, count: shape.headDim)
    store.pool.layout.loadKey(store.place(head: head(kvHead), slot: slot), to: &key)
    return key
  }
}
