// What decides which tokens of a sequence stay, and what it is told. A call of the model goes through each layer once: before
// attention the policy gives each new token a slot, afterwards it may give slots up. The store knows none of this.
//
// A policy says what it must see, so that nobody pays for what another one needs: a model's own decisions cost nothing beside
// what attention computes anyway, attention weights are computed a second time.
//
// What a query reads of what stays is another question: `ReadSelection`.
//
// T tokens of the call · G KV heads · R query heads of a KV head · H = G · R · D head dim

/// What decides which tokens of one sequence stay.
package protocol CachePolicy: AnyObject {
  /// What it must be shown and keeps. What it sees and its floats never change; its bytes do.
  var needs: PolicyNeeds { get }
  /// Gives each token of a call a slot in every head of a layer, before attention.
  func admit(_ arrivals: Arrivals)
  /// Gives slots up, after attention: the call's tokens are stored. Asked of policies that see what is stored.
  /// - Throws: `InputError` for lack of memory.
  func settle(_ call: SettledCall) throws
  /// The same for a second sequence with the same past.
  /// - Throws: `InputError` for lack of memory.
  func fork() throws -> any CachePolicy
  /// What a saved session must hold of it, beside the floats that the store keeps.
  var state: [UInt32] { get }
}

/// What a policy must be shown, and what it keeps.
package struct PolicyNeeds {
  /// What it looks at.
  var sees: Sight = []
  /// Floats that the store keeps with each slot, and with each page.
  var slotFloats = 0
  var pageFloats = 0
  /// Bytes of its own bookkeeping that are in use.
  var bytes = 0

  package struct Sight: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    /// The model's decision logits, as tokens arrive.
    static let decisions = Sight(rawValue: 1)
    /// Keys and values of live tokens, after attention.
    static let stored = Sight(rawValue: 2)
    /// The call's queries as well, for attention weights.
    static let queries = Sight(rawValue: 4)
  }
}

/// A token that is forgotten: its position, and the slot that becomes free.
struct Departure {
  var position: Int
  var slot: Int
}

/// The shape of a sequence's cache.
package struct CacheShape {
  let layers: Int
  let kvHeads: Int
  /// Query heads of a KV head.
  let group: Int
  let headDim: Int
  /// The most tokens that can go in.
  let capacity: Int

  /// - Parameters:
  ///   - group: query heads of a KV head.
  ///   - capacity: the most tokens that can go in.
  package init(layers: Int, kvHeads: Int, group: Int, headDim: Int, capacity: Int) {
    (self.layers, self.kvHeads, self.group) = (layers, kvHeads, group)
    (self.headDim, self.capacity) = (headDim, capacity)
  }

  /// Layers × KV heads; head `h` is KV head `h % kvHeads` of layer `h / kvHeads`.
  var heads: Int { layers * kvHeads }
}

/// The tokens of a call as they arrive in a layer: what a policy sees of them, and where it gives each its slot.
package struct Arrivals {
  let layer: Int
  let tokens: Int
  /// The position of the first one.
  let position: Int
  /// `[T, G]`: decision logits, evict where positive; `nil` for a model that makes none.
  let decisions: UnsafePointer<Float>?
  /// Whether attention reads the slots before the call's tokens are stored (prefill).
  let attendsFirst: Bool
  let store: SlotStore
  let assignment: SlotAssignment

  var kvHeads: Int { store.pool.kvHeads }

  /// The number of a head among those of all layers.
  func head(_ kvHead: Int) -> Int { layer * kvHeads + kvHead }

  /// Slots that a head holds now.
  func live(_ kvHead: Int) -> Int { store.slots[head(kvHead)] }

  /// A token's decision logit; without one it stays.
  @inline(__always)
  func logit(_ token: Int, _ kvHead: Int) -> Float { decisions.map { $0[token * kvHeads + kvHead] } ?? -.infinity }

  /// The same tokens with other decisions.
  func deciding(_ decisions: UnsafePointer<Float>) -> Arrivals {
    Arrivals(
      layer: layer, tokens: tokens, position: position, decisions: decisions, attendsFirst: attendsFirst, store: store,
      assignment: assignment)
  }

  /// Gives a token the slot of one that is forgotten, or a new one.
  ///
  /// - Returns: the slot.
  @inline(__always) @discardableResult
  func seat(_ token: Int, _ kvHead: Int, replacing departure: Departure?) -> Int {
    let slot: Int
    if let departure {
      slot = departure.slot
      // A token of this call overwritten in this call is never stored; a cached one is hidden from later queries.
      let last = position + token - 1
      if departure.position >= position {
        assignment.expire(kvHead: kvHead, token: departure.position - position, last: last)
      } else if attendsFirst {
        assignment.expire(kvHead: kvHead, cachedSlot: slot, last: last)
      }
    } else {
      slot = store.slots[head(kvHead)]
      store.slots[head(kvHead)] = slot + 1
    }
    assignment.slots[kvHead * assignment.capacity + token] = Int32(slot)
    return slot
  }

  /// Gives every token a new slot.
  func seatAll() {
    for kvHead in 0..<kvHeads {
      for token in 0..<tokens { seat(token, kvHead, replacing: nil) }
    }
  }
}

/// What a saved session holds of a policy.
struct SavedPolicy {
  let words: ArraySlice<UInt32>
  let tokensSeen: Int
  /// Slots of a head.
  let live: (_ head: Int) -> Int
}
