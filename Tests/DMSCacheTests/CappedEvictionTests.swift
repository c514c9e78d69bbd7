// DMS with a cap: the definition, the laws of every policy, and the bound.

import DMSKernels
import DMSPlatform
import Testing

@testable import DMSCache

struct CappedEvictionTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let window: Int
    let shift: Int
    let cap: TokenCap
    var policy: EvictionPolicy { .capped(window: window, shift: shift, cap) }
    var testDescription: String { "window \(window), shift \(shift), \(cap)" }
  }

  static let cases = [0, 1, 7].flatMap { window in
    [0, 1].flatMap { shift in
      [.tokens(window + 1), .tokens(window + 2), .tokens(29), .ratio(1), .ratio(2.5), .ratio(100)].map {
        Case(window: window, shift: shift, cap: $0)
      }
    }
  }

  /// Few values, so that many are equal; most keep their token.
  private func logits(_ tokens: Int, seed: UInt64) -> [[Float]] {
    var random = RandomStream(seed: seed)
    return (0..<tokens).map { _ in (0..<History.heads).map { _ in Float(Int.random(in: -9...2, using: &random)) } }
  }

  private func expectTwin(_ history: History, _ logits: [[Float]], _ way: Case, _ comment: Comment) {
    for head in 0..<History.heads {
      let twin = cappedTwin(logits.map { $0[head] }, window: way.window, shift: way.shift, cap: way.cap)
      #expect(history.lastSeen[head] == twin.lastSeen, comment)
      #expect(history.cache.liveTokens(layer: 0, kvHead: head) == twin.lastSeen.count { $0 == nil }, comment)
    }
  }

  @Test(arguments: cases)
  func anySplitForgetsWhatTheTwinForgets(_ way: Case) throws {
    for (tokens, sizes) in [
      (0, [1]), (1, [1]), (way.window + 2, [1]), (150, [1]), (150, [150]), (150, [3, 40, 1, 17]),
    ] {
      let logits = logits(tokens, seed: UInt64(tokens))
      var history = try History(way.policy)
      var (first, call) = (0, 0)
      while first < tokens {
        let last = min(tokens, first + sizes[call % sizes.count])
        try history.read(Array(logits[first..<last]))
        (first, call) = (last, call + 1)
      }
      expectTwin(history, logits, way, "\(tokens) tokens in calls of \(sizes)")
    }
  }

  @Test(arguments: cases)
  func forksGoTheirOwnWays(_ way: Case) throws {
    let (prefix, more, other) = (logits(60, seed: 1), logits(70, seed: 2), logits(70, seed: 3))
    var history = try History(way.policy)
    try history.read(prefix)
    var fork = history.with(try history.cache.fork())
    for token in other { try fork.read([token]) }
    try history.read(more)
    expectTwin(history, prefix + more, way, "the original")
    expectTwin(fork, prefix + other, way, "the fork")
  }

  @Test(arguments: cases)
  func aRestoredCacheGoesOn(_ way: Case) throws {
    let (before, after) = (logits(60, seed: 4), logits(70, seed: 5))
    var history = try History(way.policy)
    try history.read(before)
    let restored = try History(way.policy).cache
    try restore(history.cache, state: history.cache.evictionState, into: restored)
    var other = history.with(restored)
    try other.read(after)
    expectTwin(other, before + after, way, "restored")
  }

  /// Whatever numbers a file holds: an error or a cache that works, never a trap.
  @Test(arguments: cases.filter { $0.window == 7 })
  func aDamagedStateIsRefusedOrHarmless(_ way: Case) throws {
    var history = try History(way.policy)
    try history.read(logits(60, seed: 6))
    let state = history.cache.evictionState
    var refused = 0
    for index in state.indices {
      for value in [0, 1, 0x7FC0_0000, UInt32.max, state[index] &+ 1, state[index] ^ 0x8000_0000] {
        var damaged = state
        damaged[index] = value
        let cache = try History(way.policy).cache
        do {
          try restore(history.cache, state: damaged, into: cache)
        } catch is InputError {
          refused += 1
          continue
        }
        var other = history.with(cache)
        try other.read(logits(40, seed: 7))
      }
    }
    #expect(refused > 0)
    for count in [0, 1, state.count - 1, state.count + 1] {
      let other = Array((state + [0]).prefix(count))
      let cache = try History(way.policy).cache
      #expect(throws: InputError.self) { try restore(history.cache, state: other, into: cache) }
    }
  }

  private func restore(_ cache: SequenceCache, state: [UInt32], into other: SequenceCache) throws {
    var held: [([UInt8], [UInt8])] = []
    try other.restore(tokensSeen: cache.tokensSeen, evictionState: state) { layer, kvHead in
      let (keys, values) = cache.exportHead(layer: layer, kvHead: kvHead)
      held.append((keys, values))
      return (view(keys), view(values))
    }
  }

  /// A copy that lives as long as the test.
  private func view(_ bytes: [UInt8]) -> UnsafeRawBufferPointer {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
    copy.copyBytes(from: bytes)
    return UnsafeRawBufferPointer(copy)
  }

  /// Held, with tables and bookkeeping, after every call of every size.
  @Test(arguments: [20_000, 200_000, 3_000_000])
  func bytesHeldNeverExceedTheBudget(bytes: Int) throws {
    let tokens = 100_000
    let layout = KVLayout(headDim: 4, type: .f32)
    let cap = try CacheBudget.bytes(bytes).cap(window: 128, context: tokens, heads: History.heads, layout: layout)
    let policy = EvictionPolicy.capped(window: 128, shift: 1, cap)
    var history = try History(policy, capacity: tokens)
    var (random, seen, most) = (RandomStream(seed: 8), 0, 0)
    while seen < tokens {
      let count = min(tokens - seen, seen % 3 == 0 ? 512 : Int.random(in: 1...40, using: &random))
      try history.read(logits(count, seed: UInt64(seen)))
      seen += count
      most = max(most, history.cache.ledger.bytesHeld)
    }
    #expect(most <= bytes)
    // Nothing of it is given away but what a page more would take.
    #expect(most + 2 * layout.pageBytes * History.heads + 1000 >= min(bytes, history.cache.ledger.bytesDense))
  }

  @Test func budgetsAreReadAndRefused() throws {
    for (text, budget) in [
      ("8x", .ratio(8)), ("2.5x", .ratio(2.5)), ("1024", .tokens(1024)), ("64MB", .bytes(64_000_000)),
      ("0.5MiB", .bytes(524_288)), ("3KB", .bytes(3000)), ("2GiB", .bytes(2 << 30)),
    ] as [(String, CacheBudget)] {
      #expect(CacheBudget(text) == budget)
    }
    for text in ["", "x", "0", "-3", "0.5x", "nanx", "infx", "64M", "MB", "1e30GB", "8X", "0MB"] {
      #expect(CacheBudget(text) == nil, "\(text)")
    }
    let layout = KVLayout(headDim: 64, type: .bf16)
    func cap(_ budget: CacheBudget, context: Int = 4096) throws -> TokenCap {
      try budget.cap(window: 128, context: context, heads: 90, layout: layout)
    }
    #expect(try cap(.tokens(129)) == .tokens(129))
    #expect(try cap(.tokens(64), context: 64) == .tokens(64))
    for (budget, remedy) in [
      (.tokens(128), "use at least 129"), (.ratio(0.5), "use 1 or more"), (.bytes(1_000_000), "use at least"),
    ] as [(CacheBudget, String)] {
      let error = #expect(throws: InputError.self) { try cap(budget) }
      #expect(error?.description.contains(remedy) ?? false)
    }
  }
}
