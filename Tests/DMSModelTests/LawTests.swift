// The laws of the sparse cache (chunk, turn, fork, off) on real models with real decisions.

import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import DMSTensor
import Foundation
import Testing

@testable import DMSCache

struct LawTests {
  private func ids(_ count: Int, seed: UInt64, below vocabulary: Int) -> [Int] {
    var random = SplitMix(seed: seed)
    return (0..<count).map { _ in Int(random.next() % UInt64(vocabulary)) }
  }

  /// Calls of random sizes that add up to `count`.
  private func split(_ count: Int, seed: UInt64) -> [Int] {
    var random = SplitMix(seed: seed)
    var (sizes, left) = ([Int](), count)
    while left > 0 {
      sizes.append(1 + Int(random.next() % UInt64(min(left, 40))))
      left -= min(left, sizes[sizes.count - 1])
    }
    return sizes
  }

  /// Logits agree to 1e-4 of the largest, decisions wherever they are not close calls, and so the live counts.
  private func expectSame(_ a: Run, _ b: Run, _ comment: Comment) {
    #expect(a.logits.count == b.logits.count, comment)
    #expect(largestDifference(a.logits, b.logits) <= 1e-4 * max(largest(a.logits), 1e-3), comment)
    for (x, y) in zip(a.decisionLogits, b.decisionLogits) {
      #expect(zip(x, y).allSatisfy { ($0 > 0) == ($1 > 0) || min(abs($0), abs($1)) <= 1e-3 }, comment)
    }
    #expect(a.retained == b.retained, comment)
  }

  @Test(arguments: Fixture.sparse)
  func anySplitEvictsTheSameTokens(fixture: Fixture) throws {
    let decoder = try fixture.decoder()
    let window = try #require(decoder.configuration.dms).window
    for length in [0, 1, window, window + 1, window + 2, 2 * window + 3, 150] {
      for seed in 0..<3 as Range<UInt64> {
        let ids = ids(length, seed: seed, below: decoder.configuration.vocabulary)
        let stepwise = try Run(decoder)
        try stepwise.read(ids, split: [])
        for sizes in [[max(1, length)], split(length, seed: seed)] {
          let other = try Run(decoder, chunk: 64)
          try other.read(ids, split: sizes)
          expectSame(stepwise, other, "length \(length), seed \(seed), split \(sizes)")
        }
      }
    }
  }

  @Test(arguments: Fixture.sparse)
  func anySplitForgetsTheSameUnderACap(fixture: Fixture) throws {
    let decoder = try fixture.decoder()
    let window = try #require(decoder.configuration.dms).window
    let ids = ids(4 * window + 50, seed: 11, below: decoder.configuration.vocabulary)
    for budget in [CacheBudget.tokens(window + 3), .tokens(window + 20), .ratio(3)] {
      let stepwise = try Run(decoder, budget: budget)
      try stepwise.read(ids, split: [])
      let other = try Run(decoder, chunk: 64, budget: budget)
      try other.read(ids, split: split(ids.count, seed: 2))
      expectSame(stepwise, other, "\(budget)")
      if case .tokens(let most) = budget { #expect(other.retained.allSatisfy { $0 <= most }) }
    }
  }

  @Test func aDenseModelHasNoOrderToForgetIn() throws {
    let fixture = try #require(Fixture.all.first { $0.name == "qwen3" })
    let decoder = try fixture.decoder()
    #expect(throws: InputError.self) { try Run(decoder, budget: .tokens(100)) }
  }

  @Test(arguments: [0, 1], [0, 1, 5])
  func theLiveCountIsThatOfTheDefinition(shift: Int, window: Int) throws {
    let fixture = try #require(Fixture.sparse.first { !$0.name.contains("adapter") })
    try withSettings(of: fixture, shift: shift, window: window) { decoder in
      let tokens = 90
      let run = try Run(decoder)
      try run.read(ids(tokens, seed: 3, below: decoder.configuration.vocabulary), split: split(60, seed: 1))
      let kvHeads = decoder.configuration.kvHeads
      for (layer, logits) in run.decisionLogits.enumerated() {
        for kvHead in 0..<kvHeads {
          // live = #{i : not evict(i) or T − 1 − i ≤ w}, evict(i) = d[i + shift]
          let live = (0..<tokens).count { i in
            let decides = i + shift
            let evicted = decides < tokens && logits[decides * kvHeads + kvHead] > 0
            return !evicted || tokens - 1 - i <= window
          }
          #expect(run.cache.liveTokens(layer: layer, kvHead: kvHead) == live)
        }
      }
    }
  }

  @Test(arguments: Fixture.sparse)
  func turnsEqualOneRun(fixture: Fixture) throws {
    let decoder = try fixture.decoder()
    let ids = ids(140, seed: 5, below: decoder.configuration.vocabulary)
    let turns = try Run(decoder)
    try turns.read(Array(ids[..<50]), split: [30])  // a prompt, and 20 tokens one by one
    try turns.read(Array(ids[50..<140]), split: [40])  // and again
    let whole = try Run(decoder)
    try whole.read(ids, split: [140])
    expectSame(turns, whole, "two turns")
  }

  @Test(arguments: Fixture.sparse, [1, 3])
  func forksEqualIndependentRuns(fixture: Fixture, threads: Int) throws {
    let decoder = try fixture.decoder()
    let vocabulary = decoder.configuration.vocabulary
    let prefix = ids(77, seed: 1, below: vocabulary)
    let run = try Run(decoder, threads: threads)
    try run.engine.prefill(prefix, into: run.cache)
    // A fork, a fork of a fork, and the original all go on, in turns; each as prefill and as single tokens.
    let first = try run.cache.fork()
    var logits: [[Float]] = [[], [], []]
    let continuations = (0..<3).map { ids(60, seed: 10 + UInt64($0), below: vocabulary) }
    try go(on: run.engine, first, Array(continuations[1][..<30]), &logits[1])
    let second = try first.fork()
    for (cache, index) in [(run.cache, 0), (second, 2), (first, 1)] {
      let more = index == 0 ? continuations[0] : Array(continuations[index][30...])
      try go(on: run.engine, cache, more, &logits[index])
    }
    for (index, path) in [
      prefix + continuations[0], prefix + continuations[1], prefix + continuations[1][..<30] + continuations[2][30...],
    ].enumerated() {
      let alone = try Run(decoder, threads: 1)
      try alone.engine.prefill(prefix, into: alone.cache)
      var expected: [Float] = []
      let rest = Array(path[prefix.count...])
      if index == 0 {
        try go(on: alone.engine, alone.cache, rest, &expected)
      } else {
        var ignored: [Float] = []
        try go(on: alone.engine, alone.cache, Array(rest[..<30]), &ignored)
        if index == 1 { expected = ignored }
        try go(on: alone.engine, alone.cache, Array(rest[30...]), &expected)
      }
      #expect(logits[index].map(\.bitPattern) == expected.map(\.bitPattern), "continuation \(index)")
    }
  }

  /// Half of the ids in one call, the rest one by one.
  private func go(on engine: Engine, _ cache: SequenceCache, _ ids: [Int], _ logits: inout [Float]) throws {
    try engine.prefill(Array(ids[..<(ids.count / 2)]), into: cache)
    for id in ids[(ids.count / 2)...] {
      try engine.decode(id, in: cache)
      logits.append(contentsOf: engine.logits())
    }
  }

  @Test func consolidationChangesNothingButMemory() throws {
    let fixture = try #require(Fixture.sparse.first { $0.name.contains("high-cr") })
    let decoder = try fixture.decoder()
    let run = try Run(decoder)
    let vocabulary = decoder.configuration.vocabulary
    try run.engine.prefill(ids(200, seed: 1, below: vocabulary), into: run.cache)
    var fork: SequenceCache? = try run.cache.fork()
    let kept = try #require(fork)
    #expect(kept.tokensSeen == 200)
    let rest = ids(40, seed: 2, below: vocabulary)
    for id in rest[..<20] { try run.engine.decode(id, in: run.cache) }
    let before = run.cache.ledger.bytesHeld
    fork = nil
    try withExtendedLifetime(kept) { try run.engine.decode(rest[20], in: run.cache) }
    let consolidated = try run.cache.fork()
    run.cache.consolidate()  // shared: nothing to bring home
    for id in rest[21...] {
      try run.engine.decode(id, in: run.cache)
      let expected = Array(run.engine.logits())
      try run.engine.decode(id, in: consolidated)
      #expect(Array(run.engine.logits()) == expected)
    }
    #expect(before > 0)
  }

  @Test func memoryComesBackWhenForksGo() throws {
    let fixture = try #require(Fixture.sparse.first { $0.name.contains("high-cr") })
    let decoder = try fixture.decoder()
    let run = try Run(decoder)
    let vocabulary = decoder.configuration.vocabulary
    try run.engine.prefill(ids(200, seed: 1, below: vocabulary), into: run.cache)
    do {
      let fork = try run.cache.fork()
      for id in ids(30, seed: 2, below: vocabulary) { try run.engine.decode(id, in: run.cache) }
      #expect(fork.tokensSeen == 200)
    }
    run.cache.consolidate()
    let alone = try Run(decoder)
    try alone.engine.prefill(ids(200, seed: 1, below: vocabulary), into: alone.cache)
    for id in ids(30, seed: 2, below: vocabulary) { try alone.engine.decode(id, in: alone.cache) }
    #expect(run.engine.cacheBytesHeld == alone.engine.cacheBytesHeld)
    #expect(run.cache.ledger.bytesHeld == alone.cache.ledger.bytesHeld)
    try run.engine.decode(5, in: run.cache)
    try alone.engine.decode(5, in: alone.cache)
    #expect(Array(run.engine.logits()) == Array(alone.engine.logits()))
  }

  @Test func nothingEvictedIsBitForBitDense() throws {
    let fixture = try #require(Fixture.sparse.first { $0.name.contains("high-cr") })
    // A window longer than the text: the policy runs, and nothing ever leaves.
    try withSettings(of: fixture, shift: 1, window: 4000) { decoder in
      let ids = ids(120, seed: 4, below: decoder.configuration.vocabulary)
      let sparse = try Run(decoder)
      try sparse.read(ids, split: [50, 20])
      let dense = try Run(decoder, eviction: false)
      try dense.read(ids, split: [50, 20])
      #expect(sparse.logits.map(\.bitPattern) == dense.logits.map(\.bitPattern))
      #expect(dense.cache.policy == .keepAll)
    }
  }

  @Test(arguments: Fixture.sparse.prefix(2))
  func threadsDoNotChangeABit(fixture: Fixture) throws {
    let decoder = try fixture.decoder()
    let ids = ids(150, seed: 6, below: decoder.configuration.vocabulary)
    let runs = try [1, 2, 5].map { threads in
      let run = try Run(decoder, threads: threads)
      try run.read(ids, split: [90])
      return run
    }
    #expect(runs[0].logits.map(\.bitPattern) == runs[1].logits.map(\.bitPattern))
    #expect(runs[0].logits.map(\.bitPattern) == runs[2].logits.map(\.bitPattern))
  }

  @Test func aSequenceDoesNotFeelItsBatch() throws {
    let fixture = try #require(Fixture.sparse.first)
    let decoder = try fixture.decoder()
    var options = Engine.Options()
    options.batch = 3
    let engine = try Engine(decoder, on: Machine(threads: 2), options)
    let caches = try (0..<3).map { _ in try engine.makeCache() }
    let prompts = (0..<3).map { ids(20 + 17 * $0, seed: UInt64($0), below: decoder.configuration.vocabulary) }
    for (cache, prompt) in zip(caches, prompts) { try engine.prefill(prompt, into: cache) }
    var together: [[Float]] = [[], [], []]
    for step in 0..<20 {
      try engine.decode([step, step + 1, step + 2], in: caches)
      for index in 0..<3 { together[index].append(contentsOf: engine.logits(index)) }
    }
    for index in 0..<3 {
      let cache = try engine.makeCache()
      try engine.prefill(prompts[index], into: cache)
      var alone: [Float] = []
      for step in 0..<20 {
        try engine.decode(step + index, in: cache)
        alone.append(contentsOf: engine.logits())
      }
      #expect(alone.map(\.bitPattern) == together[index].map(\.bitPattern))
    }
  }

  @Test(arguments: [KVType.bf16, .f16, .q8])
  func narrowKeysObeyTheChunkLawToo(type: KVType) throws {
    let fixture = try #require(Fixture.sparse.first { $0.name.contains("head") })
    let decoder = try fixture.decoder()
    let ids = ids(130, seed: 8, below: decoder.configuration.vocabulary)
    let stepwise = try Run(decoder, kvType: type)
    try stepwise.read(ids, split: [])
    let whole = try Run(decoder, kvType: type)
    try whole.read(ids, split: [130])
    // A key that rounds the other way moves by 2^-8 of itself, or of its block; nothing else differs.
    #expect(largestDifference(stepwise.logits, whole.logits) <= 4e-3 * largest(whole.logits))
    #expect(stepwise.cache.ledger.bytesLive < (try Run(decoder)).cache.layout.slotBytes * 1000)
  }

  @Test func eightForksShareTheirPrompt() throws {
    let fixture = try #require(Fixture.sparse.first { $0.name.contains("high-cr") })
    let decoder = try fixture.decoder()
    let run = try Run(decoder)
    let shape = decoder.configuration
    try run.engine.prefill(ids(2000, seed: 1, below: shape.vocabulary), into: run.cache)
    let promptLive = run.cache.ledger.bytesLive
    let forks = try (0..<8).map { _ in try run.cache.fork() }
    for (index, fork) in forks.enumerated() {
      for id in ids(500, seed: 20 + UInt64(index), below: shape.vocabulary) { try run.engine.decode(id, in: fork) }
    }
    let privateLive = forks.reduce(0) { $0 + $1.slots.privateSlots * run.cache.layout.slotBytes }
    let held = Double(run.engine.cacheBytesHeld) / Double(promptLive + privateLive)
    #expect(held <= 1.25, "held \(run.engine.cacheBytesHeld), prompt \(promptLive), private \(privateLive)")
  }

  @Test func aLongPromptNeverHoldsItsDenseCache() throws {
    let fixture = try #require(Fixture.sparse.first { $0.name.contains("high-cr") })
    let decoder = try fixture.decoder()
    let run = try Run(decoder, context: 20_000)
    try run.engine.prefill(ids(20_000, seed: 9, below: decoder.configuration.vocabulary), into: run.cache)
    let ledger = run.cache.ledger
    #expect(ledger.bytesHeld * 6 <= ledger.bytesDense)
    #expect(ledger.tokensSeen == 20_000)
  }

  /// The fixture's model with other DMS settings.
  private func withSettings(
    of fixture: Fixture, shift: Int, window: Int, _ body: (Decoder) throws -> Void
  ) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for name in try FileManager.default.contentsOfDirectory(atPath: fixture.folder) where name.hasPrefix("model") {
      try FileManager.default.createSymbolicLink(
        atPath: "\(folder)/\(name)", withDestinationPath: "\(fixture.folder)/\(name)")
    }
    let data = try Data(contentsOf: URL(filePath: fixture.folder + "/config.json"))
    var config = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    config["dms_window_size"] = window
    try JSONSerialization.data(withJSONObject: config).write(to: URL(filePath: folder + "/config.json"))
    if shift == 0 {
      // FastDMS' form: a token decides about itself.
      let scale = try #require(config["dms_alpha_scale"] as? Double)
      let offset = try #require(config["dms_initial_alpha_offset"] as? Double)
      let metadata = "{\"config\":{\"window_size\":\(window),\"alpha_scale\":\(scale),\"alpha_offset\":\(offset)}}"
      try metadata.write(toFile: folder + "/dms_metadata.json", atomically: true, encoding: .utf8)
    }
    try body(Decoder(ModelSource(path: folder), on: Machine(threads: 2)))
  }
}

/// SplitMix64.
struct SplitMix: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
