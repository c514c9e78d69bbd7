// How many tokens a cache will hold of those that it sees: what the ledgers of earlier sequences say, by policy and length. A
// cache that keeps all holds all; what a model forgets is learned from what it forgot. No policy is known here by name.

import DMSCache

/// Live tokens to expect after so many tokens.
struct LiveForecast {
  /// By the length's power of two: tokens seen, and live ones of those.
  private struct Record {
    let policy: EvictionPolicy
    var seen = [Double](repeating: 0, count: 64)
    var live = [Double](repeating: 0, count: 64)
  }

  private var records: [Record] = []
  /// A server's requests may each have a policy of their own; the oldest are given up.
  private static let mostPolicies = 64

  /// Learns from a cache as it is.
  mutating func note(_ policy: EvictionPolicy, seen: Int, live: Double) {
    guard seen > 0 else { return }
    let index = index(of: policy)
    let bucket = Self.bucket(seen)
    records[index].seen[bucket] += Double(seen)
    records[index].live[bucket] += live
  }

  /// Live tokens, the mean over heads. Where no sequence of this length was seen, the share of the longest shorter one, because
  /// shares fall with length; without any, all.
  func live(_ policy: EvictionPolicy, seen: Int) -> Double {
    guard seen > 0, let record = records.first(where: { $0.policy == policy }) else { return Double(seen) }
    for bucket in stride(from: Self.bucket(seen), through: 0, by: -1) where record.seen[bucket] > 0 {
      return Double(seen) * record.live[bucket] / record.seen[bucket]
    }
    return Double(seen)
  }

  private mutating func index(of policy: EvictionPolicy) -> Int {
    if let index = records.firstIndex(where: { $0.policy == policy }) { return index }
    if records.count == Self.mostPolicies { records.removeFirst() }
    records.append(Record(policy: policy))
    return records.count - 1
  }

  private static func bucket(_ seen: Int) -> Int { Int.bitWidth - 1 - seen.leadingZeroBitCount }
}
