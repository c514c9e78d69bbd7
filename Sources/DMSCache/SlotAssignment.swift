// Where the tokens of one call go in one layer, and how long keys stay visible during it: scratch memory that the engine
// owns and every layer fills anew.
//
// G KV heads · T tokens of the call

import DMSKernels
import DMSPlatform

package final class SlotAssignment {
  /// The most tokens of a call.
  package let capacity: Int
  let slots: UnsafeMutablePointer<Int32>  // [G, capacity]
  let places: UnsafeMutablePointer<KVSlot>  // [G, capacity]
  /// The last position that sees the token.
  private let chunkLasts: UnsafeMutablePointer<Int32>  // [G, capacity]
  private var cachedLasts: [GrowingLasts]
  private let slotsBefore: UnsafeMutablePointer<Int>  // [G]
  private let lifetimes: UnsafeMutablePointer<KeyLifetimes>  // [G]

  package init(kvHeads: Int, capacity: Int) {
    self.capacity = capacity
    slots = .allocate(capacity: kvHeads * capacity)
    chunkLasts = .allocate(capacity: kvHeads * capacity)
    places = .allocate(capacity: kvHeads * capacity)
    slotsBefore = .allocate(capacity: kvHeads)
    lifetimes = .allocate(capacity: kvHeads)
    cachedLasts = (0..<kvHeads).map { _ in GrowingLasts() }
  }

  deinit {
    slots.deallocate()
    chunkLasts.deallocate()
    places.deallocate()
    slotsBefore.deallocate()
    lifetimes.deallocate()
  }

  /// Starts a head: all its cached slots and all of the call's tokens are visible to the end, until `expire` says otherwise.
  func begin(kvHead: Int, slots: Int, tokens: Int) {
    precondition(tokens <= capacity, "a call has at most `capacity` tokens")
    slotsBefore[kvHead] = slots
    (chunkLasts + kvHead * capacity).update(repeating: KeyLifetimes.lasting, count: tokens)
    cachedLasts[kvHead].expires = false
  }

  /// The call's token number `token` is seen by no query after position `last`.
  func expire(kvHead: Int, token: Int, last: Int) { chunkLasts[kvHead * capacity + token] = Int32(last) }

  /// The token in a cached slot is seen by no query after position `last`.
  func expire(kvHead: Int, cachedSlot slot: Int, last: Int) {
    cachedLasts[kvHead].set(slot, last: Int32(last), of: slotsBefore[kvHead])
  }

  /// Whether the token is alive at the end of the call.
  func lives(kvHead: Int, token: Int) -> Bool { chunkLasts[kvHead * capacity + token] == KeyLifetimes.lasting }

  /// Slots of the head before the call.
  func before(kvHead: Int) -> Int { slotsBefore[kvHead] }

  /// The lifetimes of all heads, `[G]`, for attention. Valid until the next `begin`.
  package func keyLifetimes() -> UnsafePointer<KeyLifetimes> {
    for kvHead in cachedLasts.indices {
      let cached = cachedLasts[kvHead]
      let lasts = cached.expires ? UnsafePointer(cached.lasts) : nil
      lifetimes[kvHead] = KeyLifetimes(cached: lasts, chunk: chunkLasts + kvHead * capacity)
    }
    return UnsafePointer(lifetimes)
  }
}

/// Last positions by cached slot; made only for a call in which a cached slot expires.
private final class GrowingLasts {
  var expires = false
  private(set) var lasts = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
  private var capacity = 1

  func set(_ slot: Int, last: Int32, of count: Int) {
    if !expires {
      if count > capacity {
        lasts.deallocate()
        capacity = count + count / 2
        lasts = .allocate(capacity: capacity)
      }
      lasts.update(repeating: KeyLifetimes.lasting, count: count)
      expires = true
    }
    lasts[slot] = last
  }

  deinit { lasts.deallocate() }
}

extension SlotAssignment {
  /// Writes keys and values into the places that `SequenceCache.place` found, one task per KV head.
  package struct Store: ParallelWork {
    let assignment: SlotAssignment
    let layout: KVLayout
    let keys: UnsafePointer<Float>
    let values: UnsafePointer<Float>
    let tokens: Int
    let kvHeads: Int

    /// - Parameters:
    ///   - keys, values: `[T, G, D]`, keys after RoPE.
    package init(
      _ assignment: SlotAssignment, layout: KVLayout, keys: UnsafePointer<Float>, values: UnsafePointer<Float>,
      tokens: Int, kvHeads: Int
    ) {
      self.assignment = assignment
      self.layout = layout
      self.keys = keys
      self.values = values
      self.tokens = tokens
      self.kvHeads = kvHeads
    }

    package func run(task kvHead: Int, worker: Int) {
      for token in 0..<tokens where assignment.lives(kvHead: kvHead, token: token) {
        let place = assignment.places[kvHead * assignment.capacity + token]
        let source = (token * kvHeads + kvHead) * layout.headDim
        layout.store(key: keys + source, value: values + source, page: place.base, index: Int(place.index))
      }
    }
  }
}
