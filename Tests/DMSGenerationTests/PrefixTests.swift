// What sequences have in common is read once, and nobody can tell; what is kept for that keeps to its bound.

import DMSCache
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText
import Foundation
import Testing

@testable import DMSGeneration

struct PrefixTests {
  private let model: LanguageModel

  init() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    model = try LanguageModel(path: root + "/Models/tiny-cr8", on: Machine(threads: 1))
  }

  private func scheduler(prefixBytes: Int?, limit: Int? = nil, batch: Int = 4) throws -> Scheduler {
    var options = Engine.Options()
    (options.batch, options.cacheLimit, options.chunk, options.context) = (batch, limit, 64, 2000)
    var scheduling = Scheduler.Options()
    scheduling.prefixBytes = prefixBytes
    return try Scheduler(model, on: Engine(model.decoder, on: Machine(threads: 1), options), scheduling)
  }

  private func request(_ ids: [Int], sequence: Int = 0, maxTokens: Int = 30) -> Scheduler.Request {
    var options = AnswerOptions(model)
    options.sampling.temperature = 1.5
    (options.sampling.seed, options.sequence, options.maxTokens) = (3, sequence, maxTokens)
    var request = Scheduler.Request(LanguageModel.Prompt(ids: ids), options)
    request.scores = 2
    return request
  }

  private func facts(_ count: Int) -> [Int] {
    model.ids(raw: (0..<count).map { "The value of fox\($0) is \($0 * 7 + 11)." }.joined(separator: " "))
  }

  /// What was heard, and how many tokens of the prompt were in a cache.
  private func ask(_ request: Scheduler.Request, _ scheduler: Scheduler) async throws -> (Heard, cached: Int) {
    var cached = 0
    let heard = try await Heard(scheduler.submit(request)) { cached = $0.cachedTokens }
    return (heard, cached)
  }

  @Test func whatIsSharedIsReadOnceAndChangesNoBit() async throws {
    let common = facts(20)
    let scheduler = try scheduler(prefixBytes: 100 << 20)
    var cached: [Int] = []
    for index in 0..<4 {
      let request = request(common + Array(facts(30 + index).suffix(100 + index)), sequence: index)
      let (heard, count) = try await ask(request, scheduler)
      cached.append(count)
      let alone = try await ask(request, self.scheduler(prefixBytes: 0))
      #expect(heard == alone.0)
      #expect(alone.cached == 0)
    }
    // The first reads all; the second finds out what they share and leaves a fork there; from then on it is not read again.
    let border = common.count / 64 * 64
    #expect(border > 64)
    #expect(cached[0] == 0 && cached[1] == 0 && cached[2] >= border && cached[3] >= border)
    #expect(cached.allSatisfy { $0 % 64 == 0 })
    // The same prompt again: all but its last part.
    let again = request(common + Array(facts(30).suffix(100)), sequence: 9)
    let (heard, count) = try await ask(again, scheduler)
    #expect(count == (again.prompt.ids.count - 1) / 64 * 64)
    #expect(heard == (try await ask(again, self.scheduler(prefixBytes: 0)).0))
    // Scores of a prompt need all of it.
    var scored = again
    scored.scoresPrompt = true
    #expect(try await ask(scored, scheduler).cached == 0)
    // Another policy has caches of its own.
    var dense = again
    dense.policy = .keepAll
    #expect(try await ask(dense, scheduler).cached == 0)
  }

  @Test func aConversationGoesOnFromItsLastAnswer() async throws {
    let scheduler = try scheduler(prefixBytes: 100 << 20)
    var ids = facts(9)
    var heards: [Heard] = []
    for turn in 0..<3 {
      let (heard, cached) = try await ask(request(ids, sequence: turn), scheduler)
      // All that was read, which is all but the last token that was said.
      if turn > 0 { #expect([ids.count - 10 - 1, ids.count - 10].contains(cached)) }
      heards.append(heard)
      ids += heard.ids + Array(facts(2).prefix(10))
    }
    // It says what a session says that keeps its past.
    var options = Engine.Options()
    (options.chunk, options.context) = (64, 2000)
    let session = try Session(Engine(model.decoder, on: Machine(threads: 1), options))
    ids = facts(9)
    for turn in 0..<2 {
      let request = request(ids, sequence: turn)
      try session.resume(ids)
      var sampler = Sampler(request.options.sampling, vocabulary: 640, sequence: turn)
      let said = try session.generate(&sampler, eosIDs: model.eosIDs, maxTokens: 30) { _ in true }
      #expect(said.ids == heards[turn].ids)
      ids += said.ids + Array(facts(2).prefix(10))
    }
  }

  @Test(arguments: [PolicyName.h2o, .rKV]) func whatDependsOnCallsGoesOnFromNoAnswer(policy: PolicyName) async throws {
    func turns(_ prefixBytes: Int) async throws -> [(heard: Heard, cached: Int)] {
      let scheduler = try scheduler(prefixBytes: prefixBytes)
      var (ids, heards) = (facts(30), [(heard: Heard, cached: Int)]())
      for turn in 0..<3 {
        var request = request(ids, sequence: turn)
        request.policy = try Engine(model.decoder, on: Machine(threads: 1), Engine.Options())
          .policy(policy, budget: .tokens(64))
        heards.append(try await ask(request, scheduler))
        ids += heards[turn].heard.ids + Array(facts(2).prefix(10))
      }
      return heards
    }
    let (shared, alone) = (try await turns(100 << 20), try await turns(0))
    for (one, other) in zip(shared, alone) { #expect(one.heard == other.heard) }
    // What all would have read in the same calls is read once.
    #expect(shared[1].cached > 0 && shared[1].cached % 64 == 0 && alone[1].cached == 0)
  }

  @Test func aConversationThatMadeRoomIsGoneOverAsItWas() async throws {
    // Two turns in little memory beside others, with the points of the first turn gone or not, as it happens.
    func secondTurn(limit: Int?, others: Int) async throws -> [Heard] {
      let scheduler = try scheduler(prefixBytes: limit == nil ? 100 << 20 : nil, limit: limit, batch: 6)
      var first: [[Int]] = []
      for index in 0..<3 {
        let ids = facts(6 + index)
        let (heard, _) = try await ask(request(ids, sequence: index), scheduler)
        first.append(ids + heard.ids + Array(facts(2).prefix(10)))
      }
      return try await withThrowingTaskGroup(of: (Int, Heard).self) { group in
        for (index, ids) in first.enumerated() {
          let request = request(ids, sequence: index, maxTokens: 150)
          group.addTask { (index, try await ask(request, scheduler).0) }
        }
        for index in 0..<others {
          let request = request(facts(12 + index), sequence: index, maxTokens: 200)
          group.addTask { (9, try await ask(request, scheduler).0) }
        }
        var heard = [Heard](repeating: Heard(), count: 3)
        var preemptions = 0
        for try await (index, one) in group {
          preemptions += one.preemptions
          if index < 3 { heard[index] = one }
        }
        if limit != nil { #expect(preemptions > 0) }
        return heard
      }
    }
    let expected = try await secondTurn(limit: nil, others: 0)
    let found = try await secondTurn(limit: 1_500_000, others: 6)
    for (found, expected) in zip(found, expected) {
      #expect(found.ids == expected.ids && found.scores == expected.scores)
    }
  }

  @Test func whatIsKeptKeepsToItsBound() async throws {
    let bound = 600_000
    let scheduler = try scheduler(prefixBytes: bound)
    for index in 0..<12 {
      _ = try await ask(request(Array(facts(40).dropFirst(index * 7).prefix(200)), sequence: index), scheduler)
      while scheduler.status.running > 0 { await Task.yield() }
      #expect(scheduler.status.bytesHeld <= bound)
    }
    #expect(scheduler.status.prefixes > 0)
    let none = try self.scheduler(prefixBytes: 0)
    _ = try await ask(request(facts(20)), none)
    while none.status.running > 0 { await Task.yield() }
    #expect(none.status.prefixes == 0 && none.status.bytesHeld == 0)
  }

  @Test func theTreeKnowsWhatAListKnows() throws {
    let engine = try Engine(model.decoder, on: Machine(threads: 1), Engine.Options())
    var random = SplitMix(seed: 5)
    func draw(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
    var tree = PrefixTree()
    // In the order of their use, the last one last.
    var list: [(ids: [Int], policy: EvictionPolicy)] = []
    for _ in 0..<600 {
      let ids = (0..<(1 + draw(6))).map { _ in draw(2) }
      let policy: EvictionPolicy = draw(3) == 0 ? .keepAll : engine.policy
      switch draw(5) {
      case 0, 1:
        tree.insert(ids[...], policy, try engine.makeCache(policy: policy), decoded: [])
        list.removeAll { $0.ids == ids && $0.policy == policy }
        list.append((ids, policy))
      case 2 where !list.isEmpty && draw(2) == 0:
        let wasThere = tree.removeOldest()
        #expect(wasThere)
        list.removeFirst()
      default:
        let (common, points) = tree.walk(ids, policy)
        let own = list.filter { $0.policy == policy }
        let expected = own.map { zip($0.ids, ids).prefix { $0 == $1 }.count }.max() ?? 0
        #expect(common == expected)
        let known = own.filter { ids.starts(with: $0.ids) }.map(\.ids.count).sorted(by: >)
        #expect(points.map(\.count) == known)
        if let point = points.first,
          let place = list.firstIndex(where: {
            $0.policy == policy && ids.starts(with: $0.ids) && $0.ids.count == point.count
          })
        {
          tree.use(point)
          list.append(list.remove(at: place))
        }
      }
      #expect(tree.count == list.count)
    }
  }
}
