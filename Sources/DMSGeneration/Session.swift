// One sequence over many turns: read, generate, read again. The cache is the truth about the past; ids say what is in it,
// and fork points allow a return to where a rewritten history still agrees.

import DMSCache
import DMSModel
import DMSPlatform

/// Why generation ended.
public enum FinishReason: String, Sendable {
  /// An end-of-text token, or the consumer had enough.
  case stop
  /// The most tokens that were asked for.
  case length
  /// The cache has no room for another token.
  case context
  /// Interrupted from outside.
  case cancelled
}

/// What a generation was.
public struct Generation: Sendable {
  /// The generated ids, without the end-of-text token.
  public var ids: [Int] = []
  public var reason = FinishReason.length
  /// Time of the decode steps.
  public var time = Duration.zero

  public init() {}
}

/// A running sequence on an engine. Not for several threads at once.
public final class Session {
  public let engine: Engine
  public private(set) var cache: SequenceCache
  /// The tokens in the cache.
  public private(set) var ids: [Int] = []
  /// Earlier states to return to, oldest first: a cache that holds the first `count` tokens.
  private var forkPoints: [(count: Int, cache: SequenceCache)] = []
  /// Older ones are given up: each holds the tokens that the sequence has forgotten since.
  private static let mostForkPoints = 2

  public init(_ engine: Engine) throws {
    self.engine = engine
    cache = try engine.makeCache()
  }

  /// Goes on from a restored cache that holds `ids`.
  package init(_ engine: Engine, cache: SequenceCache, ids: [Int]) {
    self.engine = engine
    self.cache = cache
    self.ids = ids
  }

  /// Tokens that still fit.
  public var room: Int { cache.capacity - ids.count }

  /// Another session with the same past, which both share.
  public func fork() throws -> Session { Session(engine, cache: try cache.fork(), ids: ids) }

  /// Appends tokens to the sequence. The engine then has the logits after the last one.
  public func read(_ more: [Int]) throws {
    try engine.prefill(more, into: cache)
    ids += more
  }

  /// Makes the sequence be `target`: keeps what of the past is a prefix of it, returns to the last fork point that is one
  /// where the past is not, and reads the rest.
  ///
  /// - Parameter stable: how many of the tokens a later call will still begin with, as far as the caller knows: a fork
  ///   point is left there. A chat template's generation prompt is not stable.
  /// - Returns: the count of tokens that had to be read.
  @discardableResult
  public func resume(_ target: [Int], stable: Int? = nil) throws -> Int {
    guard !target.isEmpty else { throw InputError("the prompt has no tokens", remedy: "write something") }
    guard target.count <= cache.capacity else {
      throw InputError(
        "the prompt of \(target.count) tokens is longer than the context of \(cache.capacity)",
        remedy: "shorten it or raise --context")
    }
    let common = zip(ids, target).prefix { $0 == $1 }.count
    // At least one token must be read: logits belong to the last call, not to the cache.
    let usable = min(common, target.count - 1)
    if ids.count > usable {
      forkPoints.removeAll { $0.count > usable }
      if let point = forkPoints.last {
        cache = try point.cache.fork()
        ids = Array(target[..<point.count])
      } else {
        cache = try engine.makeCache()
        ids = []
      }
    }
    let kept = ids.count
    if let stable, stable > kept, stable < target.count {
      try read(Array(target[kept..<stable]))
      try leaveForkPoint()
    }
    try read(Array(target[ids.count...]))
    return target.count - kept
  }

  private func leaveForkPoint() throws {
    forkPoints.append((ids.count, try cache.fork()))
    if forkPoints.count > Self.mostForkPoints {
      forkPoints.removeFirst(forkPoints.count - Self.mostForkPoints)
      cache.consolidate()
    }
  }

  /// Generates after what was read last.
  ///
  /// - Parameters:
  ///   - eosIDs: tokens that end the text; they are not part of it.
  ///   - onToken: sees each token as it is chosen; `false` ends the generation.
  ///   - isCancelled: asked before each step.
  public func generate(
    _ sampler: inout Sampler, eosIDs: Set<Int>, maxTokens: Int, isCancelled: () -> Bool = { false },
    onToken: (Int) throws -> Bool
  ) throws -> Generation {
    var generation = Generation()
    let clock = ContinuousClock()
    sampler.note(ids)
    while generation.ids.count < maxTokens {
      if isCancelled() {
        generation.reason = .cancelled
        return generation
      }
      let id = sampler.next(engine.logits(), position: ids.count)
      if eosIDs.contains(id) {
        generation.reason = .stop
        return generation
      }
      generation.ids.append(id)
      sampler.note(CollectionOfOne(id))
      guard try onToken(id) else {
        generation.reason = .stop
        return generation
      }
      // The last token's successor is never asked for, so it need not be read.
      guard generation.ids.count < maxTokens else { break }
      guard room > 0 else {
        generation.reason = .context
        return generation
      }
      let start = clock.now
      try engine.decode(id, in: cache)
      ids.append(id)
      generation.time += clock.now - start
    }
    generation.reason = .length
    return generation
  }
}
