// The measurements of `dms bench` with one engine.

import ArgumentParser
import DMSCache
import DMSModel
import DMSPlatform

struct BenchRun {
  enum Work: String { case prefill, decode }

  let engine: Engine
  let policy: PolicyName
  let prompt: Int
  let steps: Int
  let repetitions: Int
  /// Read after every measurement of decoding, to compare it with.
  let memory: MemoryBandwidth

  struct Result {
    var work: Work
    var policy: PolicyName
    var depth: Int
    var chains: Int
    var weights: String
    var kvType: String
    /// Tokens per second of each repetition, all chains together.
    var samples: [Double]
    /// Weights and cache read per token, in a decode step; 0 for prefill.
    var bytesPerToken: Double
    /// What memory delivered in bytes per second, after each repetition of a decoding; empty for prefill.
    var bandwidths: [Double]
    var kvBytes: Int
    var liveTokens: Double

    var median: Double { BenchRun.median(samples) }
    /// What decoding read, of what memory delivered then.
    var bandwidthShare: Double { BenchRun.median(zip(samples, bandwidths).map { $0 * bytesPerToken / $1 }) }
  }

  static func median(_ samples: [Double]) -> Double {
    let sorted = samples.sorted()
    guard !sorted.isEmpty else { return 0 }
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }

  /// One sequence grows from depth to depth; what is measured happens on forks of it, which leave it as it was, or, for a
  /// single chain, on itself: its depth then goes on by the steps that were measured.
  func measure(depths: [Int], chains: [Int], _ onResult: (Result) throws -> Void) throws {
    let base = try engine.makeCache()
    for depth in depths {
      try engine.fillArbitrarily(base, tokens: max(0, depth - base.tokensSeen))
      if prompt > 0 { try onResult(prefill(base, depth: depth)) }
      guard steps > 0 else { continue }
      for count in chains.sorted(by: >) { try onResult(decode(base, depth: depth, chains: count)) }
    }
  }

  private func prefill(_ base: SequenceCache, depth: Int) throws -> Result {
    let ids = (0..<prompt).map { ($0 &* 7919 &+ 13) % engine.decoder.configuration.vocabulary }
    var samples: [Double] = []
    var kvBytes = 0
    for repetition in 0...repetitions {
      try stopIfAsked()
      let cache = try base.fork()
      let time = try ContinuousClock().measure {
        try stoppable { try engine.prefill(ids, into: cache, isCancelled: { Interrupt.isRequested }) }
      }
      // The first run, not counted, touches memory for the first time.
      kvBytes = withExtendedLifetime(cache) { engine.cacheBytesHeld }
      if repetition > 0 { samples.append(Double(prompt) / (time / .seconds(1))) }
    }
    base.consolidate()
    return result(.prefill, depth, 1, samples, kvBytes, live: base.ledger.liveTokens)
  }

  private func decode(_ base: SequenceCache, depth: Int, chains: Int) throws -> Result {
    let vocabulary = engine.decoder.configuration.vocabulary
    // A single chain at depth 0 starts from nothing, too.
    let caches =
      depth == 0
      ? try (0..<chains).map { _ in try engine.makeCache() }
      : chains == 1 ? [base] : try (0..<chains).map { _ in try base.fork() }
    let warmUp = min(4, steps)
    var ids = (0..<chains).map { ($0 &* 104_729 &+ 7) % vocabulary }
    func step() throws {
      try engine.decode(ids, in: caches)
      for chain in ids.indices { ids[chain] = (ids[chain] &* 31 &+ 17) % vocabulary }
    }
    for _ in 0..<warmUp { try step() }
    var (samples, bandwidths): ([Double], [Double]) = ([], [])
    var bytes = 0.0
    for _ in 0..<repetitions {
      try stopIfAsked()
      let time = try ContinuousClock().measure { for _ in 0..<steps { try step() } }
      samples.append(Double(steps * chains) / (time / .seconds(1)))
      bandwidths.append(memory.measure())
      bytes = Double(engine.decoder.stepBytes) + caches.reduce(0.0) { $0 + Double($1.ledger.bytesLive) }
    }
    let live = caches.reduce(0.0) { $0 + $1.ledger.liveTokens } / Double(chains)
    let held = withExtendedLifetime(caches) { engine.cacheBytesHeld }
    return result(
      .decode, depth, chains, samples, held, live: live, bytesPerToken: bytes / Double(chains), bandwidths)
  }

  private func result(
    _ work: Work, _ depth: Int, _ chains: Int, _ samples: [Double], _ kvBytes: Int, live: Double,
    bytesPerToken: Double = 0, _ bandwidths: [Double] = []
  ) -> Result {
    Result(
      work: work, policy: policy, depth: depth, chains: chains, weights: engine.decoder.weightFormat.rawValue,
      kvType: engine.kvType.rawValue, samples: samples, bytesPerToken: bytesPerToken, bandwidths: bandwidths,
      kvBytes: kvBytes, liveTokens: live)
  }

  private func stopIfAsked() throws {
    if Interrupt.isRequested { throw Interrupt.exitCode }
  }

  private func stoppable(_ work: () throws -> Void) throws {
    do { try work() } catch is CancellationError { throw Interrupt.exitCode }
  }
}
