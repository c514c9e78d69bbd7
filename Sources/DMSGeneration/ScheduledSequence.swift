// A request on the scheduler's thread: what is known of its tokens, and how far its cache has come. Its cache can be taken away
// at any time between two steps; what was said stays, and is read again.

import DMSCache
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText

/// A request that is waiting, read or answered. Of one thread.
final class ScheduledSequence {
  /// In the order of arrival. The oldest is never asked to make room.
  let number: Int
  let request: Scheduler.Request
  let mailbox: Mailbox
  /// `nil` while it waits.
  private(set) var cache: SequenceCache?
  /// Whether it was in a call that broke off: it then decodes by itself, so that it harms no other.
  var isSuspect = false
  /// The prompt, and what was said so far.
  private(set) var target: [Int]
  private(set) var preemptions = 0
  /// Tokens of the prompt that were read one by one, in an earlier answer; an empty range is a place where a chunk ended. What is
  /// read again is read so again.
  private var decoded: [Range<Int>] = []
  /// Tokens of the prompt that were in a cache when it began for the first time.
  private(set) var cachedTokens = 0
  /// Multiples of the chunk at which a fork is left for others.
  private var forkPoints: Set<Int> = []
  private let limit: Int
  private var sampler: Sampler?
  private var constraint: (any TokenConstraint)?
  private let tokenizer: Tokenizer
  private var text: TextStream
  /// Tokens of the prompt whose scores were sent; the first has none.
  private var scored = 1
  private let arrived: ContinuousClock.Instant
  private var began: ContinuousClock.Instant?
  private var firstToken: ContinuousClock.Instant?

  init(_ arrival: Board.Arrival, _ model: LanguageModel) {
    number = arrival.number
    request = arrival.request
    mailbox = arrival.mailbox
    arrived = arrival.time
    target = request.prompt.ids
    limit = request.options.limit(after: target.count)
    constraint = request.constraint
    tokenizer = model.tokenizer
    text = TextStream(model.tokenizer, stops: request.options.stops)
  }

  var promptCount: Int { request.prompt.ids.count }
  /// Tokens that were said.
  var said: Int { target.count - promptCount }
  var seen: Int { cache?.tokensSeen ?? 0 }
  /// Whether it is in the middle of its prompt.
  var isReading: Bool { seen < promptCount }
  /// Whether nothing was read of it yet, ever.
  var isNew: Bool { began == nil }
  /// The most tokens that it will have; its last one is not read.
  var most: Int { promptCount + min(limit, Int.max - promptCount) }

  /// How its tokens came about, as far as `count`; those of the answer as well.
  func history(_ count: Int) -> [Range<Int>] {
    (isReading ? decoded : decoded + [promptCount..<seen]).filter { $0.upperBound <= count }
  }

  /// Whether it may go on from there: at first from anywhere; again from where nothing differs from what it had.
  func mayBegin(at point: PrefixTree.Point) -> Bool {
    point.count < promptCount && (isNew || point.decoded == decoded.filter { $0.upperBound <= point.count })
  }

  /// Where its tokens begin to be read.
  ///
  /// - Parameters:
  ///   - point: whose tokens the cache has; `nil`: none.
  ///   - common: tokens that it shares with others, as far as is known.
  func begin(with cache: SequenceCache, after point: PrefixTree.Point?, common: Int, chunk: Int, _ model: LanguageModel)
  {
    self.cache = cache
    if began == nil {
      began = .now
      decoded = point?.decoded ?? []
      cachedTokens = point?.count ?? 0
    }
    // Others may have the same prompt, or the part of it that some had before.
    forkPoints = Set([promptCount - 1, common].map { $0 / chunk * chunk }.filter { $0 > seen && $0 < promptCount })
    if sampler == nil {
      var sampler = Sampler(
        request.options.sampling, vocabulary: model.decoder.configuration.vocabulary,
        sequence: request.options.sequence)
      sampler.note(target)
      self.sampler = sampler
    }
  }

  /// Gives its memory up, to be read again.
  func makeRoom() {
    cache = nil
    preemptions += 1
  }

  /// Gives its memory up for good.
  func release() {
    cache = nil
    sampler = nil
  }

  /// The next chunk of the prompt: it ends at a multiple of `chunk`, wherever it begins, or where another one ended before.
  func nextChunk(_ chunk: Int) -> ArraySlice<Int> {
    let ends = decoded.map(\.lowerBound).filter { $0 > seen }
    return target[seen..<min((seen / chunk + 1) * chunk, promptCount, ends.min() ?? .max)]
  }

  /// Whether the next token of the prompt was read by itself before.
  var readsOneByOne: Bool { decoded.contains { $0.contains(seen) } }

  /// Whether a fork is to be left here.
  var isAtForkPoint: Bool { forkPoints.contains(seen) }

  /// Tells of what the model thought of the prompt.
  ///
  /// - Parameters:
  ///   - rows: logits `[rows, vocabulary]` after the token at `position` and those that follow it.
  func score(_ rows: UnsafeBufferPointer<Float>, count: Int, position: Int, vocabulary: Int, on pool: ThreadPool) {
    // A row speaks of the token after its own. Those of a sequence that is read again were told before.
    let first = max(position + 1, scored)
    let end = min(position + 1 + count, promptCount)
    guard first < end else { return }
    let skipped = (first - position - 1) * vocabulary
    let scores = TokenScore.all(
      UnsafeBufferPointer(rebasing: rows[skipped...]), vocabulary: vocabulary, ids: target[first..<end],
      top: request.scores ?? 0, on: pool)
    scored = end
    mailbox.send(.prompt(scores))
  }

  /// Chooses a token after the last one that was read, by the rules of `Session.generate`, or ends the answer.
  ///
  /// - Returns: why it ended; `nil`: the token is to be read.
  func take(_ logits: UnsafeBufferPointer<Float>, _ eosIDs: Set<Int>) -> FinishReason? {
    guard said < limit else { return end(.length) }
    // Where no token fits the form there is nothing more to say.
    guard let id = choose(logits, eosIDs) else { return end(.stop) }
    if firstToken == nil { firstToken = .now }
    let score = request.scores.map { TokenScore(id, among: logits, top: $0) }
    if eosIDs.contains(id) { return end(.stop, endID: id, score) }
    target.append(id)
    sampler?.chose(id)
    mailbox.send(.token(ScheduledAnswer.Token(id: id, text: text.append(id), score: score)))
    constraint?.append(tokenizer.bytes(of: id))
    if text.isStopped || constraint?.isComplete ?? false { return end(.stop) }
    if said >= limit { return end(.length) }
    return seen < (cache?.capacity ?? 0) ? nil : end(.context)
  }

  /// A token that the form of the answer allows. It is looked for among all first: a model that keeps to the form costs nothing. Who
  /// first chose something else chooses again among what is allowed, with another random number: what comes is distributed as if
  /// the rest had never been there.
  private func choose(_ logits: UnsafeBufferPointer<Float>, _ eosIDs: Set<Int>) -> Int? {
    guard let first = sampler?.next(logits, position: target.count) else { return nil }
    guard let constraint, !constraint.allows(first, tokenizer, eosIDs) else { return first }
    let allowed = constraint.allowed(tokenizer, vocabulary: logits.count, eosIDs)
    let masked = zip(logits, allowed).map { $1 ? $0 : -.infinity }
    let id = masked.withUnsafeBufferPointer { sampler?.next($0, position: target.count | Self.secondDraw) }
    return id.flatMap { allowed[$0] ? $0 : nil }
  }

  /// Beyond every position: the address of what is drawn at it for a second time.
  private static let secondDraw = 1 << 48

  private func end(_ reason: FinishReason, endID: Int? = nil, _ score: TokenScore? = nil) -> FinishReason {
    let now = ContinuousClock.now
    let (began, first) = (began ?? now, firstToken ?? now)
    var end = ScheduledAnswer.End(
      reason: reason, text: text.finish(endedBy: endID), endID: endID, cachedTokens: cachedTokens, tokens: said,
      preemptions: preemptions, ledger: cache?.ledger ?? Ledger())
    (end.waited, end.read, end.generated) = (began - arrived, first - began, now - first)
    end.endScore = score
    mailbox.send(.end(end))
    mailbox.finish()
    return reason
  }
}
