// The policies once more, by the words of their definitions: plain lists, double precision, no slots.

import DMSKernels
import DMSPlatform
import Glibc

@testable import DMSCache

/// Says which tokens of each head are there after each call.
protocol PolicyTwin {
  init(_ policy: BudgetedPolicy)
  /// The tokens `first..<end` of the text were read in one call.
  mutating func read(_ text: PolicyRun.Text, _ first: Int, _ end: Int)
  /// For each head, in order.
  var alive: [[Int]] { get }
}

extension BudgetedPolicy {
  var twin: any PolicyTwin {
    switch kind {
    case .window: WindowTwin(self)
    case .tova: TOVATwin(self)
    case .h2o: H2OTwin(self)
    case .rKV, .snapKV: RKVTwin(self)
    case .vaseDKV: VaSEDKVTwin(self)
    case .vaseAttnV: VaSEAttnVTwin(self)
    }
  }

  /// Tokens of a head that has seen `seen`.
  func budget(_ seen: Int) -> Int {
    switch cap {
    case .tokens(let tokens): tokens
    case .ratio(let ratio): max(kind.least, Int((Double(seen) / ratio).rounded(.up)))
    }
  }
}

/// The softmax of a query head over some tokens.
private func weights(_ text: PolicyRun.Text, _ query: Int, _ kvHead: Int, _ member: Int, _ tokens: [Int]) -> [Double] {
  Reference.attentionWeights(query: text.query(query, kvHead, member), keys: tokens.map { text.key($0, kvHead) })
}

/// Takes the token with the lowest score out, of equals the oldest.
private func removeLowest(_ tokens: inout [Int], among candidates: [Int], _ score: (Int) -> Double) {
  guard var victim = candidates.first else { return }
  for token in candidates.dropFirst() where score(token) < score(victim) { victim = token }
  tokens.removeAll { $0 == victim }
}

private let allHeads = 0..<PolicyRun.kvHeads

struct WindowTwin: PolicyTwin {
  let policy: BudgetedPolicy
  var alive: [[Int]] = allHeads.map { _ in [] }
  init(_ policy: BudgetedPolicy) { self.policy = policy }

  mutating func read(_ text: PolicyRun.Text, _ first: Int, _ end: Int) {
    for head in allHeads {
      for token in first..<end {
        if alive[head].count >= policy.budget(token + 1) { alive[head].remove(at: 4) }
        alive[head].append(token)
      }
    }
  }
}

struct TOVATwin: PolicyTwin {
  let policy: BudgetedPolicy
  private var layer: [Int] = []
  var alive: [[Int]] { allHeads.map { _ in layer } }
  init(_ policy: BudgetedPolicy) { self.policy = policy }

  mutating func read(_ text: PolicyRun.Text, _ first: Int, _ end: Int) {
    layer += first..<end
    var mean = [Int: Double]()
    for head in allHeads {
      for member in 0..<PolicyRun.group {
        for (token, weight) in zip(layer, weights(text, end - 1, head, member, layer)) {
          mean[token, default: 0] += weight / Double(PolicyRun.kvHeads * PolicyRun.group)
        }
      }
    }
    while layer.count > policy.budget(end) { removeLowest(&layer, among: layer) { mean[$0] ?? 0 } }
  }
}

struct H2OTwin: PolicyTwin {
  let policy: BudgetedPolicy
  var alive: [[Int]] = allHeads.map { _ in [] }
  private var sums: [[Int: Double]] = allHeads.map { _ in [:] }
  init(_ policy: BudgetedPolicy) { self.policy = policy }

  mutating func read(_ text: PolicyRun.Text, _ first: Int, _ end: Int) {
    for head in allHeads {
      alive[head] += first..<end
      for query in first..<end {
        let seen = alive[head].filter { $0 <= query }
        for member in 0..<PolicyRun.group {
          for (token, weight) in zip(seen, weights(text, query, head, member, seen)) {
            sums[head][token, default: 0] += weight
          }
        }
      }
      let budget = policy.budget(end)
      while alive[head].count > budget {
        let recent = end - (budget - budget / 2)
        removeLowest(&alive[head], among: alive[head].filter { $0 < recent }) { sums[head][$0] ?? 0 }
      }
    }
  }
}

struct RKVTwin: PolicyTwin {
  let policy: BudgetedPolicy
  var alive: [[Int]] = allHeads.map { _ in [] }
  init(_ policy: BudgetedPolicy) { self.policy = policy }

  mutating func read(_ text: PolicyRun.Text, _ first: Int, _ end: Int) {
    let (window, reach, alpha) = policy.kind == .rKV ? (8, 3, 0.1) : (32, 2, 1)
    for head in allHeads {
      alive[head] += first..<end
      guard alive[head].count >= policy.budget(end) + 128 else { continue }
      let there = alive[head]
      let queries = max(0, end - window)..<end
      var importance = [Int: Double]()
      for query in queries {
        let seen = there.filter { $0 <= query }
        let all = (0..<PolicyRun.group).map { weights(text, query, head, $0, seen) }
        for (place, token) in seen.enumerated() {
          importance[token, default: 0] += (all.map { $0[place] }.max() ?? 0) / Double(queries.count)
        }
      }
      let old = there.filter { $0 < end - window }
      let redundancy = Reference.redundancy(keys: there.map { text.key($0, head) })
      var scores = [Int: Double]()
      for (place, token) in old.enumerated() {
        let around = (max(0, place - reach)...min(old.count - 1, place + reach)).map { importance[old[$0]] ?? 0 }
        let pooled = policy.kind == .rKV ? around.max() ?? 0 : around.reduce(0, +) / Double(around.count)
        scores[token] = alpha * pooled - (1 - alpha) * redundancy[place]
      }
      while alive[head].count > policy.budget(end) {
        removeLowest(&alive[head], among: alive[head].filter { $0 < end - window }) { scores[$0] ?? 0 }
      }
    }
  }
}

struct VaSEDKVTwin: PolicyTwin {
  let policy: BudgetedPolicy
  var alive: [[Int]] = allHeads.map { _ in [] }
  init(_ policy: BudgetedPolicy) { self.policy = policy }

  mutating func read(_ text: PolicyRun.Text, _ first: Int, _ end: Int) {
    let isDue = (first + 1...end).contains { $0 % 64 == 0 }
    func entry(_ channel: Int, _ column: Int) -> Double {
      RandomNumbers.normal(
        seed: RandomNumbers.seed(policy.seed, end - 1), sequence: 0, position: channel * 20 + column) / 20.squareRoot()
    }
    let gaussian = (0..<PolicyRun.headDim).map { channel in (0..<20).map { entry(channel, $0) } }
    func span(_ x: [Float]) -> Double {
      (0..<20).reduce(0) { sum, column in
        let projected = x.indices.reduce(0) { $0 + Double(x[$1]) * gaussian[$1][column] }
        return sum + projected * projected
      }
    }
    for head in allHeads {
      alive[head] += first..<end
      while isDue, alive[head].count > policy.budget(end) {
        let others = alive[head].filter { $0 >= 4 && $0 < end - 64 }
        removeLowest(&alive[head], among: others) { span(text.key($0, head)) * span(text.value($0, head)) }
      }
    }
  }
}

struct VaSEAttnVTwin: PolicyTwin {
  let policy: BudgetedPolicy
  var alive: [[Int]] = allHeads.map { _ in [] }
  init(_ policy: BudgetedPolicy) { self.policy = policy }

  mutating func read(_ text: PolicyRun.Text, _ first: Int, _ end: Int) {
    let isDue = (first + 1...end).contains { $0 % 64 == 0 }
    let budget = policy.budget(end)
    for head in allHeads {
      alive[head] += first..<end
      guard isDue, alive[head].count > budget else { continue }
      let queries = max(0, end - 64)..<end
      var mean = [Int: Double]()
      for query in queries {
        let seen = alive[head].filter { $0 <= query }
        for member in 0..<PolicyRun.group {
          for (token, weight) in zip(seen, weights(text, query, head, member, seen)) {
            mean[token, default: 0] += weight / Double(queries.count * PolicyRun.group)
          }
        }
      }
      func range(_ token: Int) -> Double {
        let value = text.value(token, head).map(Double.init)
        return (value.max() ?? 0) - (value.min() ?? 0)
      }
      var rest = alive[head].filter { $0 >= 4 }
      var kept = alive[head].filter { $0 < 4 }
      for _ in 0..<budget / 4 {
        guard let far = rest.max(by: { (range($0), $0) < (range($1), $1) }) else { break }
        kept.append(far)
        rest.removeAll { $0 == far }
      }
      var order = [(key: Double, token: Int)]()
      for (place, token) in rest.enumerated() {
        let around = (max(0, place - 2)...min(rest.count - 1, place + 2)).map { mean[rest[$0]] ?? 0 }
        let u = RandomNumbers.uniform(
          seed: RandomNumbers.seed(policy.seed, end - 1), sequence: head, position: token)
        order.append((-log(1 - u) / (around.reduce(0, +) / Double(around.count)), token))
      }
      kept += order.sorted { $0.key < $1.key }.prefix(budget - kept.count).map(\.token)
      alive[head] = kept.sorted()
    }
  }
}
