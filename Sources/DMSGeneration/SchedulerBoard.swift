// What the scheduler's thread and everybody else both see: requests that have come in, whether it is closing, what goes on.

import DMSPlatform
import Synchronization

/// Between the scheduler's thread and the others.
final class Board: Sendable {
  /// A request that has come in.
  struct Arrival: Sendable {
    let number: Int
    let request: Scheduler.Request
    let mailbox: Mailbox
    let time: ContinuousClock.Instant
  }

  private struct State {
    var arrivals: [Arrival] = []
    var count = 0
    /// Requests of which nothing was read yet.
    var unread = 0
    var isClosing = false
    var isClosed = false
    /// Whether the thread has ended.
    var hasEnded = false
    var waiters: [CheckedContinuation<Void, Never>] = []
    var status = Scheduler.Status()
  }

  let bell = Doorbell()
  private let state = Mutex(State())

  // MARK: From any thread

  var status: Scheduler.Status { state.withLock { $0.status } }

  func arrive(_ request: Scheduler.Request, _ mailbox: Mailbox, most: Int) throws {
    try state.withLock { state in
      guard !state.isClosing else { throw Scheduler.Refusal.isClosing }
      guard state.unread < max(1, most) else { throw Scheduler.Refusal.queueIsFull(waiting: state.unread) }
      state.arrivals.append(Arrival(number: state.count, request: request, mailbox: mailbox, time: .now))
      state.count += 1
      state.unread += 1
    }
    bell.ring()
  }

  func drain() async {
    await withCheckedContinuation { continuation in
      let hasEnded = state.withLock { state in
        state.isClosing = true
        if !state.hasEnded { state.waiters.append(continuation) }
        return state.hasEnded
      }
      bell.ring()
      if hasEnded { continuation.resume() }
    }
  }

  func close() {
    state.withLock { state in
      state.isClosing = true
      state.isClosed = true
    }
    bell.ring()
  }

  // MARK: From the scheduler's thread

  /// Whether all is to be given up.
  var isClosed: Bool { state.withLock { $0.isClosed } }
  /// Whether nothing new comes.
  var isClosing: Bool { state.withLock { $0.isClosing && $0.arrivals.isEmpty } }

  func takeArrivals() -> [Arrival] {
    state.withLock { state in
      defer { state.arrivals = [] }
      return state.arrivals
    }
  }

  /// A request has left the queue for the first time.
  func leaveQueue() { state.withLock { $0.unread -= 1 } }

  func publish(_ status: Scheduler.Status) { state.withLock { $0.status = status } }

  /// The thread ends.
  func end() {
    let waiters = state.withLock { state in
      state.hasEnded = true
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }
}
