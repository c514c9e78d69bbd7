// Plans of chains: what they predict is the sum of steps, and no larger plan would fit; the memory that was allowed is never
// exceeded, whatever the plan was told.

import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import Foundation
import Testing

@testable import DMSEvaluation

struct ChainPlanTests {
  private let growths: [ChainPlan.Growth] = [
    .init(heads: 8, pageBytes: 4096, window: nil, ratio: 1), .init(heads: 8, pageBytes: 4096, window: 64, ratio: 8),
    .init(heads: 3, pageBytes: 512, window: 7, ratio: 2.5),
  ]

  @Test func readsAreTheSumOfWhatEachTokenSees() {
    for growth in growths {
      for (prompt, tokens) in [(1, 1), (5, 40), (64, 3), (65, 200), (100, 17)] {
        var sum = 0.0
        for token in 1...tokens { sum += growth.live(after: prompt + token) }
        let found = growth.reads(prompt: prompt, tokens: tokens, chains: 3)
        #expect(abs(found / (3 * sum) - 1) < 1e-9, "\(growth) \(prompt) \(tokens)")
      }
    }
  }

  @Test func thePlanIsTheLargestThatFits() throws {
    for growth in growths {
      for bytes in [200_000, 1 << 20, 1 << 26] {
        for reads in [nil, 3000, 1e6] as [Double?] {
          let budget = ChainPlan.Budget(bytes: bytes, reads: reads, chains: 9, tokens: 700)
          func fits(_ tokens: Int, _ chains: Int) -> Bool {
            growth.bytes(prompt: 50, tokens: tokens, chains: chains) <= bytes
              && growth.reads(prompt: 50, tokens: tokens, chains: chains) <= reads ?? .infinity
          }
          guard let tokens = (1...700).last(where: { fits($0, 1) }) else {
            #expect(throws: InputError.self) { try ChainPlan(prompt: 50, growth: growth, budget: budget) }
            continue
          }
          let plan = try ChainPlan(prompt: 50, growth: growth, budget: budget)
          #expect(plan.tokens == tokens && plan.chains == (1...9).last { fits(tokens, $0) })
        }
      }
    }
    let none = ChainPlan.Budget(bytes: 1000, reads: nil, chains: 9, tokens: 700)
    #expect(throws: InputError.self) { try ChainPlan(prompt: 50, growth: growths[0], budget: none) }
  }

  @Test func answersAreWhatStandsInTheLastBoxOrAfterTheReasoning() {
    let problem = OpenProblem("What is 1 + 1?")
    #expect(problem.answer(in: "<think>\\boxed{3}</think>It is \\boxed{2}.") == "2")
    #expect(problem.answer(in: "<think>so</think>\n two \n") == "two")
    #expect(problem.answer(in: "<think>so") == nil && problem.answer(in: "<think>so</think>\n") == nil)
  }

  // MARK: Chains

  private struct Setting {
    let model: LanguageModel
    let engine: Engine
    let problem: OpenProblem
    let plan: ChainPlan
  }

  /// A plan whose ratio is wrong: the cache keeps every token, and the plan was told that one in eight stays.
  ///
  /// - Parameter bytes: beside those that the problem takes where every token is kept.
  private func setting(bytes: Int, reads: Double? = nil, tokens: Int = 200) throws -> Setting {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    let machine = try Machine(threads: 2)
    let model = try LanguageModel(path: root + "/Models/tiny-cr8", on: machine)
    let text = try String(contentsOfFile: root + "/Models/problem.txt", encoding: .utf8)
    let problem = OpenProblem(text)
    let growth = ChainPlan.Growth(heads: 8, pageBytes: 4096, window: 64, ratio: 8)
    let prompt = try problem.tokens(for: model)
    let plan = try ChainPlan(
      prompt: prompt, growth: growth,
      budget: .init(bytes: (prompt + 15) / 16 * 8 * 4096 + bytes, reads: reads, chains: 8, tokens: tokens))
    var options = Engine.Options()
    (options.batch, options.context, options.eviction) = (plan.chains, plan.prompt + plan.tokens, false)
    options.cacheLimit = plan.budget.bytes
    return Setting(model: model, engine: try Engine(model.decoder, on: machine, options), problem: problem, plan: plan)
  }

  private func solve(
    _ setting: Setting, temperature: Double = 0.7, stopAfter: Int = .max
  ) throws -> (Solution, steps: [Solution.Progress]) {
    var options = AnswerOptions(setting.model)
    (options.sampling.temperature, options.sampling.seed) = (temperature, 3)
    var steps: [Solution.Progress] = []
    let solution = try Solution(
      setting.problem, setting.plan, options, setting.model, on: setting.engine,
      isCancelled: { steps.count >= stopAfter }
    ) { steps.append($0) }
    return (solution, steps)
  }

  @Test func noMoreMemoryIsHeldThanIsAllowedWhateverThePlanWasTold() throws {
    let tight = try setting(bytes: 1_500_000)
    let most = tight.plan.budget.bytes
    #expect(tight.plan.chains > 2)
    let (solution, steps) = try solve(tight)
    #expect(solution.peakBytes <= most && solution.peakBytes > most - 900_000)
    #expect(steps.allSatisfy { $0.bytes <= most })
    #expect(solution.chains.count == tight.plan.chains && solution.unfinished == 0)
    // Who came last went first, and says so.
    let ended = solution.chains.filter { $0.reason == .context }.map(\.number)
    #expect(!ended.isEmpty && ended.count < tight.plan.chains)
    #expect(ended == Array((tight.plan.chains - ended.count)..<tight.plan.chains))
    // The first is what it is with all the memory that there is.
    let (free, _) = try solve(setting(bytes: 1 << 30))
    #expect(free.chains[0].output == solution.chains[0].output)
    #expect(free.chains.allSatisfy { $0.reason != .context })
    #expect(free.vote.winner?.answer == "147")
    // A problem that does not fit is an error before it is too late.
    let small = try setting(bytes: -20_000, tokens: 10)
    #expect(throws: InputError.self) { try solve(small) }
    #expect(small.engine.cacheBytesHeld <= small.plan.budget.bytes)
  }

  @Test func nothingIsReadBeyondWhatMayBe() throws {
    let wide = try setting(bytes: 1 << 30)
    let all = try solve(wide).0
    let most = (all.reads / 2).rounded()
    // The plan was told of fewer reads than there are.
    let (solution, _) = try solve(setting(bytes: 1 << 30, reads: most, tokens: wide.plan.tokens))
    #expect(solution.reads <= most && solution.reads > 0.3 * most)
    #expect(solution.chains.count + solution.unfinished <= 8)
    // A chain's share of the whole is exact.
    #expect(abs(all.reads - all.chains.reduce(0) { $0 + $1.reads }) < 1e-6)
  }

  @Test func chainsThatHaveEndedVoteWhenTimeIsUp() throws {
    let wide = try setting(bytes: 1 << 30)
    let (all, steps) = try solve(wide, temperature: 1.3)
    let first = try #require(steps.firstIndex { $0.ended > 0 && $0.running > 0 })
    let (some, _) = try solve(wide, temperature: 1.3, stopAfter: first + 1)
    #expect(some.unfinished > 0 && !some.chains.isEmpty)
    #expect(some.chains.count + some.unfinished == all.chains.count)
    #expect(some.vote == Vote(some.chains.map(\.answer), same: MathEquality.areEqual))
    #expect(try solve(wide, stopAfter: 1).0.vote.winner == nil)
  }
}
