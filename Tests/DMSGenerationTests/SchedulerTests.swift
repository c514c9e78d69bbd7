// Laws of the scheduler: nobody feels a neighbour, nobody feels having made room, and nothing is left behind.

import DMSCache
import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText
import Foundation
import Testing

/// What came out of a request.
struct Heard: Equatable {
  var ids: [Int] = []
  var text = ""
  var scores: [TokenScore] = []
  var promptScores: [TokenScore] = []
  var reason: FinishReason?
  var preemptions = 0
  var live = 0.0

  init() {}

  /// - Parameter onEnd: is told what it took.
  init(_ answer: ScheduledAnswer, onEnd: (ScheduledAnswer.End) -> Void = { _ in }) async throws {
    for try await event in answer {
      switch event {
      case .reading: break
      case .prompt(let scores): promptScores += scores
      case .token(let token):
        ids.append(token.id)
        text += token.text
        if let score = token.score { scores.append(score) }
      case .end(let end):
        text += end.text
        onEnd(end)
        (reason, preemptions, live) = (end.reason, end.preemptions, end.ledger.liveTokens)
      }
    }
  }

  /// Whether both said the same, whatever it took.
  func says(_ other: Heard) -> Bool {
    var (mine, theirs) = (self, other)
    (mine.preemptions, theirs.preemptions) = (0, 0)
    return mine == theirs
  }
}

struct SchedulerTests {
  let model: LanguageModel

  init() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    model = try LanguageModel(path: root + "/Models/tiny-cr8", on: Machine(threads: 1))
  }

  func scheduler(
    batch: Int = 4, limit: Int? = nil, chunk: Int = 64, eviction: Bool = true,
    _ scheduling: Scheduler.Options = Scheduler.Options()
  ) throws -> Scheduler {
    var options = Engine.Options()
    (options.batch, options.cacheLimit, options.chunk, options.context) = (batch, limit, chunk, 1000)
    options.eviction = eviction
    return try Scheduler(model, on: Engine(model.decoder, on: Machine(threads: 1), options), scheduling)
  }

  /// Prompts of 20 to 300 tokens.
  func requests(_ count: Int = 8, temperature: Double = 0, maxTokens: Int = 40) throws -> [Scheduler.Request] {
    try (0..<count).map { index in
      let facts = (0...index * 5 % 23).map { "The value of fox\($0) is \($0 * 7 + 11)." }.joined(separator: " ")
      var options = AnswerOptions(model)
      options.sampling.temperature = temperature
      options.sampling.seed = 5
      options.sequence = index
      options.maxTokens = index == 3 ? 1 : maxTokens + index
      if index == 4 { options.stops = ["think"] }
      let message = ChatMessage(role: "user", content: "\(facts) What is fox\(index)?")
      var request = Scheduler.Request(try model.prompt([message]), options)
      if index % 2 == 1 { request.scores = index }
      request.scoresPrompt = index == 5
      return request
    }
  }

  /// Each by itself, in a scheduler that has nothing else to do.
  func alone(_ requests: [Scheduler.Request]) async throws -> [Heard] {
    var heard: [Heard] = []
    for request in requests {
      let scheduler = try scheduler(batch: 1)
      heard.append(try await Heard(scheduler.submit(request)))
    }
    return heard
  }

  func together(_ requests: [Scheduler.Request], on scheduler: Scheduler) async throws -> [Heard] {
    try await withThrowingTaskGroup(of: (Int, Heard).self) { group in
      for (index, request) in requests.enumerated() {
        let answer = try scheduler.submit(request)
        group.addTask { (index, try await Heard(answer)) }
      }
      var heard = [Heard](repeating: Heard(), count: requests.count)
      for try await (index, one) in group { heard[index] = one }
      return heard
    }
  }

  @Test(arguments: [0.0, 0.9], [1, 3, 16])
  func nobodyFeelsANeighbour(temperature: Double, batch: Int) async throws {
    let requests = try requests(temperature: temperature)
    let scheduler = try scheduler(batch: batch)
    let found = try await together(requests, on: scheduler)
    #expect(found == (try await alone(requests)))
    await scheduler.drain()
    #expect(scheduler.status.bytesHeld == 0)
    #expect(scheduler.status.completed == requests.count)
    #expect(scheduler.status.running == 0 && scheduler.status.waiting == 0)
  }

  @Test func aRequestSaysWhatASessionSays() async throws {
    for request in try requests(6, temperature: 0.7) {
      var options = Engine.Options()
      (options.chunk, options.context) = (64, 1000)
      let session = try Session(Engine(model.decoder, on: Machine(threads: 1), options))
      var prompt = request.prompt
      prompt.stable = nil
      let answer = try model.answer(prompt, in: session, request.options)
      let heard = try await Heard(scheduler().submit(request))
      #expect(heard.ids == answer.generation.ids)
      #expect(heard.text == answer.text)
      #expect(heard.reason == answer.generation.reason)
      #expect(heard.live == answer.ledger.liveTokens)
    }
  }

  /// Requests that go on to the end of their length, further than anybody looks ahead.
  private func longRequests(_ policy: EvictionPolicy?, temperature: Double) throws -> [Scheduler.Request] {
    try requests(6, temperature: temperature).map { request in
      var request = request
      request.options.stops = []
      request.options.maxTokens = 400
      request.options.sampling.bias = Dictionary(uniqueKeysWithValues: model.eosIDs.map { ($0, -1000) })
      request.policy = policy
      return request
    }
  }

  @Test(arguments: [0.0, 0.9]) func nobodyFeelsHavingMadeRoom(temperature: Double) async throws {
    let requests = try longRequests(.keepAll, temperature: temperature)
    let scheduler = try scheduler(batch: 8, limit: 1_800_000)
    let found = try await together(requests, on: scheduler)
    let expected = try await alone(requests)
    for (found, expected) in zip(found, expected) { #expect(found.says(expected)) }
    #expect(found.contains { $0.preemptions > 0 })
    await scheduler.drain()
    #expect(scheduler.status.bytesHeld == 0)
    #expect(scheduler.status.preempted == found.reduce(0) { $0 + $1.preemptions })
  }

  @Test func forgettingLeavesRoomForMore() async throws {
    // The same limit, the same requests: who keeps all has to make room, who forgets has not.
    var preempted: [Int] = []
    for policy in [nil, EvictionPolicy.keepAll] {
      let scheduler = try scheduler(batch: 8, limit: 2_500_000)
      _ = try await together(longRequests(policy, temperature: 0.9), on: scheduler)
      await scheduler.drain()
      preempted.append(scheduler.status.preempted)
    }
    #expect(preempted[0] < preempted[1])
  }

  @Test func aRequestMayHaveAPolicyOfItsOwn() async throws {
    var requests = try requests(6)
    for index in [1, 2, 4] { requests[index].policy = .keepAll }
    let found = try await together(requests, on: scheduler())
    for (index, request) in requests.enumerated() {
      var plain = request
      plain.policy = nil
      let other = try await Heard(scheduler(eviction: request.policy == nil).submit(plain))
      #expect(found[index] == other)
    }
  }

  @Test func whatCanNeverFitIsRefusedWithTheNumbers() async throws {
    let scheduler = try scheduler(limit: 100_000)
    let request = try requests(6)[4]
    #expect {
      _ = try scheduler.submit(request)
    } throws: { error in
      guard case .neverFits(let bytes, let limit)? = error as? Scheduler.Refusal else { return false }
      return bytes > limit && limit == 100_000 && "\(error)".contains("KiB")
    }
    var long = request
    long.prompt.ids = Array(repeating: 5, count: 1001)
    #expect(throws: Scheduler.Refusal.promptTooLong(tokens: 1001, context: 1000)) { try scheduler.submit(long) }
    long.prompt.ids = []
    #expect(throws: InputError.self) { try scheduler.submit(long) }
    long.prompt.ids = [1 << 30]
    #expect(throws: InputError.self) { try scheduler.submit(long) }
    long = request
    long.options.sampling.topP = 2
    #expect(throws: InputError.self) { try scheduler.submit(long) }
  }

  @Test func whatOutgrowsTheMemoryFailsAloneAndSaysSo() async throws {
    let scheduler = try scheduler(limit: 700_000)
    var long = try requests(1, maxTokens: 900)[0]
    long.policy = .keepAll
    long.options.stops = []
    // It must not end by itself.
    long.options.sampling.bias = Dictionary(uniqueKeysWithValues: model.eosIDs.map { ($0, -1000) })
    let answer = try scheduler.submit(long)
    await #expect {
      _ = try await Heard(answer)
    } throws: { error in
      (error as? InputError)?.problem.contains("needs") ?? false
    }
    let short = try requests(1)
    #expect(try await together(short, on: scheduler) == (try await alone(short)))
    await scheduler.drain()
    #expect(scheduler.status.bytesHeld == 0)
  }

  @Test func theQueueIsBounded() async throws {
    var options = Scheduler.Options()
    options.queue = 3
    let scheduler = try scheduler(batch: 1, options)
    let requests = try requests(30, maxTokens: 100)
    var answers: [ScheduledAnswer] = []
    var refused = 0
    for request in requests {
      do { answers.append(try scheduler.submit(request)) } catch Scheduler.Refusal.queueIsFull(let waiting) {
        #expect(waiting == 3)
        refused += 1
      }
    }
    #expect(refused > 0 && answers.count >= 3)
    for answer in answers { #expect(try await Heard(answer).reason != nil) }
  }

  @Test func aReaderThatGoesAwayEndsItsRequest() async throws {
    let scheduler = try scheduler()
    let requests = try requests(5, maxTokens: 600)
    // A reader that lets go, a task that is cancelled, a request that is cancelled before anything came.
    func few(_ answer: ScheduledAnswer) async throws {
      var count = 0
      for try await event in answer {
        if case .token = event { count += 1 }
        if count == 2 { break }
      }
    }
    try await few(scheduler.submit(requests[0]))
    let answer = try scheduler.submit(requests[1])
    let task = Task { try await Heard(answer) }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    let third = try scheduler.submit(requests[2])
    third.cancel()
    await #expect(throws: CancellationError.self) { try await Heard(third) }
    let rest = Array(requests[4...])
    #expect(try await together(rest, on: scheduler) == (try await alone(rest)))
    await scheduler.drain()
    #expect(scheduler.status.bytesHeld == 0)
    #expect(scheduler.status.cancelled + scheduler.status.completed == 4)
  }

  @Test func aSlowReaderHoldsBackItselfAlone() async throws {
    var options = Scheduler.Options()
    options.unread = 8
    let scheduler = try scheduler(options)
    let requests = try requests(3, maxTokens: 200)
    let slow = try scheduler.submit(requests[0])
    let others = Array(requests[1...])
    let expected = try await alone(requests)
    #expect(try await together(others, on: scheduler) == Array(expected[1...]))
    // At most 8 events came into being. The others' ends come a moment before the account of them.
    while scheduler.status.completed < 2 { await Task.yield() }
    #expect(scheduler.status.running == 1)
    #expect(scheduler.status.answerTokens - expected[1...].reduce(0) { $0 + $1.ids.count } <= 8)
    #expect(try await Heard(slow) == expected[0])
  }

  @Test func drainingLetsThoseInsideEnd() async throws {
    let scheduler = try scheduler(batch: 2)
    let requests = try requests(6)
    let answers = try requests.map { try scheduler.submit($0) }
    async let drained: Void = scheduler.drain()
    while (try? scheduler.submit(requests[0])) != nil { await Task.yield() }
    #expect(throws: Scheduler.Refusal.isClosing) { try scheduler.submit(requests[0]) }
    for answer in answers { #expect(try await Heard(answer).reason != nil) }
    await drained
  }

  @Test func closingGivesUpWhatIsInside() async throws {
    let scheduler = try scheduler(batch: 2)
    let answers = try requests(6, maxTokens: 700).map { try scheduler.submit($0) }
    scheduler.close()
    var cancelled = 0
    for answer in answers { do { _ = try await Heard(answer) } catch is CancellationError { cancelled += 1 } }
    #expect(cancelled > 0)
    await scheduler.drain()
    #expect(scheduler.status.bytesHeld == 0)
  }

  @Test func scoresAreTheModels() async throws {
    let request = try requests(6)[5]
    let heard = try await Heard(scheduler().submit(request))
    #expect(heard.promptScores.count == request.prompt.ids.count - 1)
    #expect(heard.promptScores.map(\.token.id) == Array(request.prompt.ids[1...]))
    #expect(heard.scores.map(\.token.id) == heard.ids)
    for score in heard.scores + heard.promptScores {
      #expect(score.top.count == 5)
      #expect(score.top.map(\.logProbability) == score.top.map(\.logProbability).sorted(by: >))
      #expect(score.token.logProbability <= score.top[0].logProbability && score.top[0].logProbability <= 0)
      if let same = score.top.first(where: { $0.id == score.token.id }) {
        #expect(same.logProbability == score.token.logProbability)
      }
    }
    // Greedy: what was said is what was likeliest.
    for score in heard.scores { #expect(score.top[0] == score.token) }
    // However the prompt is cut, the model thinks the same of it, but for rounding.
    let whole = try await Heard(scheduler(chunk: 512).submit(request))
    for (one, other) in zip(heard.promptScores, whole.promptScores) {
      #expect(abs(one.token.logProbability - other.token.logProbability) < 1e-2)
    }
  }
}
