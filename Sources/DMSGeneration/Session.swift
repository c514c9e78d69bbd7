// One sequence over many turns: read, generate, read again. The cache is the truth about the past; ids say what the sequence
// is, and fork points allow a return to where a rewritten history still agrees. The logits after the last token are the
// session's own: what else the engine has done since does not matter.

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
  /// Why it ended.
  public var reason = FinishReason.length
  /// The end-of-text token that was chosen last, if one was.
  public var endID: Int?
  /// Time of the decode steps; of a step for several sequences, an even share.
  public var time = Duration.zero

  /// Nothing yet.
  public init() {}
}

/// A running sequence on an engine. Sessions of one engine take turns in any order; not for several threads at once.
public final class Session {
  /// The engine that reads and generates.
  public let engine: Engine
  /// The sequence's memory. Another object after a return to an earlier state.
  public private(set) var cache: SequenceCache
  /// The tokens of the sequence. The last one that was generated need not be in the cache yet: the next step reads it.
  public private(set) var ids: [Int] = []
  /// After the last token in the cache, `[vocabulary]`; empty before anything was read.
  package private(set) var logits: [Float] = []
  /// Earlier states to return to, oldest first: a cache that holds the first `count` tokens.
  private var forkPoints: [(count: Int, cache: SequenceCache)] = []
  /// Older ones are given up: each holds the tokens that the sequence has forgotten since.
  private static let mostForkPoints = 2

  /// How long the sequence will be, where that is known.
  private let length: Int?

  /// An empty sequence.
  ///
  /// - Parameter length: how long it will be, where that is known: see `Engine.makeCache`.
  /// - Throws: `InputError` without memory for the cache's tables.
  public init(_ engine: Engine, length: Int? = nil) throws {
    self.engine = engine
    self.length = length
    cache = try engine.makeCache(length: length)
  }

  /// Goes on from a restored cache that holds `ids`, but for the last one perhaps.
  package init(_ engine: Engine, cache: SequenceCache, ids: [Int], logits: [Float]) {
    self.engine = engine
    length = nil
    self.cache = cache
    self.ids = ids
    self.logits = logits
  }

  /// Tokens that still fit into the context.
  public var room: Int { max(0, cache.capacity - ids.count) }

  /// Another session with the same past, which both share. Cost: a copy of the page tables.
  ///
  /// - Throws: `InputError` for lack of memory.
  public func fork() throws -> Session { Session(engine, cache: try cache.fork(), ids: ids, logits: logits) }

  /// Appends tokens to the sequence.
  ///
  /// - Parameter isCancelled: asked often enough to stop within a second; see `resume`.
  /// - Throws: as `resume`.
  public func read(_ more: [Int], isCancelled: () -> Bool = { false }) throws {
    let target = ids + more
    guard cache.tokensSeen < target.count else { return }
    try step(to: target) {
      try engine.prefill(Array(target[cache.tokensSeen...]), into: cache, isCancelled: isCancelled)
    }
  }

  /// A call of the engine that makes the cache hold `target`. If it fails, what the cache holds counts; a cache that is not
  /// whole any more is given up for the last fork point.
  private func step(to target: [Int], _ call: () throws -> Void) throws {
    let before = cache.tokensSeen
    do { try call() } catch {
      if !cache.isWhole {
        try returnToForkPoint()
      } else if cache.tokensSeen > before {
        ids = Array(target[..<cache.tokensSeen])
        logits = []
      }
      throw error
    }
    ids = target
    let last = engine.logits()
    if logits.count != last.count { logits = Array(repeating: 0, count: last.count) }
    logits.withUnsafeMutableBufferPointer { _ = $0.update(from: last) }
  }

  /// Makes the sequence be `target`: keeps what of the past is a prefix of it, returns to the last fork point that is one
  /// where the past is not, and reads the rest.
  ///
  /// - Parameters:
  ///   - stable: how many of the tokens a later call will still begin with, as far as the caller knows: a fork point is left
  ///     there. A chat template's generation prompt is not stable.
  ///   - isCancelled: asked often enough to stop within a second.
  /// - Returns: the count of tokens that had to be read.
  /// - Throws: `InputError` for a target without tokens, outside the vocabulary or longer than the context, for lack of memory
  ///   and for numbers that are not finite; `CancellationError`. What could be read stays read, `ids` says how far; a call
  ///   that broke off inside leaves the last fork point. Reading goes on from there.
  @discardableResult
  public func resume(_ target: [Int], stable: Int? = nil, isCancelled: () -> Bool = { false }) throws -> Int {
    guard !target.isEmpty else { throw InputError("the prompt has no tokens", remedy: "write something") }
    guard target.count <= cache.capacity else {
      throw InputError(
        "the prompt of \(target.count) tokens is longer than the context of \(cache.capacity)",
        remedy: "shorten it or raise --context")
    }
    try engine.check(ids: target)
    let common = zip(ids, target).prefix { $0 == $1 }.count
    // At least one token is read: the logits after an earlier one are not kept.
    let usable = min(common, target.count - 1)
    if cache.tokensSeen > usable {
      forkPoints.removeAll { $0.count > usable }
      try returnToForkPoint()
    } else {
      ids = Array(ids[..<cache.tokensSeen])
    }
    let kept = ids.count
    if let stable, stable > kept, stable < target.count {
      try read(Array(target[kept..<stable]), isCancelled: isCancelled)
      try leaveForkPoint()
    }
    try read(Array(target[ids.count...]), isCancelled: isCancelled)
    return target.count - kept
  }

  private func leaveForkPoint() throws {
    forkPoints.append((ids.count, try cache.fork()))
    if forkPoints.count > Self.mostForkPoints {
      forkPoints.removeFirst(forkPoints.count - Self.mostForkPoints)
      cache.consolidate()
    }
  }

  /// Goes back to the last fork point; to the beginning, if there is none.
  private func returnToForkPoint() throws {
    let point = forkPoints.last
    cache = try point?.cache.fork() ?? engine.makeCache(length: length)
    ids = Array(ids[..<(point?.count ?? 0)])
    logits = []
  }

  /// Generates after the last token of the sequence. Calls go on where the one before ended: two of six tokens are one of
  /// twelve.
  ///
  /// - Parameters:
  ///   - eosIDs: tokens that end the text; they are not part of it.
  ///   - onToken: sees each token as it is chosen; `false` ends the generation.
  ///   - isCancelled: asked before each step.
  /// - Throws: `InputError` for a session that has read nothing, for lack of memory and for numbers that are not finite; what
  ///   `onToken` throws.
  public func generate(
    _ sampler: inout Sampler, eosIDs: Set<Int>, maxTokens: Int, isCancelled: () -> Bool = { false },
    onToken: (Int) throws -> Bool
  ) throws -> Generation {
    guard !logits.isEmpty else {
      throw InputError("nothing was read that a text could go on from", remedy: "read a prompt first")
    }
    var generation = Generation()
    sampler.note(ids)
    while generation.ids.count < maxTokens {
      if isCancelled() {
        generation.reason = .cancelled
        return generation
      }
      // The last token's successor may never be asked for: it is read when the next one is.
      guard ids.count <= cache.capacity else {
        generation.reason = .context
        return generation
      }
      if cache.tokensSeen < ids.count { try readLast(&generation) }
      let id = logits.withUnsafeBufferPointer { sampler.next($0, position: ids.count) }
      if eosIDs.contains(id) {
        generation.reason = .stop
        generation.endID = id
        return generation
      }
      ids.append(id)
      generation.ids.append(id)
      sampler.chose(id)
      guard try onToken(id) else {
        generation.reason = .stop
        return generation
      }
    }
    generation.reason = .length
    return generation
  }

  /// Reads the token that was generated last.
  private func readLast(_ generation: inout Generation) throws {
    generation.time += try ContinuousClock().measure {
      try step(to: ids) { try engine.decode(ids[ids.count - 1], in: cache) }
    }
  }
}
