// The policies in a model's calls: off, turns, forks, batches and threads. What each keeps is tested where policies are.

import DMSCache
import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import Testing

struct PolicyLawTests {
  private static let names = PolicyName.allCases.filter { $0.budgeted != nil || $0 == .quest }

  private func decoder(_ name: String = "qwen3") throws -> Decoder {
    try #require(Fixture.all.first { $0.name == name }).decoder()
  }

  private func engine(
    _ decoder: Decoder, _ policy: PolicyName? = nil, _ budget: CacheBudget? = nil, batch: Int = 1, chunk: Int = 512,
    threads: Int = 2, kvType: KVType = .f32
  ) throws -> Engine {
    var options = Engine.Options()
    (options.policy, options.budget, options.batch) = (policy, budget, batch)
    (options.chunk, options.kvType) = (chunk, kvType)
    return try Engine(decoder, on: Machine(threads: threads), options)
  }

  private func ids(_ count: Int, seed: UInt64, _ decoder: Decoder) -> [Int] {
    var random = SplitMix(seed: seed)
    return (0..<count).map { _ in Int(random.next() % UInt64(decoder.configuration.vocabulary)) }
  }

  /// Reads a prompt, then tokens one by one.
  private func logits(
    _ engine: Engine, _ cache: SequenceCache, _ prompt: [Int], _ rest: [Int]
  ) throws -> [UInt32] {
    try engine.prefill(prompt, into: cache)
    var logits = engine.logits().map(\.bitPattern)
    for id in rest {
      try engine.decode(id, in: cache)
      logits += engine.logits().map(\.bitPattern)
    }
    return logits
  }

  /// The ledger without what sequences of an engine share.
  private func account(_ cache: SequenceCache) -> [Double] {
    let ledger = cache.ledger
    return [
      Double(ledger.tokensSeen), ledger.liveTokens, ledger.tokensRead, ledger.peakTokens, Double(ledger.bytesHeld),
    ]
  }

  @Test(arguments: names)
  func aHugeBudgetIsBitForBitDense(name: PolicyName) throws {
    for (fixture, kvType) in [("qwen3", KVType.f32), ("qwen3-dms-neuron-head", .q8)] {
      let decoder = try decoder(fixture)
      let (prompt, rest) = (ids(150, seed: 1, decoder), ids(60, seed: 2, decoder))
      let budgeted = try engine(decoder, name, .tokens(4000), kvType: kvType)
      let dense = try engine(decoder, .dense, kvType: kvType)
      #expect(
        try logits(budgeted, budgeted.makeCache(), prompt, rest) == logits(dense, dense.makeCache(), prompt, rest))
    }
  }

  /// The engine divides a prompt as a caller would.
  @Test(arguments: names)
  func equalCallsAreEqual(name: PolicyName) throws {
    let decoder = try decoder()
    let prompt = ids(300, seed: 3, decoder)
    let (divided, whole) = (try engine(decoder, name, .tokens(90)), try engine(decoder, name, .tokens(90), chunk: 32))
    let (a, b) = (try divided.makeCache(), try whole.makeCache())
    for first in stride(from: 0, to: 300, by: 32) {
      try divided.prefill(Array(prompt[first..<min(300, first + 32)]), into: a)
    }
    try whole.prefill(prompt, into: b)
    #expect(Array(divided.logits()) == Array(whole.logits()))
    #expect(a.evictionState == b.evictionState && account(a) == account(b))
    if name != .quest { #expect(a.ledger.liveTokens < 300) }
  }

  @Test(arguments: names)
  func forksEqualIndependentRuns(name: PolicyName) throws {
    let decoder = try decoder()
    let engine = try engine(decoder, name, .tokens(80))
    let prefix = ids(200, seed: 4, decoder)
    let cache = try engine.makeCache()
    try engine.prefill(prefix, into: cache)
    let fork = try cache.fork()
    let rests = [ids(150, seed: 5, decoder), ids(150, seed: 6, decoder)]
    let forked = try [
      logits(engine, cache, Array(rests[0][..<20]), Array(rests[0][20...])),
      logits(engine, fork, Array(rests[1][..<20]), Array(rests[1][20...])),
    ]
    for (rest, forked) in zip(rests, forked) {
      let alone = try engine.makeCache()
      try engine.prefill(prefix, into: alone)
      #expect(try logits(engine, alone, Array(rest[..<20]), Array(rest[20...])) == forked)
    }
  }

  /// Sequences of one step, each with a policy of its own, are as they are alone.
  @Test func policiesDoNotFeelEachOther() throws {
    let decoder = try decoder("qwen3-dms-neuron-head")
    let engine = try engine(decoder, batch: 16)
    var policies = [engine.policy, .keepAll, try engine.policy(.dms, budget: .tokens(60))]
    policies += try Self.names.map { try engine.policy($0, budget: .tokens(80)) }
    let prompts = policies.indices.map { ids(90 + 13 * $0, seed: UInt64($0), decoder) }
    let caches = try policies.map { try engine.makeCache(policy: $0) }
    for (cache, prompt) in zip(caches, prompts) { try engine.prefill(prompt, into: cache) }
    let steps = ids(140, seed: 7, decoder)
    var together = policies.map { _ in [UInt32]() }
    for id in steps {
      try engine.decode(policies.map { _ in id }, in: caches)
      for index in policies.indices { together[index] += engine.logits(index).map(\.bitPattern) }
    }
    for (index, policy) in policies.enumerated() {
      let alone = try engine.makeCache(policy: policy)
      try engine.prefill(prompts[index], into: alone)
      var logits: [UInt32] = []
      for id in steps {
        try engine.decode(id, in: alone)
        logits += engine.logits().map(\.bitPattern)
      }
      #expect(logits == together[index], "\(policy)")
      #expect(account(alone) == account(caches[index]), "\(policy)")
    }
  }

  @Test(arguments: names)
  func threadsDoNotChangeABit(name: PolicyName) throws {
    let decoder = try decoder()
    let (prompt, rest) = (ids(200, seed: 8, decoder), ids(140, seed: 9, decoder))
    let runs = try [1, 2, 5].map { threads in
      let engine = try engine(decoder, name, .tokens(80), threads: threads)
      return try logits(engine, engine.makeCache(), prompt, rest)
    }
    #expect(runs[0] == runs[1] && runs[0] == runs[2])
  }

  /// Quest keeps everything and reads less: the pages' bounds and so many tokens.
  @Test func questReadsItsBudget() throws {
    let decoder = try decoder()
    let engine = try engine(decoder, .quest, .tokens(48))
    let cache = try engine.makeCache()
    try engine.prefill(ids(200, seed: 10, decoder), into: cache)
    #expect(cache.ledger.tokensRead == 0 && cache.ledger.liveTokens == 200)
    try engine.decode(1, in: cache)
    // 201 tokens are 13 pages, of which the last holds 9; three are read.
    #expect(cache.ledger.tokensRead == 13 + 2 * 16 + 9)
    let dense = try self.engine(decoder, .dense).makeCache()
    #expect(dense.ledger.bytesHeld == 0 && cache.ledger.bytesHeld > cache.ledger.bytesDense)
  }

  @Test func whatCannotServeIsRefusedWithAReason() throws {
    let decoder = try decoder()
    for (name, budget, part) in [
      (.tova, nil, "needs a budget"), (.quest, nil, "needs a budget"), (.quest, .bytes(1 << 20), "keeps every token"),
      (.quest, .tokens(15), "at least 16"), (.dense, .tokens(100), "keeps every token"),
      (.dms, nil, "not taught to forget"), (.tova, .tokens(0), "too small"), (.h2o, .bytes(10), "too small"),
      (.triAttention, .tokens(200), "queries"), (.triAttention, .bytes(1 << 20), "whole prompt"),
      (.h2o, .ratio(0.5), "ratio"), (.quest, .ratio(0.5), "ratio"),
    ] as [(PolicyName, CacheBudget?, String)] {
      let error = #expect(throws: InputError.self) { try engine(decoder, name, budget) }
      #expect(error?.description.contains(part) ?? false, "\(name) \(error.debugDescription)")
      #expect(error?.remedy != nil)
    }
    let slides = try FormulaModel.decoder(FamilyTests.models[0].keys)
    #expect(slides.configuration.slides)
    #expect(throws: InputError.self) { try engine(slides, .tova, .tokens(100)) }
  }

  /// A ratio is of the sequence's length where that is known, and of what was seen where it is not.
  @Test func aRatioIsOfTheLengthThatIsKnown() throws {
    let decoder = try decoder()
    let engine = try engine(decoder, .tova, .ratio(4))
    let (known, unknown) = (try engine.makeCache(length: 240), try engine.makeCache())
    for cache in [known, unknown] { try engine.prefill(ids(120, seed: 11, decoder), into: cache) }
    #expect(known.ledger.liveTokens == 60 && unknown.ledger.liveTokens == 30)
  }
}
