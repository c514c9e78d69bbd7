// A window with sinks (after StreamingLLM, Xiao et al., arXiv 2309.17453): the first few tokens, to which attention that has
// nowhere to go flows, and the most recent ones. Positions stay as they were.
//
//   when t arrives and B(t) tokens are there, the oldest that is no sink goes
//
// Every head holds the same tokens, and what goes depends on positions alone: any split of a prompt into calls gives the same.

import DMSPlatform

final class WindowWithSinks: CachePolicy {
  /// First tokens that stay for ever.
  static let sinks = 4
  static let least = sinks + 1

  private let cap: TokenCap
  private let layers: Int
  private let capacity: Int
  private let room: Int
  /// `[layers, room]`, by position modulo room: the slot of each token that is no sink.
  private let slots: LazyTable<UInt32>
  /// By layer: the position of the oldest token that is no sink, and the next one's.
  private var ranges: [Range<Int>]

  /// - Parameter capacity: the most tokens that a head will see.
  init(cap: TokenCap, layers: Int, capacity: Int) throws {
    self.cap = cap
    self.layers = layers
    self.capacity = capacity
    room = max(Self.least, min(capacity, cap.tokens(seen: capacity, least: Self.least)))
    slots = try LazyTable(layers * room)
    ranges = Array(repeating: Self.sinks..<Self.sinks, count: layers)
  }

  var needs: PolicyNeeds {
    PolicyNeeds(bytes: ranges.reduce(0) { $0 + MemoryLayout<UInt32>.stride * $1.count })
  }

  func admit(_ arrivals: Arrivals) {
    let slots = slots.base + arrivals.layer * room
    for token in 0..<arrivals.tokens {
      let position = arrivals.position + token
      let range = ranges[arrivals.layer]
      let live = min(position, Self.sinks) + range.count
      var departure: Departure?
      if live >= cap.tokens(seen: position + 1, least: Self.least) {
        departure = Departure(position: range.lowerBound, slot: Int(slots[range.lowerBound % room]))
      }
      for kvHead in 0..<arrivals.kvHeads { arrivals.seat(token, kvHead, replacing: departure) }
      guard position >= Self.sinks else { continue }
      slots[position % room] = UInt32(departure?.slot ?? live)
      ranges[arrivals.layer] = range.lowerBound + (departure == nil ? 0 : 1)..<position + 1
    }
  }

  func settle(_ call: SettledCall) {}

  func fork() throws -> any CachePolicy {
    let other = try WindowWithSinks(cap: cap, layers: layers, capacity: capacity)
    other.ranges = ranges
    for (layer, range) in ranges.enumerated() {
      for position in range {
        let place = layer * room + position % room
        other.slots.base[place] = slots.base[place]
      }
    }
    return other
  }

  /// The first layer's, which all have between calls: the oldest position, and the slots from there on.
  var state: [UInt32] {
    [UInt32(ranges[0].lowerBound)] + ranges[0].map { slots.base[$0 % room] }
  }

  /// Takes a saved state over.
  ///
  /// - Throws: `InputError` for one that does not fit the slots that heads hold.
  func restore(_ saved: SavedPolicy, heads: Int) throws {
    let damaged = InputError("the saved cache does not fit: its eviction state is damaged")
    guard let oldest = saved.words.first.map(Int.init) else { throw damaged }
    let range = oldest..<max(oldest, saved.tokensSeen)
    let live = min(saved.tokensSeen, Self.sinks) + range.count
    guard oldest >= Self.sinks, oldest <= max(Self.sinks, saved.tokensSeen), range.count + Self.sinks <= room,
      saved.words.count == 1 + range.count, saved.words.dropFirst().allSatisfy({ $0 < live }),
      (0..<heads).allSatisfy({ saved.live($0) == live })
    else { throw damaged }
    ranges = Array(repeating: range, count: layers)
    for layer in 0..<layers {
      for (position, slot) in zip(range, saved.words.dropFirst()) { slots.base[layer * room + position % room] = slot }
    }
  }
}
