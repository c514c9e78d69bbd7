// How likely a model finds continuations of a context. What they share is read once; each goes on from a fork.

import DMSCache
import DMSGeneration
import DMSModel
import DMSPlatform
import DMSText

/// How likely a model finds each of several continuations of a context.
public struct ChoiceScore: Sendable {
  /// log p of each continuation after the context, in nats.
  public let logLikelihoods: [Double]
  /// Bytes of each continuation in UTF-8, without the space that it begins with.
  public let bytes: [Int]

  /// Tokens that went through the model: what the choices share once, the rest of each.
  public let tokens: Int
  /// The account of the cache that what the choices share was read into.
  public let ledger: Ledger

  /// The place of the likeliest continuation; the first of several.
  static func likeliest(_ logLikelihoods: [Double]) -> Int {
    logLikelihoods.indices.reduce(0) { logLikelihoods[$1] > logLikelihoods[$0] ? $1 : $0 }
  }

  /// The place of the likeliest continuation per byte (lm-evaluation-harness's acc_norm); the first of several.
  static func likeliest(_ logLikelihoods: [Double], perByteOf bytes: [Int]) -> Int {
    likeliest(zip(logLikelihoods, bytes).map { $0 / Double(max(1, $1)) })
  }

  /// Scores continuations, tokenized as lm-evaluation-harness does, after the token that begins a text where the tokenizer
  /// puts one.
  ///
  /// - Throws: `InputError` for a context or a continuation without tokens, for what does not fit the context and for lack
  ///   of memory; `CancellationError`.
  public init(
    _ choices: [String], after context: String, tokenizer: Tokenizer, on engine: Engine,
    isCancelled: () -> Bool = { false }
  ) throws {
    let texts = try choices.map { try ContinuedText(context, $0, tokenizer) }
    guard let first = texts.first else { throw InputError("a problem without choices") }
    // What all begin with and none is scored in.
    let shared = texts.reduce(first.split) { length, text in
      min(length, text.split, zip(first.ids, text.ids).prefix { $0 == $1 }.count)
    }
    guard shared > 0 else { throw InputError("the choices' tokens share no beginning with each other") }
    let session = try Session(engine, length: texts.map(\.ids.count).max())
    try session.resume(Array(first.ids[..<shared]), isCancelled: isCancelled)
    logLikelihoods = try texts.map { try Self.logLikelihood($0, after: session, engine, isCancelled) }
    bytes = choices.map { ($0.first == " " ? $0.dropFirst() : $0[...]).utf8.count }
    tokens = shared + texts.reduce(0) { $0 + $1.ids.count - 1 - shared }
    ledger = session.cache.ledger
  }

  private static func logLikelihood(
    _ text: ContinuedText, after session: Session, _ engine: Engine, _ isCancelled: () -> Bool
  ) throws -> Double {
    let (ids, shared) = (text.ids, session.ids.count)
    let vocabulary = engine.decoder.configuration.vocabulary
    var (sum, place) = (0.0, shared)
    func add(_ logits: UnsafeBufferPointer<Float>, rows: Int) {
      guard let base = logits.baseAddress else { return }
      let targets = Array(ids[place..<place + rows])
      let scores = RowScore.all(
        base, reference: nil, vocabulary: vocabulary, targets: targets, on: engine.machine.pool)
      for (row, score) in scores.enumerated() where place + row >= text.split { sum -= score.nats }
      place += rows
    }
    session.logits.withUnsafeBufferPointer { add($0, rows: 1) }
    let rest = Array(ids[shared..<ids.count - 1])
    if !rest.isEmpty {
      let cache = try session.cache.fork()
      try engine.prefill(rest, into: cache, onLogits: { add($1, rows: $0) }, isCancelled: isCancelled)
    }
    guard sum.isFinite else {
      throw InputError("the logits of a choice are not finite", remedy: "check the checkpoint's weights")
    }
    return sum
  }
}

/// A context with a continuation, and where that begins.
struct ContinuedText {
  let ids: [Int]
  /// Tokens of the context.
  let split: Int

  /// Spaces that end the context belong to the continuation.
  init(_ context: String, _ continuation: String, _ tokenizer: Tokenizer) throws {
    var head = context[...]
    while head.last?.isWhitespace ?? false { head.removeLast() }
    let beginning = tokenizer.beginning
    ids = beginning + tokenizer.encode(context + continuation, addSpecialTokens: false, parseSpecial: false)
    split = beginning.count + tokenizer.encode(String(head), addSpecialTokens: false, parseSpecial: false).count
    guard split > 0 else { throw InputError("a context without tokens", remedy: "give choices something to follow") }
    guard split < ids.count else { throw InputError("a choice without tokens of its own") }
  }
}
