// Steps of the scheduler, one by one, without its thread: who waits how long, and what is foreseen.

import DMSCache
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText
import Foundation
import Testing

@testable import DMSGeneration

struct SchedulerStepTests {
  @Test func decodingWaitsForOneChunkAtATime() async throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    let machine = try Machine(threads: 1)
    let model = try LanguageModel(path: root + "/Models/tiny-cr8", on: machine)
    var options = Engine.Options()
    (options.batch, options.chunk) = (4, 32)
    let board = Board()
    let loop = SchedulerLoop(model, try Engine(model.decoder, on: machine, options), board)
    func arrive(_ prompt: Int) throws -> ScheduledAnswer.AsyncIterator {
      var options = AnswerOptions(model)
      options.maxTokens = 100
      options.sampling.temperature = 3
      let mailbox = Mailbox(bell: board.bell, room: 256)
      let ids = (0..<prompt).map { 20 + $0 % 50 }
      try board.arrive(Scheduler.Request(.init(ids: ids), options), mailbox, most: 9)
      return ScheduledAnswer(mailbox, from: nil).makeAsyncIterator()
    }
    var short = try arrive(10)
    _ = loop.step()
    guard case .reading(10)? = try await short.next(), case .token? = try await short.next(),
      case .token? = try await short.next()
    else {
      Issue.record("a prompt of one chunk is read and answered in a step")
      return
    }
    // Chunks end at multiples of 32; beside each of them the other sequence gets a token.
    var long = try arrive(100)
    for read in [32, 64, 96, 100] {
      _ = loop.step()
      guard case .reading(read)? = try await long.next(), case .token? = try await short.next() else {
        Issue.record("a step reads a chunk and decodes a token")
        return
      }
    }
    // The first token of the second one came from its last chunk, another one from the step.
    guard case .token? = try await long.next(), case .token? = try await long.next() else {
      Issue.record("a prompt that is read is answered")
      return
    }
  }

  @Test func whatIsForgottenIsForeseen() {
    var forecast = LiveForecast()
    let policy = EvictionPolicy.delayed(window: 16, shift: 1)
    #expect(forecast.live(policy, seen: 1000) == 1000)
    forecast.note(policy, seen: 100, live: 40)
    forecast.note(policy, seen: 1000, live: 130)
    forecast.note(policy, seen: 1000, live: 120)
    #expect(forecast.live(policy, seen: 1000) == 125)
    #expect(forecast.live(policy, seen: 100) == 40)
    // Nothing is known of 10 or of 300 tokens: the share of the shorter ones is the more careful guess.
    #expect(forecast.live(policy, seen: 10) == 10)
    #expect(forecast.live(policy, seen: 300) == 120)
    #expect(forecast.live(policy, seen: 5000) == 625)
    #expect(forecast.live(.keepAll, seen: 300) == 300)
    for window in 0..<200 { forecast.note(.delayed(window: window + 100, shift: 0), seen: 10, live: 5) }
    #expect(forecast.live(policy, seen: 1000) == 1000)
  }
}
