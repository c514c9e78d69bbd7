// How well a model predicts a text, and how far its predictions and its evictions are from a reference's: what rounded
// weights, another cache type or eviction cost. Where the text and the models come from is not known here.
//
// V vocabulary · G KV heads

import DMSCache
import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform

/// The perplexity of a text, and a comparison with a reference where there is one.
///
/// The text goes in windows that do not overlap, each into a fresh cache; a window's first token has nothing before it and is
/// not scored. Sums are taken in the order of the text, so a result does not depend on the number of threads.
public struct Perplexity: Sendable {
  /// Scored tokens.
  public private(set) var tokens = 0
  /// Windows that were read whole.
  public private(set) var windows = 0
  /// −Σ log p of the scored tokens, in nats.
  public private(set) var nats = 0.0
  /// Whether the whole text was read.
  public private(set) var isComplete = false
  /// The comparison with the reference; `nil` without one.
  public private(set) var difference: Difference?

  /// Mean of −log p of the scored tokens, in nats.
  public var natsPerToken: Double { nats / Double(tokens) }
  /// The perplexity: exp(nats per token).
  public var value: Double { exponential(natsPerToken) }

  /// How far a model's predictions are from a reference's, at the same places of the same text.
  public struct Difference: Sendable {
    /// −Σ log p of the scored tokens by the reference.
    public fileprivate(set) var referenceNats = 0.0
    /// KL(reference ‖ model) in nats at every scored token, in the order of the text.
    public fileprivate(set) var divergences: [Double] = []
    /// Places where both find the same token most likely.
    public fileprivate(set) var sameTopTokens = 0
    /// Largest difference of a logit from the reference's.
    public fileprivate(set) var largestLogitDifference: Float = 0
    /// Largest magnitude of the reference's logits.
    public fileprivate(set) var largestLogit: Float = 0
    /// The comparison of evictions; `nil` unless both models decide, as often as each other.
    public fileprivate(set) var decisions: Decisions?

    /// Mean of −log p of the scored tokens by the reference, in nats.
    public var referenceNatsPerToken: Double { referenceNats / Double(divergences.count) }
    /// The reference's perplexity.
    public var referenceValue: Double { exponential(referenceNatsPerToken) }
    /// Mean of KL(reference ‖ model), in nats.
    public var meanDivergence: Double { divergences.reduce(0, +) / Double(divergences.count) }
    /// Largest KL(reference ‖ model), in nats; 0 without scored tokens.
    public var largestDivergence: Double { divergences.max() ?? 0 }
    /// Share of the places where both find the same token most likely.
    public var sameTopShare: Double { Double(sameTopTokens) / Double(divergences.count) }

    fileprivate mutating func widen(_ difference: Float, of logit: Float) {
      largestLogitDifference = max(largestLogitDifference, difference)
      largestLogit = max(largestLogit, logit)
    }

    /// The least divergence, in nats, that a share of the places does not exceed; 0 without scored tokens.
    public func divergence(quantile share: Double) -> Double {
      guard !divergences.isEmpty else { return 0 }
      let rank = Int((share * Double(divergences.count)).rounded(.up))
      return divergences.sorted()[max(0, min(divergences.count, rank) - 1)]
    }
  }

  /// DMS decisions: one per token, layer and KV head.
  public struct Decisions: Sendable, Equatable {
    /// How many decisions each model made.
    public fileprivate(set) var count = 0
    /// Those that the model makes otherwise than the reference.
    public fileprivate(set) var flips = 0
    /// Those of the reference that evict.
    public fileprivate(set) var referenceEvictions = 0

    /// Flips of a thousand decisions.
    public var flipsPerThousand: Double { 1000 * Double(flips) / Double(max(1, count)) }
    /// Share of the reference's decisions that evict.
    public var referenceEvictionShare: Double { Double(referenceEvictions) / Double(max(1, count)) }
  }

  /// How a text is read.
  public struct Options {
    /// Tokens of a window; `nil` means the context of the engine.
    public var window: Int?
    /// Receives the share of the text that is read.
    public var progress: ((Double) -> Void)?
    /// Asked between layers of a chunk; what was measured until then is the result.
    public var isCancelled: () -> Bool = { false }

    /// Windows of the engine's context.
    public init() {}
  }

  /// Tokens of a call: bounds the memory of a reference's logits, `[chunk, V]`.
  private static let chunk = 256

  /// Reads a text.
  ///
  /// - Parameters:
  ///   - reference: what the model is compared with; of the same vocabulary, and not `engine`.
  /// - Throws: `InputError` for a text of less than two tokens, ids outside the vocabulary, a window that does not fit the
  ///   engines or a reference of another vocabulary; for logits that are no numbers.
  public static func measure(
    _ ids: [Int], on engine: Engine, against reference: Engine? = nil, options: Options = Options()
  ) throws -> Perplexity {
    let window = options.window ?? engine.context
    let room = min(engine.context, reference?.context ?? engine.context)
    // The last one is predicted and not read: no call of the engine would look at it.
    try engine.check(ids: ids)
    guard ids.count > 1 else { throw InputError("a text of two tokens at least is needed, this one has \(ids.count)") }
    guard (2...max(2, room)).contains(window) else {
      throw InputError("a window of \(window) tokens does not fit", remedy: "use 2 to \(room)")
    }
    let (own, others) = (engine.decoder.configuration, reference?.decoder.configuration)
    if let others, own.vocabulary != others.vocabulary {
      throw InputError(
        "the vocabulary of \(own.vocabulary) tokens is not the reference's of \(others.vocabulary)",
        remedy: "compare models of one tokenizer")
    }
    let run = try Run(engine, reference)
    try run.read(ids, window: window, options)
    return run.result
  }
}

extension Perplexity {
  /// A measurement under way.
  private final class Run {
    var result = Perplexity()
    private let engine: Engine
    private let reference: Engine?
    private let pool: ThreadPool
    private let decisions = DecisionRecorder()
    private let referenceDecisions = DecisionRecorder()
    private let comparesDecisions: Bool
    private var referenceLogits: [Float] = []  // [chunk, V]

    init(_ engine: Engine, _ reference: Engine?) throws {
      precondition(engine !== reference, "two engines")
      self.engine = engine
      self.reference = reference
      pool = engine.machine.pool
      let (own, others) = (engine.decoder.configuration, reference?.decoder.configuration)
      comparesDecisions =
        own.dms != nil && others?.dms != nil && own.layers == others?.layers && own.kvHeads == others?.kvHeads
      guard reference != nil else { return }
      result.difference = Difference()
      if comparesDecisions { result.difference?.decisions = Decisions() }
    }

    func read(_ ids: [Int], window: Int, _ options: Options) throws {
      if comparesDecisions {
        engine.observer = decisions
        reference?.observer = referenceDecisions
      }
      defer {
        engine.observer = nil
        reference?.observer = nil
      }
      // A last window of one token has nothing to score.
      for first in stride(from: 0, to: ids.count - 1, by: window) {
        let text = ids[first..<min(ids.count, first + window)]
        let (cache, referenceCache) = (
          try engine.makeCache(length: text.count), try reference?.makeCache(length: text.count)
        )
        // What follows the last token is not known, so it is not read.
        for start in stride(from: first, to: text.endIndex - 1, by: Perplexity.chunk) {
          let end = min(text.endIndex - 1, start + Perplexity.chunk)
          do {
            try readChunk(
              Array(ids[start..<end]), targets: Array(ids[start + 1...end]), cache, referenceCache, options.isCancelled)
          } catch is CancellationError { return }
          options.progress?(Double(end + 1) / Double(ids.count))
        }
        result.windows += 1
      }
      options.progress?(1)
      result.isComplete = true
    }

    private func readChunk(
      _ ids: [Int], targets: [Int], _ cache: SequenceCache, _ referenceCache: SequenceCache?,
      _ isCancelled: () -> Bool
    ) throws {
      referenceLogits.removeAll(keepingCapacity: true)
      if let reference, let referenceCache {
        try reference.prefill(
          ids, into: referenceCache, onLogits: { self.referenceLogits.append(contentsOf: $1) }, isCancelled: isCancelled
        )
      }
      var done = 0
      let onLogits = { (rows: Int, logits: UnsafeBufferPointer<Float>) in
        try self.score(logits, Array(targets[done..<done + rows]), after: done)
        done += rows
      }
      try engine.prefill(ids, into: cache, onLogits: onLogits, isCancelled: isCancelled)
      if comparesDecisions { compareDecisions() }
    }

    /// - Parameter done: the row of the chunk that `logits` begin with.
    private func score(_ logits: UnsafeBufferPointer<Float>, _ targets: [Int], after done: Int) throws {
      let vocabulary = engine.decoder.configuration.vocabulary
      guard let base = logits.baseAddress else { return }
      let scores = referenceLogits.withUnsafeBufferPointer { others in
        RowScore.all(
          base, reference: reference == nil ? nil : others.baseAddress.map { $0 + done * vocabulary },
          vocabulary: vocabulary, targets: targets, on: pool)
      }
      for score in scores {
        guard score.nats.isFinite, score.divergence.isFinite, score.referenceNats.isFinite else {
          throw InputError(
            "the logits after \(result.tokens + result.windows + 1) tokens are not finite",
            remedy: "check the checkpoint's weights")
        }
        result.nats += score.nats
        result.tokens += 1
        guard reference != nil else { continue }
        result.difference?.referenceNats += score.referenceNats
        result.difference?.divergences.append(score.divergence)
        result.difference?.sameTopTokens += score.hasSameTop ? 1 : 0
        result.difference?.widen(score.logitDifference, of: score.referenceLogit)
      }
    }

    private func compareDecisions() {
      for (own, others) in zip(decisions.take(), referenceDecisions.take()) {
        result.difference?.decisions?.count += own.count
        result.difference?.decisions?.flips += zip(own, others).count { $0 != $1 }
        result.difference?.decisions?.referenceEvictions += others.count { $0 }
      }
    }
  }
}

/// Keeps the decisions of a chunk.
private final class DecisionRecorder: ForwardObserver {
  /// For each layer `[rows, G]`: whether it evicts.
  private var layers: [[Bool]] = []

  func wants(_ quantity: Observed) -> Bool { quantity == .decisionLogits }

  func observe(_ quantity: Observed, layer: Int, rows: Int, values: UnsafeBufferPointer<Float>) {
    while layers.count <= layer { layers.append([]) }
    layers[layer].append(contentsOf: values.map { $0 > 0 })
  }

  func take() -> [[Bool]] {
    defer { layers = [] }
    return layers
  }
}
