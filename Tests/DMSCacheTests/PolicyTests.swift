// What every policy without training owes: the survivors of its slow twin, step by step; turns, forks and saved sessions that
// change nothing; a budget that holds; and a cache as a dense one where the budget is huge.

import DMSKernels
import DMSPlatform
import Testing

@testable import DMSCache

struct PolicyTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let policy: BudgetedPolicy
    let call: Int
    var testDescription: String { "\(policy.kind.rawValue), \(policy.cap), calls of \(call)" }
  }

  static let cases = BudgetedPolicy.Kind.allCases.flatMap { kind in
    [TokenCap.tokens(kind.least), .tokens(kind.least + 1), .tokens(kind.least + 30), .ratio(1), .ratio(3.5)].flatMap {
      cap in
      [1, 7, 64].map { Case(policy: BudgetedPolicy(kind, cap: cap), call: $0) }
    }
  }

  private func expectEqual(_ run: PolicyRun, _ twin: any PolicyTwin, _ comment: Comment) {
    for kvHead in 0..<PolicyRun.kvHeads { #expect(run.survivors(kvHead) == twin.alive[kvHead], comment) }
  }

  @Test(arguments: cases)
  func survivorsAreThoseOfTheTwinStepByStep(_ way: Case) throws {
    var run = try PolicyRun(.budgeted(way.policy), .init(way.policy.kind.least + 200, seed: 1))
    var (twin, first) = (way.policy.twin, 0)
    try run.readAll(by: way.call) { run in
      twin.read(run.text, first, run.cache.tokensSeen)
      first = run.cache.tokensSeen
      expectEqual(run, twin, "after \(first) tokens")
    }
  }

  /// One token less than the budget, as many, one more, and beyond what a policy waits for.
  @Test(arguments: cases)
  func lengthsAroundTheBudget(_ way: Case) throws {
    let budget = way.policy.budget(0)
    for tokens in Set([0, 1, budget - 1, budget, budget + 1, budget + 2]).sorted() where tokens >= 0 {
      var run = try PolicyRun(.budgeted(way.policy), .init(tokens, seed: 2))
      var (twin, first) = (way.policy.twin, 0)
      try run.readAll(by: way.call) { run in
        twin.read(run.text, first, run.cache.tokensSeen)
        first = run.cache.tokensSeen
      }
      expectEqual(run, twin, "\(tokens) tokens")
    }
  }

  /// A prompt, single tokens, another prompt: calls are what counts, not turns.
  @Test(arguments: cases.filter { $0.call == 7 })
  func turnsAreNothingButCalls(_ way: Case) throws {
    var run = try PolicyRun(.budgeted(way.policy), .init(300, seed: 3))
    var (twin, first) = (way.policy.twin, 0)
    for count in [100, 1, 1, 1, 60, 1, 1, 40, 1] {
      try run.read(count)
      twin.read(run.text, first, first + count)
      first += count
      expectEqual(run, twin, "after \(first) tokens")
    }
  }

  @Test(arguments: cases)
  func forksGoTheirOwnWays(_ way: Case) throws {
    let (prefix, more, other) = (
      PolicyRun.Text(150, seed: 4), PolicyRun.Text(150, seed: 5), PolicyRun.Text(150, seed: 6)
    )
    var run = try PolicyRun(.budgeted(way.policy), prefix)
    try run.readAll(by: way.call)
    var fork = run.with(try run.cache.fork(), prefix + other)
    run = run.with(nil, prefix + more)
    // In turns: what one does to shared pages must not reach the other.
    while run.cache.tokensSeen < 300 {
      let count = min(way.call, 300 - run.cache.tokensSeen)
      try run.read(count)
      try fork.read(count)
    }
    for (forked, text) in [(run, prefix + more), (fork, prefix + other)] {
      var alone = try PolicyRun(.budgeted(way.policy), prefix)
      try alone.readAll(by: way.call)
      alone = alone.with(nil, text)
      try alone.readAll(by: way.call)
      for kvHead in 0..<PolicyRun.kvHeads {
        // Slot by slot: a query sums in the same order.
        #expect(
          forked.cache.exportHead(layer: 0, kvHead: kvHead) == alone.cache.exportHead(layer: 0, kvHead: kvHead))
      }
      #expect(forked.cache.evictionState == alone.cache.evictionState)
    }
    let before = (0..<PolicyRun.kvHeads).map { fork.survivors($0) }
    fork.cache.consolidate()
    #expect((0..<PolicyRun.kvHeads).map { fork.survivors($0) } == before)
  }

  private func expectSame(_ a: SequenceCache, _ b: SequenceCache) {
    for kvHead in 0..<PolicyRun.kvHeads {
      #expect(a.exportHead(layer: 0, kvHead: kvHead) == b.exportHead(layer: 0, kvHead: kvHead))
    }
    #expect(a.evictionState == b.evictionState && a.tokensSeen == b.tokensSeen)
  }

  private func restore(_ cache: SequenceCache, state: [UInt32], into other: SequenceCache) throws {
    var held: [UnsafeMutableRawBufferPointer] = []
    defer { for bytes in held { bytes.deallocate() } }
    try other.restore(tokensSeen: cache.tokensSeen, evictionState: state) { layer, kvHead in
      let (keys, values) = cache.exportHead(layer: layer, kvHead: kvHead)
      return (Self.copy(keys, &held), Self.copy(values, &held))
    }
  }

  private static func copy(_ bytes: [UInt8], _ held: inout [UnsafeMutableRawBufferPointer]) -> UnsafeRawBufferPointer {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
    copy.copyBytes(from: bytes)
    held.append(copy)
    return UnsafeRawBufferPointer(copy)
  }

  @Test(arguments: cases.filter { $0.call != 64 })
  func aRestoredCacheGoesOn(_ way: Case) throws {
    var run = try PolicyRun(.budgeted(way.policy), .init(260, seed: 7))
    while run.cache.tokensSeen < 140 { try run.read(way.call) }
    let empty = try PolicyRun(.budgeted(way.policy), run.text)
    try restore(run.cache, state: run.cache.evictionState, into: empty.cache)
    var restored = run.with(empty.cache)
    expectSame(run.cache, restored.cache)
    while run.cache.tokensSeen + way.call <= 260 {
      try run.read(way.call)
      try restored.read(way.call)
    }
    expectSame(run.cache, restored.cache)
  }

  /// Whatever numbers a file holds: an error or a cache that works, never a trap.
  @Test(arguments: cases.filter { $0.call == 7 })
  func aDamagedStateIsRefusedOrHarmless(_ way: Case) throws {
    var run = try PolicyRun(.budgeted(way.policy), .init(120, seed: 8))
    while run.cache.tokensSeen < 70 { try run.read(7) }
    let state = run.cache.evictionState
    var refused = 0
    for index in stride(from: 0, to: state.count, by: max(1, state.count / 40)) {
      for value in [0, 1, 0x7FC0_0000, UInt32.max, state[index] &+ 1, state[index] ^ 0x8000_0000] {
        var damaged = state
        damaged[index] = value
        let empty = try PolicyRun(.budgeted(way.policy), run.text)
        do { try restore(run.cache, state: damaged, into: empty.cache) } catch is InputError {
          refused += 1
          continue
        }
        var other = run.with(empty.cache)
        while other.cache.tokensSeen < 119 { try other.read(7) }
      }
    }
    #expect(refused > 0)
    for count in [0, 1, state.count - 1, state.count + 1] {
      let empty = try PolicyRun(.budgeted(way.policy), run.text)
      #expect(throws: InputError.self) {
        try restore(run.cache, state: Array((state + [0]).prefix(count)), into: empty.cache)
      }
    }
  }

  @Test(arguments: BudgetedPolicy.Kind.allCases)
  func aHugeBudgetIsADenseCache(_ kind: BudgetedPolicy.Kind) throws {
    for call in [1, 50] {
      var run = try PolicyRun(.budgeted(BudgetedPolicy(kind, cap: .tokens(1000))), .init(200, seed: 9))
      var dense = try PolicyRun(.keepAll, run.text)
      try run.readAll(by: call)
      try dense.readAll(by: call)
      for kvHead in 0..<PolicyRun.kvHeads {
        #expect(run.cache.exportHead(layer: 0, kvHead: kvHead) == dense.cache.exportHead(layer: 0, kvHead: kvHead))
      }
    }
  }

  /// After every call, and in bytes with tables and bookkeeping.
  @Test(arguments: BudgetedPolicy.Kind.allCases, [60_000, 150_000])
  func bytesHeldNeverExceedTheBudget(_ kind: BudgetedPolicy.Kind, bytes: Int) throws {
    let layout = KVLayout(headDim: PolicyRun.headDim, type: .f32)
    let holding = CacheShape(
      layers: 1, kvHeads: PolicyRun.kvHeads, group: PolicyRun.group, headDim: PolicyRun.headDim, capacity: 4096)
    let cap = try CacheBudget.bytes(bytes).cap(for: kind, holding, layout: layout)
    var run = try PolicyRun(.budgeted(BudgetedPolicy(kind, cap: cap)), .init(1000, seed: 10))
    var most = 0
    for call in [1, 30] {
      let text = PolicyRun.Text(1000, seed: UInt64(call))
      run = try PolicyRun(.budgeted(BudgetedPolicy(kind, cap: cap)), text)
      try run.readAll(by: call) { most = max(most, $0.cache.ledger.bytesHeld) }
    }
    #expect(most <= bytes)
    // Nothing of it is given away but what a page more would take.
    #expect(most + 3 * layout.pageBytes * PolicyRun.kvHeads >= min(bytes, run.cache.ledger.bytesDense))
  }

  @Test(arguments: BudgetedPolicy.Kind.allCases)
  func budgetsBelowTheLeastAreRefused(_ kind: BudgetedPolicy.Kind) throws {
    let layout = KVLayout(headDim: PolicyRun.headDim, type: .f32)
    let shape = CacheShape(
      layers: 1, kvHeads: PolicyRun.kvHeads, group: PolicyRun.group, headDim: PolicyRun.headDim, capacity: 4096)
    func cap(_ budget: CacheBudget) throws -> TokenCap { try budget.cap(for: kind, shape, layout: layout) }
    #expect(try cap(.tokens(kind.least)) == .tokens(kind.least))
    #expect(try cap(.ratio(4)) == .ratio(4))
    for budget in [CacheBudget.tokens(kind.least - 1), .ratio(0.5), .bytes(100)] {
      let error = #expect(throws: InputError.self) { try cap(budget) }
      #expect(error?.remedy?.hasPrefix("use ") ?? false)
    }
  }

  /// The peak counts what a call holds before tokens go; reads count what queries were lent.
  @Test func theLedgerCountsWhatHappens() throws {
    var run = try PolicyRun(.budgeted(BudgetedPolicy(.tova, cap: .tokens(20))), .init(200, seed: 11))
    try run.read(100)
    #expect(run.cache.ledger.peakTokens == 100 && run.cache.ledger.liveTokens == 20)
    #expect(run.cache.ledger.tokensRead == 0)
    try run.read(1)
    for kvHead in 0..<PolicyRun.kvHeads { _ = run.cache.span(layer: 0, kvHead: kvHead) }
    #expect(run.cache.ledger.tokensRead == 20 && run.cache.ledger.peakTokens == 100)
    #expect(run.cache.ledger.tokensSeen == 101)
  }
}
