// TriAttention beside its formula, word by word: keys turned back, cosines of angles.

import DMSKernels
import DMSPlatform
import Glibc
import Testing

@testable import DMSCache

struct TriAttentionTests {
  private static let heads = PolicyRun.kvHeads * PolicyRun.group
  private static let dim = PolicyRun.headDim

  private static let calibration: QueryCalibration = {
    let centers = (0..<heads * dim).map { Float(RandomNumbers.normal(seed: 1, sequence: 0, position: $0)) }
    // A mean length is never below the length of the mean.
    let lengths = (0..<heads * dim / 2).map { place in
      let (head, frequency) = (place / (dim / 2), place % (dim / 2))
      let (x, y) = (centers[head * dim + frequency], centers[head * dim + dim / 2 + frequency])
      return (x * x + y * y).squareRoot() * 1.3
    }
    // Powers of two: angles are exact, in fp32 too.
    return QueryCalibration(
      shape: (1, heads, dim), centers: centers, lengths: lengths, frequencies: [1, 0x1p-2, 0x1p-5, 0x1p-10])
  }()

  /// Which tokens of each head are there after each call.
  private struct Twin {
    let budget: Int
    var alive: [[Int]] = [[], []]
    var prompt: Set<Int> = []

    mutating func read(_ text: PolicyRun.Text, _ first: Int, _ end: Int, isPrompt: Bool) {
      if isPrompt { prompt.formUnion(first..<end) }
      for head in alive.indices {
        alive[head] += first..<end
        let there = alive[head]
        guard end / 128 > first / 128, there.count > budget else { continue }
        let scores = scores(text, head, there, at: end - 1)
        let candidates = there.indices.filter { !prompt.contains(there[$0]) && there[$0] < end - 128 }
        let gone = Set(candidates.sorted { scores[$0] < scores[$1] }.prefix(there.count - budget))
        alive[head] = there.indices.filter { !gone.contains($0) }.map { there[$0] }
      }
    }

    private func scores(_ text: PolicyRun.Text, _ kvHead: Int, _ there: [Int], at t: Int) -> [Double] {
      var mean = [Double](repeating: 0, count: there.count)
      for member in 0..<PolicyRun.group {
        let raw = there.map { score(text.key($0, kvHead).map(Double.init), kvHead * PolicyRun.group + member, $0, t) }
        let average = raw.reduce(0, +) / Double(raw.count)
        let deviation = (raw.reduce(0) { $0 + ($1 - average) * ($1 - average) } / Double(raw.count)).squareRoot()
        for place in raw.indices { mean[place] += (raw[place] - average) / deviation / Double(PolicyRun.group) }
      }
      return mean
    }

    private func score(_ key: [Double], _ head: Int, _ i: Int, _ t: Int) -> Double {
      let (calibration, half) = (TriAttentionTests.calibration, TriAttentionTests.dim / 2)
      var sum = 0.0
      for f in 0..<half {
        let omega = Double(calibration.frequencies[f])
        let x = Double(calibration.centers[head * 2 * half + f])
        let y = Double(calibration.centers[head * 2 * half + half + f])
        let (qLength, kLength) = (hypot(x, y), hypot(key[f], key[f + half]))
        // Before RoPE: the cached key turned back by its position.
        let kAngle = atan2(key[f + half], key[f]) - omega * Double(i)
        for power in 0...16 {
          sum += qLength * kLength * cos(omega * Double(t - i + (1 << power)) + atan2(y, x) - kAngle) / 17
        }
        sum += (Double(calibration.lengths[head * half + f]) - qLength) * kLength
      }
      return sum
    }
  }

  private static func policy(_ budget: Int) -> EvictionPolicy { .triAttention(.tokens(budget), calibration) }

  @Test(arguments: [129, 150, 190], [1, 7, 64])
  func survivorsAreThoseOfTheFormula(budget: Int, call: Int) throws {
    let text = PolicyRun.Text(520, seed: 21)
    var run = try PolicyRun(Self.policy(budget), text)
    var twin = Twin(budget: budget)
    try run.read(30, isPrompt: true)
    twin.read(text, 0, 30, isPrompt: true)
    while run.cache.tokensSeen < text.tokens {
      let (first, count) = (run.cache.tokensSeen, min(call, text.tokens - run.cache.tokensSeen))
      try run.read(count)
      twin.read(text, first, first + count, isPrompt: false)
      for kvHead in 0..<PolicyRun.kvHeads { #expect(run.survivors(kvHead) == twin.alive[kvHead]) }
    }
    #expect(twin.alive[0].starts(with: 0..<30) && twin.alive[0].count < 400)
  }

  /// A prompt longer than the budget stays, and a cache that may hold more than there is keeps all.
  @Test func promptsStay() throws {
    for (budget, prompt) in [(140, 300), (1000, 10)] {
      var run = try PolicyRun(Self.policy(budget), .init(700, seed: 22))
      try run.read(prompt, isPrompt: true)
      try run.readAll(by: 1)
      #expect(run.survivors(0).starts(with: 0..<prompt))
      #expect(run.survivors(0).count == (budget == 1000 ? 700 : 300 + 128 + 700 % 128))
    }
  }

  @Test func forksGoTheirOwnWays() throws {
    let prefix = PolicyRun.Text(200, seed: 23)
    var run = try PolicyRun(Self.policy(150), prefix)
    try run.readAll(by: 8)
    var fork = run.with(try run.cache.fork(), prefix + PolicyRun.Text(200, seed: 24))
    run = run.with(nil, prefix + PolicyRun.Text(200, seed: 25))
    while run.cache.tokensSeen < 400 {
      try run.read(8)
      try fork.read(8)
    }
    for forked in [run, fork] {
      var alone = try PolicyRun(Self.policy(150), forked.text)
      try alone.readAll(by: 8)
      for kvHead in 0..<PolicyRun.kvHeads {
        #expect(forked.cache.exportHead(layer: 0, kvHead: kvHead) == alone.cache.exportHead(layer: 0, kvHead: kvHead))
      }
      #expect(forked.cache.evictionState == alone.cache.evictionState)
    }
  }
}
