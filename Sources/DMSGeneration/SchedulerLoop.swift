// What the scheduler does in a step, on its own thread:
//
//   1. requests that came in join the queue, those that nobody wants any more go
//   2. while there is room, the first of the queue is begun
//   3. one chunk of one prompt is read
//   4. every sequence whose prompt is read decodes one token
//
// Memory is looked at before a call of the engine, never in it. Where it is short, those make room first whose readers lag
// behind, then the youngest; the oldest never does, so something always gets done. A sequence that made room stands at the head of the queue
// again, by its age. It is read as it was the first time: its prompt in the same chunks, its answer token by token. The kernels for
// chunks and for tokens round differently, and nobody is to notice.

import DMSCache
import DMSKernels
import DMSModel
import DMSPlatform

/// The scheduler's thread. Whatever is not `board` belongs to it alone.
final class SchedulerLoop {
  private let model: LanguageModel
  private let engine: Engine
  private let board: Board
  /// By age; those that made room are among them.
  private var waiting: [ScheduledSequence] = []
  /// Being read: one at a time.
  private var reading: ScheduledSequence?
  /// By age.
  private var decoding: [ScheduledSequence] = []
  private var forecast = LiveForecast()
  /// Whether memory was short since a sequence ended: who is begun then would only have to make room again.
  private var isCrowded = false
  private var status = Scheduler.Status()
  /// How far ahead memory is looked for when a sequence is begun.
  private static let lookahead = 256

  /// What a later sequence may go on from.
  private var prefixes = PrefixTree()
  private let mostPrefixBytes: Int
  /// Tokens that are read one by one in a step, where a prompt has to be read so.
  private static let mostOneByOne = 16

  init(_ model: LanguageModel, _ engine: Engine, _ board: Board, prefixBytes: Int? = nil) {
    self.model = model
    self.engine = engine
    self.board = board
    mostPrefixBytes = prefixBytes ?? engine.cacheLimit.map { $0 / 2 } ?? 1 << 30
  }

  /// Steps until it is closed, or drained.
  func run() {
    while !board.isClosed {
      let rings = board.bell.count
      let isBusy = step()
      publish()
      if isBusy { continue }
      if board.isClosing, waiting.isEmpty, reading == nil, decoding.isEmpty { break }
      board.bell.wait(after: rings)
    }
    join()
    for sequence in running + waiting { fail(sequence, CancellationError()) }
    (waiting, decoding, reading) = ([], [], nil)
    prefixes.removeAll()
    publish()
    board.end()
  }

  /// - Returns: whether anything was done; if not, nothing can be until the bell rings.
  func step() -> Bool {
    join()
    leave()
    admit()
    let hasRead = readChunk()
    return decode() || hasRead
  }

  private var running: [ScheduledSequence] { (reading.map { [$0] } ?? []) + decoding }

  // MARK: Coming and going

  private func join() {
    for arrival in board.takeArrivals() { waiting.append(ScheduledSequence(arrival, model)) }
  }

  /// Those that nobody wants any more.
  private func leave() {
    for sequence in running + waiting where sequence.mailbox.isCancelled { fail(sequence, CancellationError()) }
  }

  /// Takes a sequence out, whatever it is doing.
  private func remove(_ sequence: ScheduledSequence) {
    if sequence.isNew { board.leaveQueue() }
    note(sequence)
    waiting.removeAll { $0 === sequence }
    decoding.removeAll { $0 === sequence }
    if reading === sequence { reading = nil }
  }

  private func fail(_ sequence: ScheduledSequence, _ error: any Error) {
    status.cancelled += 1
    isCrowded = false
    remove(sequence)
    sequence.release()
    sequence.mailbox.finish(error)
  }

  private func complete(_ sequence: ScheduledSequence) {
    status.completed += 1
    isCrowded = false
    remove(sequence)
    // The next turn of a conversation goes on from here.
    if let cache = sequence.cache { keep(sequence, cache) }
    sequence.release()
    trimPrefixes()
  }

  private func makeRoom(_ sequence: ScheduledSequence) {
    status.preempted += 1
    isCrowded = true
    remove(sequence)
    sequence.makeRoom()
    waiting.insert(sequence, at: waiting.firstIndex { $0.number > sequence.number } ?? waiting.endIndex)
  }

  private func note(_ sequence: ScheduledSequence) {
    if let cache = sequence.cache { forecast.note(cache.policy, seen: cache.tokensSeen, live: cache.liveTokens) }
  }

  // MARK: Beginning

  /// Begins to read the next of the queue, if there is room: one at a time.
  private func admit() {
    guard reading == nil, decoding.count < engine.batch,
      let next = waiting.first(where: { !$0.mailbox.isFull }), decoding.isEmpty || !isCrowded && fits(next)
    else { return }
    do {
      let policy = next.request.policy ?? engine.policy
      let (common, points) = prefixes.walk(next.request.prompt.ids, policy)
      // Of tokens that are not read there are no scores.
      let point = next.request.scoresPrompt ? nil : points.first(where: next.mayBegin(at:))
      let cache = try point?.cache.fork() ?? engine.makeCache(policy: policy)
      if let point { prefixes.use(point) }
      waiting.removeAll { $0 === next }
      let isNew = next.isNew
      if isNew { board.leaveQueue() }
      next.begin(with: cache, after: point, common: common, chunk: engine.chunk, model)
      if isNew { status.cachedTokens += next.cachedTokens }
      reading = next
    } catch {
      fail(next, error)
    }
  }

  /// Whether what is held, and what the next tokens of all will need by all that is known, leaves room for one more.
  private func fits(_ next: ScheduledSequence) -> Bool {
    guard let limit = engine.cacheLimit else { return true }
    var bytes = 0
    for sequence in decoding {
      note(sequence)
      bytes += expected(sequence, ahead: Self.lookahead)
    }
    return bytes + expected(next, ahead: next.target.count + Self.lookahead) <= limit
  }

  /// Bytes that a sequence is expected to hold, so many tokens further on.
  private func expected(_ sequence: ScheduledSequence, ahead: Int) -> Int {
    let shape = engine.decoder.configuration
    let seen = min(sequence.seen + ahead, sequence.most, engine.context)
    let live = forecast.live(sequence.request.policy ?? engine.policy, seen: seen)
    // A page per head is begun on average half.
    let pages = live / Double(KVLayout.slotsPerPage) + 0.5
    return Int(pages * Double(shape.layers * shape.kvHeads * engine.pageBytes))
  }

  // MARK: Reading

  /// - Returns: whether a chunk was read, or its sequence came to an end.
  private func readChunk() -> Bool {
    guard let sequence = reading, let cache = sequence.cache else { return false }
    if sequence.readsOneByOne { return readOneByOne(sequence, cache) }
    let chunk = Array(sequence.nextChunk(engine.chunk))
    guard findRoom(toRead: chunk.count, sequence) else { return reading == nil }
    let (before, vocabulary) = (cache.tokensSeen, engine.decoder.configuration.vocabulary)
    var position = before
    let scoring: ((Int, UnsafeBufferPointer<Float>) -> Void)? = { [pool = engine.machine.pool] count, rows in
      sequence.score(rows, count: count, position: position, vocabulary: vocabulary, on: pool)
      position += count
    }
    do {
      status.readTime += try ContinuousClock().measure {
        try engine.prefill(
          chunk, into: cache, onLogits: sequence.request.scoresPrompt ? scoring : nil,
          isCancelled: { sequence.mailbox.isCancelled || board.isClosed })
      }
    } catch {
      fail(sequence, error)
      return true
    }
    status.promptTokens += chunk.count
    note(sequence)
    sequence.mailbox.send(.reading(cache.tokensSeen))
    if sequence.isAtForkPoint, let fork = try? cache.fork() {
      keep(sequence, fork)
      trimPrefixes()
    }
    guard !sequence.isReading else { return true }
    reading = nil
    decoding.insert(sequence, at: decoding.firstIndex { $0.number > sequence.number } ?? decoding.endIndex)
    if cache.tokensSeen == sequence.target.count { take(sequence, engine.logits()) }
    return true
  }

  /// Goes over an answer that is in the prompt and in no cache any more, as it was gone over when it was given.
  private func readOneByOne(_ sequence: ScheduledSequence, _ cache: SequenceCache) -> Bool {
    for _ in 0..<Self.mostOneByOne where sequence.readsOneByOne {
      guard findRoom(toRead: 1, sequence) else { return reading == nil }
      do { try engine.decode(sequence.target[sequence.seen], in: cache) } catch {
        fail(sequence, error)
        break
      }
      status.promptTokens += 1
    }
    return true
  }

  private func findRoom(toRead tokens: Int, _ sequence: ScheduledSequence) -> Bool {
    if findRoom(tokens: tokens, for: [sequence], oldest: sequence) { return true }
    if reading === sequence, running.count == 1 { failForMemory(sequence, tokens: tokens) }
    return false
  }

  // MARK: What others may go on from

  /// Keeps a cache with what a sequence has read so far.
  private func keep(_ sequence: ScheduledSequence, _ cache: SequenceCache) {
    guard mostPrefixBytes > 0, cache.isWhole else { return }
    let count = cache.tokensSeen
    let history = sequence.history(count)
    // Where what stays depends on the calls, only what all would have read in the same ones is shared.
    guard history.isEmpty || !cache.policy.dependsOnCalls else { return }
    prefixes.insert(sequence.target[..<count], cache.policy, cache, decoded: history)
  }

  /// Keeps to the bound on what is kept: pages that no running sequence has for itself.
  private func trimPrefixes() {
    guard prefixes.count > 0, engine.cacheBytesHeld > mostPrefixBytes else { return }
    let running = running.reduce(0) { $0 + ($1.cache?.ledger.bytesPrivate ?? 0) }
    while engine.cacheBytesHeld - running > mostPrefixBytes, prefixes.removeOldest() {}
  }

  // MARK: Decoding

  /// - Returns: whether a step was done.
  private func decode() -> Bool {
    let ready = decoding.filter { !$0.mailbox.isFull }
    decode(ready.filter { !$0.isSuspect })
    for suspect in ready where suspect.isSuspect { decode([suspect]) }
    return !ready.isEmpty
  }

  /// A token of each, or of those that are left when memory is short.
  private func decode(_ sequences: [ScheduledSequence]) {
    var batch = sequences.filter { $0.cache != nil }
    while let oldest = batch.first {
      if findRoom(tokens: 1, for: batch, oldest: oldest) { return decodeStep(batch) }
      let left = batch.filter { $0.cache != nil }
      if left.count == batch.count {
        // Nobody younger is left. An older one that is being read will take what it needs, or end.
        if running.count == 1 { failForMemory(oldest, tokens: 1) }
        return
      }
      batch = left
    }
  }

  private func decodeStep(_ batch: [ScheduledSequence]) {
    let caches = batch.compactMap(\.cache)
    do {
      status.decodeTime += try ContinuousClock().measure {
        try engine.decode(batch.map { $0.target[$0.seen] }, in: caches)
      }
    } catch {
      broken(batch, error)
      return
    }
    for (index, sequence) in batch.enumerated() where sequence.seen == sequence.target.count {
      take(sequence, engine.logits(index))
    }
  }

  private func take(_ sequence: ScheduledSequence, _ logits: UnsafeBufferPointer<Float>) {
    let before = sequence.said
    let reason = sequence.take(logits, model.eosIDs)
    status.answerTokens += sequence.said - before
    if reason != nil { complete(sequence) }
  }

  /// A step that failed: by itself a sequence is at fault; of several, each goes on by itself.
  private func broken(_ batch: [ScheduledSequence], _ error: any Error) {
    if batch.count == 1 { return fail(batch[0], error) }
    let areWhole = batch.allSatisfy { $0.cache?.isWhole ?? false }
    // The system had no memory, and nothing was done.
    if areWhole, let youngest = batch.last { return makeRoom(youngest) }
    for sequence in batch {
      sequence.isSuspect = true
      makeRoom(sequence)
    }
  }

  // MARK: Memory

  /// Lets others make room until a call finds its memory: first what is kept for later, then those whose readers lag behind, then the youngest, of those
  /// younger than `oldest`.
  ///
  /// - Returns: whether the call may be made. If not, some of its own sequences may have made room.
  private func findRoom(tokens: Int, for call: [ScheduledSequence], oldest: ScheduledSequence) -> Bool {
    while engine.shortage(tokens: tokens, in: call.compactMap(\.cache)) > 0 {
      if prefixes.removeOldest() {
        // Slots that were moved out of shared pages return.
        for sequence in running { sequence.cache?.consolidate() }
        continue
      }
      let others = running.filter { $0 !== oldest }
      let lagging = others.last { $0.mailbox.isFull }
      let youngest = others.filter { $0.number > oldest.number }.max { $0.number < $1.number }
      guard let victim = lagging ?? youngest else { return false }
      makeRoom(victim)
      if call.contains(where: { $0 === victim }) { return false }
    }
    return true
  }

  private func failForMemory(_ sequence: ScheduledSequence, tokens: Int) {
    let limit = engine.cacheLimit ?? 0
    let short = engine.shortage(tokens: tokens, in: [sequence.cache].compactMap { $0 })
    fail(
      sequence,
      InputError(
        "after \(sequence.seen) tokens the sequence needs \(byteCount(short)) more than the \(byteCount(limit)) that all caches may take",
        remedy: "make it shorter, or raise the limit"))
  }

  // MARK: Telling

  private func publish() {
    status.running = running.count
    status.waiting = waiting.count
    status.prefixes = prefixes.count
    status.tokensSeen = running.reduce(0) { $0 + $1.seen }
    status.liveTokens = running.reduce(0) { $0 + ($1.cache?.liveTokens ?? 0) }
    status.bytesHeld = engine.cacheBytesHeld
    status.bytesReserved = engine.cacheBytesReserved
    board.publish(status)
  }
}
