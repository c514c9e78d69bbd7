// A cache that is told decisions, and what becomes of each token: until which query it is seen.

import DMSKernels
import DMSPlatform

@testable import DMSCache

/// A cache of one layer and two heads, without a model.
struct History {
  static let heads = 2
  /// For each head and token the last position that sees it; `nil`: it is still there.
  private(set) var lastSeen: [[Int?]] = Array(repeating: [], count: heads)
  private(set) var cache: SequenceCache
  private let assignment = SlotAssignment(kvHeads: heads, capacity: 4096)
  /// For each head the position of the token in each slot.
  private var owners: [[Int]] = Array(repeating: [], count: heads)

  init(_ policy: EvictionPolicy, capacity: Int = 4096) throws {
    cache = try SequenceCache(pool: Self.pool(), layers: 1, group: 1, capacity: capacity, policy: policy)
  }

  static func pool() throws -> KVPool {
    try KVPool(
      layout: KVLayout(headDim: 4, type: .f32), memoryNodes: [nil], arenaOfHead: Array(repeating: 0, count: heads))
  }

  /// The same tokens in another cache.
  func with(_ cache: SequenceCache) -> History {
    var other = self
    other.cache = cache
    return other
  }

  /// A call with tokens whose decision logits are `[T][heads]`.
  mutating func read(_ logits: [[Float]]) throws {
    let first = cache.tokensSeen
    cache.begin()
    logits.flatMap { $0 }.withUnsafeBufferPointer {
      cache.admit(
        layer: 0, tokens: logits.count, decisions: $0.baseAddress, attendsFirst: true, into: assignment)
    }
    try cache.place(layer: 0, tokens: logits.count, in: assignment)
    let lifetimes = assignment.keyLifetimes()
    for head in 0..<Self.heads {
      if let cached = lifetimes[head].cached {
        for (slot, owner) in owners[head].enumerated() where cached[slot] != KeyLifetimes.lasting {
          lastSeen[head][owner] = Int(cached[slot])
        }
      }
      for token in logits.indices {
        let last = lifetimes[head].chunk[token]
        lastSeen[head].append(last == KeyLifetimes.lasting ? nil : Int(last))
        guard last == KeyLifetimes.lasting else { continue }
        let slot = Int(assignment.slots[head * assignment.capacity + token])
        while owners[head].count <= slot { owners[head].append(-1) }
        owners[head][slot] = first + token
      }
    }
    cache.advance(by: logits.count)
  }
}

/// The definition of `CappedEviction`, word by word.
///
/// - Parameter logits: as they arrive.
/// - Returns: for each token the last position that sees it, and the largest number of tokens that were there.
func cappedTwin(_ logits: [Float], window: Int, shift: Int, cap: TokenCap) -> (lastSeen: [Int?], most: Int) {
  var lastSeen = [Int?](repeating: nil, count: logits.count)
  var most = 0
  for t in logits.indices {
    func there(_ i: Int) -> Bool { lastSeen[i] == nil }
    func decision(_ i: Int) -> Float { logits[i + shift] }
    let live = (0..<t).count(where: there)
    let most1: Int =
      switch cap {
      case .tokens(let tokens): tokens
      case .ratio(let ratio): max(window + 1, Int((Double(t + 1) / ratio).rounded(.up)))
      }
    let leaving = t - window - 1
    if leaving >= 0, there(leaving), decision(leaving) > 0 {
      lastSeen[leaving] = t - 1
    } else if live >= most1 {
      var victim: Int?
      for i in 0..<max(0, t - window) where there(i) {
        if let other = victim, decision(i) <= decision(other) { continue }
        victim = i
      }
      if let victim { lastSeen[victim] = t - 1 }
    }
    most = max(most, (0...t).count(where: there))
  }
  return (lastSeen, most)
}
