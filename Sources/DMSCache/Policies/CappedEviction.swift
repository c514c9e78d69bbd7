// DMS with a cap: what a head decided goes after its window, as ever; and where more would stay than the cap allows, the token
// goes that the head came nearest to forgetting. A learned ratio is an average; a cap is a bound.
//
//   d[i]        decision logit of token i (with shift 1 it arrives with token i + 1)
//   cap(t)      tokens that a head may hold once token t is in: the same for all t, or max(w + 1, ⌈(t + 1) / ratio⌉)
//   victim(t) = the i < t − w still there with the largest d[i], of equals the oldest;
//               goes when t arrives, if nothing leaves by its own decision and cap(t) tokens are there
//
// The tokens outside the window lie in a heap per head. One that decided to go never enters it. A step costs a head O(log cap).

import DMSPlatform

/// The most tokens that a KV head may hold.
public enum TokenCap: Sendable, Equatable {
  /// So many, however many were seen.
  case tokens(Int)
  /// A share 1 / ratio of the tokens seen, and never less than a policy can work with: a window, say.
  case ratio(Double)

  /// Of a head that has seen `seen` tokens.
  func tokens(seen: Int, window: Int) -> Int { tokens(seen: seen, least: window + 1) }

  /// - Parameter least: what a ratio never goes below.
  func tokens(seen: Int, least: Int) -> Int {
    switch self {
    case .tokens(let tokens): tokens
    case .ratio(let ratio): max(least, Int((Double(seen) / ratio).rounded(.up)))
    }
  }
}

final class CappedEviction: CachePolicy {
  let delayed: DelayedEviction
  let cap: TokenCap
  /// `[heads, w + 1]`, by position modulo w + 1: the decision logit of each token in the window.
  private let logits: UnsafeMutableBufferPointer<Float>
  /// `[heads, room]`: the first `counts[head]` are a heap.
  private let candidates: LazyTable<Candidate>
  private let counts: UnsafeMutableBufferPointer<Int>
  private let room: Int
  private let capacity: Int

  /// A token outside the window.
  struct Candidate: Equatable {
    let logit: Float
    let position: Int32
    let slot: UInt32

    /// A total order, so that what goes does not depend on how the heap lies.
    func goesBefore(_ other: Candidate) -> Bool {
      logit != other.logit ? logit > other.logit : position < other.position
    }
  }

  /// - Parameter capacity: the most tokens that a head will see.
  /// - Precondition: as `DelayedEviction`; the cap is above the window.
  init(window: Int, shift: Int, cap: TokenCap, heads: Int, capacity: Int) throws {
    precondition(cap.tokens(seen: 0, window: window) > min(window, capacity - 1), "a cap holds the window")
    delayed = DelayedEviction(window: window, shift: shift, heads: heads)
    self.cap = cap
    self.capacity = capacity
    logits = .allocate(capacity: heads * (window + 1))
    logits.initialize(repeating: 0)
    room = min(capacity, cap.tokens(seen: capacity, window: window))
    candidates = try LazyTable(heads * room)
    counts = .allocate(capacity: heads)
    counts.initialize(repeating: 0)
  }

  deinit {
    logits.deallocate()
    counts.deallocate()
  }

  func admit(_ arrivals: Arrivals) {
    for kvHead in 0..<arrivals.kvHeads {
      let head = arrivals.head(kvHead)
      for token in 0..<arrivals.tokens {
        let (position, logit) = (arrivals.position + token, arrivals.logit(token, kvHead))
        let departure = arrive(head: head, position: position, logit: logit, live: arrivals.store.slots[head])
        let slot = arrivals.seat(token, kvHead, replacing: departure)
        settle(head: head, position: position, slot: slot, logit: logit)
      }
    }
  }

  func settle(_ call: SettledCall) {}

  func fork() throws -> any CachePolicy {
    let other = try CappedEviction(
      window: delayed.window, shift: delayed.shift, cap: cap, heads: delayed.heads, capacity: capacity)
    _ = other.delayed.ring.update(from: delayed.ring)
    _ = other.logits.update(from: logits)
    _ = other.counts.update(from: counts)
    for head in 0..<delayed.heads { (other.heap(head)).update(from: heap(head), count: counts[head]) }
    return other
  }

  var needs: PolicyNeeds {
    var needs = delayed.needs
    needs.bytes +=
      logits.count * MemoryLayout<Float>.stride + counts.reduce(0, +) * MemoryLayout<Candidate>.stride
    return needs
  }

  /// Bytes that a head's bookkeeping comes to with so many tokens.
  static func bytes(window: Int, tokens: Int) -> Int {
    (window + 1) * (MemoryLayout<UInt32>.stride + MemoryLayout<Float>.stride)
      + max(0, tokens - window - 1) * MemoryLayout<Candidate>.stride
  }

  /// The token at `position` arrives in `head`, which holds `live` tokens, with its decision. Returns the token whose slot it
  /// takes over; `nil`: it needs a new one.
  func arrive(head: Int, position: Int, logit: Float, live: Int) -> Departure? {
    if delayed.shift == 1, position >= 1 { logits[place(head, position - 1)] = logit }
    if let departure = delayed.arrive(head: head, position: position, decision: logit > 0) { return departure }
    let leaving = position - delayed.window - 1
    if leaving >= 0 {
      let slot = delayed.ring[place(head, leaving)] >> 1
      push(Candidate(logit: logits[place(head, leaving)], position: Int32(leaving), slot: slot), head)
    }
    guard live >= cap.tokens(seen: position + 1, window: delayed.window), let victim = pop(head) else { return nil }
    return Departure(position: Int(victim.position), slot: Int(victim.slot))
  }

  /// Notes the slot that the token at `position` took.
  func settle(head: Int, position: Int, slot: Int, logit: Float) {
    delayed.settle(head: head, position: position, slot: slot, decision: logit > 0)
    if delayed.shift == 0 { logits[place(head, position)] = logit }
  }

  private func place(_ head: Int, _ position: Int) -> Int {
    head * (delayed.window + 1) + position % (delayed.window + 1)
  }

  // MARK: A heap per head

  private func heap(_ head: Int) -> UnsafeMutablePointer<Candidate> { candidates.base + head * room }

  private func push(_ candidate: Candidate, _ head: Int) {
    precondition(counts[head] < room, "no head holds more than its cap")
    let heap = heap(head)
    var hole = counts[head]
    counts[head] += 1
    while hole > 0, candidate.goesBefore(heap[(hole - 1) / 2]) {
      heap[hole] = heap[(hole - 1) / 2]
      hole = (hole - 1) / 2
    }
    heap[hole] = candidate
  }

  private func pop(_ head: Int) -> Candidate? {
    guard counts[head] > 0 else { return nil }
    let heap = heap(head)
    let first = heap[0]
    counts[head] -= 1
    let (count, last) = (counts[head], heap[counts[head]])
    var hole = 0
    while 2 * hole + 1 < count {
      var child = 2 * hole + 1
      if child + 1 < count, heap[child + 1].goesBefore(heap[child]) { child += 1 }
      guard heap[child].goesBefore(last) else { break }
      heap[hole] = heap[child]
      hole = child
    }
    heap[hole] = last
    return first
  }

  // MARK: Saved

  /// The rings, the logits in them, and each head's candidates with their number before them, as numbers.
  var state: [UInt32] {
    var state = Array(delayed.ring) + logits.map(\.bitPattern)
    for head in 0..<delayed.heads {
      state.append(UInt32(counts[head]))
      for candidate in UnsafeBufferPointer(start: heap(head), count: counts[head]) {
        state += [candidate.logit.bitPattern, UInt32(bitPattern: candidate.position), candidate.slot]
      }
    }
    return state
  }

  /// Takes a saved state over.
  ///
  /// - Throws: `InputError` for one that does not fit the slots that heads hold.
  func restore(_ saved: SavedPolicy) throws {
    guard take(Array(saved.words), saved.live, saved.tokensSeen) else {
      throw InputError("the saved cache does not fit: its eviction state is damaged")
    }
  }

  private func take(_ state: [UInt32], _ liveTokens: (_ head: Int) -> Int, _ tokensSeen: Int) -> Bool {
    let size = delayed.ring.count
    guard state.count >= 2 * size + delayed.heads else { return false }
    for index in 0..<size {
      delayed.ring[index] = state[index]
      logits[index] = Float(bitPattern: state[size + index])
      guard !logits[index].isNaN else { return false }
    }
    var next = 2 * size
    for head in 0..<delayed.heads {
      let (live, inside) = (liveTokens(head), min(delayed.window + 1, tokensSeen))
      let outside = max(0, live - inside)
      let first = head * (delayed.window + 1)
      let ring = state[first..<first + inside]
      guard ring.allSatisfy({ Int($0 >> 1) < live }), next < state.count, Int(state[next]) == outside,
        outside < room || outside == 0,
        live <= cap.tokens(seen: tokensSeen, window: delayed.window), state.count - next > 3 * outside
      else { return false }
      for index in 0..<outside {
        let place = next + 1 + 3 * index
        let candidate = Candidate(
          logit: Float(bitPattern: state[place]), position: Int32(bitPattern: state[place + 1]),
          slot: state[place + 2])
        guard !candidate.logit.isNaN, (0..<tokensSeen).contains(Int(candidate.position)), candidate.slot < live
        else { return false }
        push(candidate, head)
      }
      next += 1 + 3 * outside
    }
    return next == state.count
  }
}
