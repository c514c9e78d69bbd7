// One request's events on their way from the scheduler's thread to whoever waits for them. Reading slowly holds back the
// sequence that is read and no other; ceasing to read, by any of Swift's ways, ends it.

import DMSCache
import DMSPlatform
import Synchronization

/// What happens to a request, in order: progress of reading, tokens, the end. To be read once, by one task. A reader that is
/// cancelled, or lets go of it, ends the request.
public struct ScheduledAnswer: AsyncSequence, Sendable {
  /// Something that happened.
  public enum Event: Sendable {
    /// So many of the prompt's tokens are in the cache.
    case reading(Int)
    /// What the model thought of the next tokens of the prompt, from the second one on, where that was asked for.
    case prompt([TokenScore])
    /// A token was chosen.
    case token(Token)
    /// The answer is complete.
    case end(End)
  }

  /// A token of an answer.
  public struct Token: Sendable {
    /// Its id.
    public var id: Int
    /// The text that can be shown now: whole characters, nothing that may become a stop string.
    public var text: String
    /// Its place among others, where that was asked for.
    public var score: TokenScore?
  }

  /// How an answer ended.
  public struct End: Sendable {
    /// Why.
    public var reason: FinishReason
    /// The text that was held back until now.
    public var text: String
    /// The end-of-text token that was chosen last, if one was.
    public var endID: Int?
    /// That token's place among others, where scores were asked for.
    public var endScore: TokenScore?
    /// Tokens of the prompt that were in a cache already.
    public var cachedTokens: Int
    /// Tokens of the answer.
    public var tokens: Int
    /// How often the sequence had to make room for others, and was read again.
    public var preemptions: Int
    /// The cache's account.
    public var ledger: Ledger
    /// Time until reading began.
    public var waited = Duration.zero
    /// Time from then to the first token.
    public var read = Duration.zero
    /// Time from then to the end.
    public var generated = Duration.zero
  }

  private let lease: Lease

  /// - Parameter scheduler: lives as long as somebody reads.
  init(_ mailbox: Mailbox, from scheduler: Scheduler?) { lease = Lease(mailbox, scheduler) }

  /// Ends the request within a step; the reader gets a `CancellationError`.
  public func cancel() { lease.mailbox.cancel() }

  /// The events from here on.
  public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(lease: lease) }

  /// Reads events.
  public struct AsyncIterator: AsyncIteratorProtocol, Sendable {
    fileprivate let lease: Lease

    /// The next event; `nil` after the end.
    /// - Throws: `InputError` for a request that cannot go on: lack of memory, numbers that are not finite; `CancellationError`.
    public mutating func next() async throws -> Event? { try await lease.mailbox.next() }
  }

  /// Whoever lets go of the last one has no use for the rest.
  fileprivate final class Lease: Sendable {
    let mailbox: Mailbox
    private let scheduler: Scheduler?

    init(_ mailbox: Mailbox, _ scheduler: Scheduler?) {
      self.mailbox = mailbox
      self.scheduler = scheduler
    }

    deinit { mailbox.cancel() }
  }
}

/// Events that wait for their reader.
final class Mailbox: Sendable {
  private struct State {
    var events: [ScheduledAnswer.Event] = []
    /// Events before this one are read.
    var head = 0
    /// `nil`: more may come.
    var outcome: Result<ScheduledAnswer.Event?, any Error>?
    var reader: CheckedContinuation<ScheduledAnswer.Event?, any Error>?
    var isCancelled = false

    mutating func pop() -> ScheduledAnswer.Event? {
      guard head < events.count else { return nil }
      defer {
        head += 1
        if 2 * head > events.count {
          events.removeFirst(head)
          head = 0
        }
      }
      return events[head]
    }
  }

  private let state = Mutex(State())
  /// Rung when the scheduler has something to do about it.
  private let bell: Doorbell
  /// More events than these do not wait: the sequence does.
  private let room: Int

  init(bell: Doorbell, room: Int) {
    self.bell = bell
    self.room = room
  }

  /// Whether the reader is so far behind that the sequence should wait.
  var isFull: Bool { state.withLock { $0.events.count - $0.head >= room && !$0.isCancelled } }

  /// Whether nobody wants more.
  var isCancelled: Bool { state.withLock { $0.isCancelled } }

  func send(_ event: ScheduledAnswer.Event) {
    let reader = state.withLock { state in
      if state.isCancelled { return CheckedContinuation<ScheduledAnswer.Event?, any Error>?.none }
      defer { state.reader = nil }
      if state.reader == nil { state.events.append(event) }
      return state.reader
    }
    reader?.resume(returning: event)
  }

  /// After the events so far nothing comes, or an error.
  func finish(_ error: (any Error)? = nil) {
    let outcome: Result<ScheduledAnswer.Event?, any Error> = error.map { .failure($0) } ?? .success(nil)
    let reader = state.withLock { state in
      if state.outcome == nil { state.outcome = outcome }
      defer { state.reader = nil }
      return state.reader
    }
    reader?.resume(with: outcome)
  }

  func cancel() {
    let (reader, isNews) = state.withLock { state in
      defer {
        state.isCancelled = true
        state.events = []
        state.head = 0
        state.reader = nil
      }
      return (state.reader, !state.isCancelled && state.outcome == nil)
    }
    reader?.resume(throwing: CancellationError())
    if isNews { bell.ring() }
  }

  func next() async throws -> ScheduledAnswer.Event? {
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let (outcome, isHeld) = take(continuation)
        if isHeld { bell.ring() }
        if let outcome { continuation.resume(with: outcome) }
      }
    } onCancel: {
      cancel()
    }
  }

  /// What is there for a reader, and whether a sequence waited for it to be taken. With nothing there the reader waits.
  private func take(
    _ reader: CheckedContinuation<ScheduledAnswer.Event?, any Error>
  ) -> (outcome: Result<ScheduledAnswer.Event?, any Error>?, isHeld: Bool) {
    state.withLock { state in
      let wasFull = state.events.count - state.head >= room
      if let event = state.pop() { return (.success(event), wasFull) }
      if state.isCancelled { return (.failure(CancellationError()), false) }
      if let outcome = state.outcome { return (outcome, false) }
      precondition(state.reader == nil, "an answer has one reader")
      state.reader = reader
      return (nil, false)
    }
  }
}
