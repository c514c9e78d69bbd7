// How many chains of which length a budget has room for. A plan is a prediction from a model's ratio; that a budget is kept is the
// batch's matter (AnswerBatch.swift), whatever the model then decides.
//
// W chains · L tokens of a chain · CR compression ratio

import DMSKernels
import DMSPlatform

/// W chains of L tokens for a problem, within a budget of memory and reads.
public struct ChainPlan: Sendable, Equatable {
  /// How a sequence's cache grows.
  public struct Growth: Sendable, Equatable {
    /// Layers times KV heads.
    public var heads: Int
    /// Bytes of a page of one head.
    public var pageBytes: Int
    /// Tokens that every head holds, with the newest; `nil` where all stay.
    public var window: Int?
    /// Of the tokens before the window, one in so many stays.
    public var ratio: Double

    /// A cache by its numbers.
    public init(heads: Int, pageBytes: Int, window: Int?, ratio: Double) {
      (self.heads, self.pageBytes, self.window, self.ratio) = (heads, pageBytes, window, ratio)
    }

    /// Live tokens of a head after so many.
    public func live(after tokens: Int) -> Double {
      guard let window else { return Double(tokens) }
      return Double(min(tokens, window + 1)) + Double(max(0, tokens - window - 1)) / ratio
    }

    /// Pages of a head for so many live tokens.
    private func pages(_ live: Double) -> Int {
      (Int(live.rounded(.up)) + KVLayout.slotsPerPage - 1) / KVLayout.slotsPerPage
    }

    /// Bytes of chains that share a prompt: its pages once, and of each chain's own tokens the live ones. A chain has four pages
    /// more of each head: one that is partly filled, and those that are set aside for the next token while pages are shared.
    public func bytes(prompt: Int, tokens: Int, chains: Int) -> Int {
      heads * pageBytes * (pages(live(after: prompt)) + chains * (pages(live(after: tokens)) + 4))
    }

    /// Keys that chains read, in tokens of a head: each token those that are live then.
    public func reads(prompt: Int, tokens: Int, chains: Int) -> Double {
      // The sum over tokens in two straight pieces: within the window, and behind it.
      func sum(_ count: Int) -> Double {
        let (all, inWindow) = (Double(count), Double(min(count, window.map { $0 + 1 } ?? count)))
        let behind = all - inWindow
        return inWindow * (inWindow + 1) / 2 + behind * inWindow + behind * (behind + 1) / 2 / ratio
      }
      return Double(chains) * (sum(prompt + tokens) - sum(prompt))
    }
  }

  /// What may be spent.
  public struct Budget: Sendable, Equatable {
    /// Bytes that all chains may hold at any time.
    public var bytes: Int
    /// Keys that all chains may read, in tokens of a head.
    public var reads: Double?
    /// The most chains.
    public var chains: Int
    /// The most tokens of a chain.
    public var tokens: Int

    /// A budget by its numbers.
    public init(bytes: Int, reads: Double?, chains: Int, tokens: Int) {
      (self.bytes, self.reads, self.chains, self.tokens) = (bytes, reads, chains, tokens)
    }

    fileprivate func allows(_ growth: Growth, prompt: Int, tokens: Int, chains: Int) -> Bool {
      chains <= self.chains && tokens <= self.tokens
        && growth.bytes(prompt: prompt, tokens: tokens, chains: chains) <= bytes
        && growth.reads(prompt: prompt, tokens: tokens, chains: chains) <= reads ?? .infinity
    }
  }

  /// Tokens of the problem.
  public let prompt: Int
  /// How each chain's cache grows.
  public let growth: Growth
  /// What may be spent.
  public let budget: Budget
  /// L.
  public let tokens: Int
  /// W.
  public let chains: Int

  /// The longest chains that the budget allows, for a chain that does not come to its end says nothing; then as many as fit.
  /// - Throws: `InputError` for a budget without room for a token of one chain.
  public init(prompt: Int, growth: Growth, budget: Budget) throws {
    func most(_ limit: Int, _ allows: (Int) -> Bool) -> Int {
      var (fits, tooMany) = (0, limit + 1)
      while tooMany - fits > 1 {
        let middle = (fits + tooMany) / 2
        if allows(middle) { fits = middle } else { tooMany = middle }
      }
      return fits
    }
    let tokens = most(budget.tokens) { budget.allows(growth, prompt: prompt, tokens: $0, chains: 1) }
    guard tokens > 0 else {
      throw InputError(
        "a chain after the \(prompt) tokens of the problem needs \(byteCount(growth.bytes(prompt: prompt, tokens: 1, chains: 1)))"
          + " and \(decimals(growth.reads(prompt: prompt, tokens: 1, chains: 1), 0)) reads for its first token",
        remedy: "raise the budget")
    }
    (self.prompt, self.growth, self.budget, self.tokens) = (prompt, growth, budget, tokens)
    chains = most(budget.chains) { budget.allows(growth, prompt: prompt, tokens: tokens, chains: $0) }
  }

  /// Bytes that the chains are expected to hold at their ends.
  public var bytes: Int { growth.bytes(prompt: prompt, tokens: tokens, chains: chains) }
  /// Keys that the chains are expected to read.
  public var reads: Double { growth.reads(prompt: prompt, tokens: tokens, chains: chains) }
  /// W–L–CR.
  public var label: String {
    "\(chains)–\(tokens)–\(decimals(growth.ratio, growth.ratio == growth.ratio.rounded() ? 0 : 1))"
  }
}
