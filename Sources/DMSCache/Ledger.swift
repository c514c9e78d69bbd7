// What a cache has done and holds: the one account that the command line, servers, benchmarks and evaluations read.

/// The account of one sequence.
public struct Ledger: Sendable, Equatable {
  /// Tokens that went in.
  public var tokensSeen = 0
  /// Live tokens, the mean over layers and KV heads.
  public var liveTokens = 0.0
  /// Bytes of the pages that the sequence refers to, partly filled ones whole, and of the tables in use. Shared pages count.
  public var bytesHeld = 0
  /// The part of `bytesHeld` that no other sequence shares.
  public var bytesPrivate = 0
  /// Bytes of live tokens: what a cache without pages would hold.
  public var bytesLive = 0
  /// What a cache of the same type would hold that keeps every token.
  public var bytesDense = 0
  /// Address space that the engine has taken for pages of all its sequences.
  public var bytesReserved = 0
  /// Keys read in decode steps, the mean over layers and KV heads (the paper's latency proxy, section 4).
  public var tokensRead = 0.0
  /// The largest `liveTokens` after any call (the paper's memory proxy).
  public var peakTokens = 0.0

  /// The account of an empty cache.
  public init() {}

  /// Tokens seen over live tokens; 1 for an empty cache.
  public var compressionRatio: Double { liveTokens > 0 ? Double(tokensSeen) / liveTokens : 1 }
}
