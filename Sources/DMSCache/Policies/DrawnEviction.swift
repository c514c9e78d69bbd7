// Decisions drawn at random, so that the speed of a sparse cache can be measured on a model that was not taught to forget. The
// text then means nothing.
//
//   d[t, l, g] = +1 with the probability 1 − 1 / ratio, else −1; depends on the place alone

final class DrawnEviction: CachePolicy {
  private let ratio: Double
  private let base: any CachePolicy
  /// `[T, G]`: of a call; grows with the longest.
  private var decisions = UnsafeMutableBufferPointer<Float>.allocate(capacity: 0)

  /// - Parameter base: what the decisions are given to.
  init(ratio: Double, base: any CachePolicy) {
    self.ratio = ratio
    self.base = base
  }

  deinit { decisions.deallocate() }

  var needs: PolicyNeeds {
    var needs = base.needs
    needs.sees.remove(.decisions)
    return needs
  }

  func admit(_ arrivals: Arrivals) {
    let count = arrivals.tokens * arrivals.kvHeads
    if decisions.count < count {
      decisions.deallocate()
      decisions = .allocate(capacity: count)
      decisions.initialize(repeating: 0)
    }
    guard let drawn = decisions.baseAddress else { return }
    for token in 0..<arrivals.tokens {
      for kvHead in 0..<arrivals.kvHeads {
        drawn[token * arrivals.kvHeads + kvHead] = logit(arrivals.layer, kvHead, arrivals.position + token)
      }
    }
    base.admit(arrivals.deciding(drawn))
  }

  func settle(_ call: SettledCall) throws { try base.settle(call) }
  func fork() throws -> any CachePolicy { DrawnEviction(ratio: ratio, base: try base.fork()) }
  var state: [UInt32] { base.state }

  private func logit(_ layer: Int, _ kvHead: Int, _ position: Int) -> Float {
    var z = UInt64(bitPattern: Int64(position)) &* 0x9E37_79B9_7F4A_7C15
    z &+= UInt64(layer * 1024 + kvHead) &* 0xD1B5_4A32_D192_ED03
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    let uniform = Double((z ^ (z >> 31)) >> 11) * 0x1p-53
    return uniform < 1 - 1 / ratio ? 1 : -1
  }
}
