// From what is asked of an engine to what its caches do: the model's own decisions, drawn ones, and what a budget means for them.

import DMSCache
import DMSCheckpoint
import DMSKernels
import DMSPlatform

/// Decisions drawn at random, for measuring the speed of a sparse cache on a model that was not taught to forget.
public struct DrawnDecisions: Sendable, Equatable {
  /// Tokens of which one survives its window: the compression of a long sequence.
  public var ratio: Double
  /// Tokens after which a token that is to go is forgotten.
  public var window: Int

  /// Decisions of which a share of 1 − 1 / `ratio` evicts.
  public init(ratio: Double, window: Int = 256) {
    self.ratio = ratio
    self.window = window
  }
}

extension ModelConfiguration {
  /// How the caches of an engine treat their tokens.
  ///
  /// - Throws: `InputError` for what cannot serve, saying why.
  func policy(_ options: Engine.Options, context: Int, layout: KVLayout) throws -> EvictionPolicy {
    let (name, budget) = (options.policy, options.budget)
    if let name, let kind = name.budgeted {
      try require(budget, for: name)
      let shape = CacheShape(
        layers: layers, kvHeads: kvHeads, group: heads / kvHeads, headDim: headDim, capacity: context)
      if let budget { return .budgeted(BudgetedPolicy(kind, cap: try budget.cap(for: kind, shape, layout: layout))) }
    }
    if name == .quest { return .quest(try tokens(budget, for: .quest, because: "it keeps every token")) }
    if name == .triAttention {
      let cap = try tokens(budget, for: .triAttention, because: "it keeps a whole prompt")
      guard let calibration = options.calibration else {
        throw InputError(
          "triattention needs to know the model's queries",
          remedy: "make a calibration: dms calibrate MODEL --text FILE")
      }
      guard calibration.shape == (layers, heads, headDim) else {
        throw InputError("the calibration is of another model", remedy: "make one for this model: dms calibrate")
      }
      return .triAttention(cap, calibration)
    }
    let undecided = slides ? EvictionPolicy.sliding(windows: layerAttention.map(\.window)) : .keepAll
    if name == .dense {
      guard budget == nil else {
        throw InputError(
          "a dense cache keeps every token, whatever the budget",
          remedy: "leave the budget out, or name a policy that forgets")
      }
      return undecided
    }
    guard let delay = try delay(drawn: options.drawn) else {
      guard name == nil else {
        throw InputError(
          "this model was not taught to forget", remedy: "name another policy than dms, or use a DMS model")
      }
      guard budget == nil else {
        throw InputError(
          "a cache is held to a budget in the order of the model's decisions, and this one makes none",
          remedy: "leave the budget out, name a policy that needs no training, or use a DMS model with eviction")
      }
      return undecided
    }
    var policy = EvictionPolicy.delayed(window: delay.window, shift: delay.shift)
    if let budget {
      let cap = try budget.cap(window: delay.window, context: context, heads: layers * kvHeads, layout: layout)
      policy = .capped(window: delay.window, shift: delay.shift, cap)
    }
    return options.drawn.map { .drawn(ratio: $0.ratio, policy) } ?? policy
  }

  /// When tokens go that decisions name; `nil` for a model that makes none.
  private func delay(drawn: DrawnDecisions?) throws -> (window: Int, shift: Int)? {
    guard let drawn else {
      guard let dms, !dms.evictionDisabled else { return nil }
      return (dms.window, dms.shift)
    }
    guard drawn.ratio >= 1, (1...(1 << 20)).contains(drawn.window) else {
      throw InputError("a drawn ratio is 1 or more, its window 1 to \(1 << 20)")
    }
    guard !slides else { throw InputError("evictions cannot be drawn for a model with sliding windows") }
    return (drawn.window, dms?.shift ?? 0)
  }

  /// What a budget means where memory has no bound.
  ///
  /// - Parameter reason: why bytes cannot bound it.
  private func tokens(_ budget: CacheBudget?, for name: PolicyName, because reason: String) throws -> TokenCap {
    try require(budget, for: name)
    let least = name.leastUnboundedTokens ?? 1
    switch budget {
    case .bytes?, nil:
      throw InputError(
        "bytes cannot bound \(name.rawValue): \(reason)", remedy: "give a budget as a ratio (8x) or tokens (1024)")
    case .tokens(let tokens)?:
      guard tokens >= least else {
        throw InputError("\(name.rawValue) cannot work with \(tokens) tokens", remedy: "use at least \(least)")
      }
      return .tokens(tokens)
    case .ratio(let ratio)?:
      guard ratio >= 1, ratio.isFinite else {
        throw InputError("\(name.rawValue) cannot be held to a ratio of \(ratio)", remedy: "use 1 or more")
      }
      return .ratio(ratio)
    }
  }

  /// - Throws: `InputError` without a budget, and for a model whose attention forgets.
  private func require(_ budget: CacheBudget?, for name: PolicyName) throws {
    guard budget != nil else {
      throw InputError(
        "the policy \(name.rawValue) needs a budget", remedy: "give one as a ratio (8x), tokens (1024) or bytes (64MB)")
    }
    guard !slides else {
      throw InputError(
        "the policy \(name.rawValue) cannot serve a model with sliding windows: its layers forget by position already",
        remedy: "leave the policy out")
    }
  }
}
