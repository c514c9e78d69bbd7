// What a sequence may hold at most, as its user says it: resolved to tokens of a KV head for a model's shape and window.

import DMSKernels
import DMSPlatform

/// The most that the cache of one sequence may hold, whatever the model decides: a bound where a learned ratio is an average.
public enum CacheBudget: Sendable, Equatable {
  /// Of tokens seen, one in so many, and the window.
  case ratio(Double)
  /// For each layer and KV head.
  case tokens(Int)
  /// Of the whole sequence: pages, tables and bookkeeping, as `Ledger.bytesHeld` counts them for a sequence without forks.
  case bytes(Int)

  /// What each KV head may hold.
  ///
  /// - Parameters:
  ///   - window: tokens that every head holds.
  ///   - context: the most tokens that a sequence can have.
  /// - Throws: `InputError` for a budget below the window, saying the smallest one.
  package func cap(window: Int, context: Int, heads: Int, layout: KVLayout) throws -> TokenCap {
    let least = min(window + 1, context)
    switch self {
    case .ratio(let ratio):
      guard ratio >= 1, ratio.isFinite else {
        throw InputError("a cache cannot be held to a ratio of \(ratio)", remedy: "use 1 or more")
      }
      return .ratio(ratio)
    case .tokens(let tokens):
      guard tokens >= least else {
        throw InputError(
          "a cache of \(tokens) tokens is below the window of \(window)", remedy: "use at least \(least)")
      }
      return .tokens(tokens)
    case .bytes(let bytes):
      func needed(_ tokens: Int) -> Int {
        let pages = (tokens + KVLayout.slotsPerPage - 1) / KVLayout.slotsPerPage
        return heads
          * (pages * (layout.pageBytes + MemoryLayout<KVPage>.stride)
            + CappedEviction.bytes(window: min(window, context), tokens: tokens))
      }
      guard needed(least) <= bytes else {
        throw InputError(
          "a cache of \(byteCount(bytes)) is below the window of \(window) tokens",
          remedy: "use at least \(needed(least)) bytes, \(byteCount(needed(least)))")
      }
      return .tokens(Self.most(from: least, to: context) { needed($0) <= bytes })
    }
  }

  /// What each KV head may hold between calls under a policy that needs no training.
  ///
  /// - Throws: `InputError` for a budget that it cannot work with, saying the smallest one.
  package func cap(for kind: BudgetedPolicy.Kind, _ shape: CacheShape, layout: KVLayout) throws -> TokenCap {
    switch self {
    case .ratio(let ratio):
      guard ratio >= 1, ratio.isFinite else {
        throw InputError("a cache cannot be held to a ratio of \(ratio)", remedy: "use 1 or more")
      }
      return .ratio(ratio)
    case .tokens(let tokens):
      guard tokens >= kind.least else {
        throw InputError(
          "a cache of \(tokens) tokens is too small for \(kind.rawValue)", remedy: "use at least \(kind.least)")
      }
      return .tokens(tokens)
    case .bytes(let bytes):
      func needed(_ tokens: Int) -> Int { kind.bytes(holding: tokens, shape, layout: layout) }
      guard needed(kind.least) <= bytes else {
        throw InputError(
          "a cache of \(byteCount(bytes)) is too small for \(kind.rawValue)",
          remedy: "use at least \(needed(kind.least)) bytes, \(byteCount(needed(kind.least)))")
      }
      return .tokens(Self.most(from: kind.least, to: max(kind.least, shape.capacity)) { needed($0) <= bytes })
    }
  }

  /// The most tokens that fit; beyond `context` none come.
  private static func most(from least: Int, to context: Int, _ fit: (Int) -> Bool) -> Int {
    var (fits, tooMany) = (least, context + 1)
    while tooMany - fits > 1 {
      let middle = (fits + tooMany) / 2
      if fit(middle) { fits = middle } else { tooMany = middle }
    }
    return fits
  }

  /// Reads `8x`, `2048` or `64MB`, `64MiB`; `nil` for anything else.
  public init?(_ text: String) {
    func number(_ suffix: String) -> Double? {
      guard text.hasSuffix(suffix), let number = Double(text.dropLast(suffix.count)), number > 0, number.isFinite
      else { return nil }
      return number
    }
    if let tokens = Int(text), tokens > 0 {
      self = .tokens(tokens)
      return
    }
    if let ratio = number("x"), ratio >= 1 {
      self = .ratio(ratio)
      return
    }
    let units: [(String, Double)] = [
      ("KiB", 0x1p10), ("MiB", 0x1p20), ("GiB", 0x1p30), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9),
    ]
    for (suffix, size) in units {
      if let count = number(suffix), count * size >= 1, count * size <= 0x1p60 {
        self = .bytes(Int(count * size))
        return
      }
    }
    return nil
  }
}
