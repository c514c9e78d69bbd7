// A cache's contents as plain bytes, out and in again: what a saved session consists of. The slots keep their numbers, so
// a restored sequence goes on bit for bit as if it had never been put away.

import DMSKernels
import DMSPlatform

extension SequenceCache {
  /// The stored keys and values of a head, each slot's in `layout.vectorBytes`, in the order of the slots.
  package func exportHead(layer: Int, kvHead: Int) -> (keys: [UInt8], values: [UInt8]) {
    let head = layer * slots.pool.kvHeads + kvHead
    let count = slots.slots[head]
    let width = layout.vectorBytes
    var keys = [UInt8](repeating: 0, count: count * width)
    var values = keys
    keys.withUnsafeMutableBytes { keys in
      values.withUnsafeMutableBytes { values in
        guard let key = keys.baseAddress, let value = values.baseAddress else { return }
        for slot in 0..<count {
          let place = slots.place(head: head, slot: slot)
          layout.load(page: place.base, index: Int(place.index), key: key + slot * width, value: value + slot * width)
        }
      }
    }
    return (keys, values)
  }

  /// What the policy remembers: for DMS which slot each recent token has, and which of them will go, under a cap also what may
  /// have to; then the floats that the store keeps for it. Empty for a cache that keeps all.
  package var evictionState: [UInt32] { keeper.state + slots.floatWords }

  /// Fills an empty cache with what another one exported.
  ///
  /// - Parameter head: the bytes of layer and KV head, as `exportHead` gave them.
  /// - Throws: `InputError` if the sizes do not fit this cache's shape or policy; the cache is then unusable.
  package func restore(
    tokensSeen count: Int, evictionState: [UInt32],
    head: (_ layer: Int, _ kvHead: Int) throws -> (keys: UnsafeRawBufferPointer, values: UnsafeRawBufferPointer)
  ) throws {
    precondition(tokensSeen == 0, "only an empty cache is filled")
    func unfit(_ what: String) -> InputError { InputError("the saved cache does not fit: \(what)") }
    guard (0...capacity).contains(count) else { throw unfit("\(count) tokens for a context of \(capacity)") }
    let (kvHeads, width) = (slots.pool.kvHeads, layout.vectorBytes)
    for index in 0..<slots.heads {
      let bytes = try head(index / kvHeads, index % kvHeads)
      let live = bytes.keys.count / width
      guard bytes.keys.count == live * width, bytes.values.count == bytes.keys.count, live <= count else {
        throw unfit(
          "layer \(index / kvHeads) has \(bytes.keys.count) bytes of keys and \(bytes.values.count) of values")
      }
      slots.slots[index] = live
      if let key = bytes.keys.baseAddress, let value = bytes.values.baseAddress {
        for slot in 0..<live {
          let place = try slots.placeForWriting(head: index, slot: slot)
          layout.restore(
            key: key + slot * width, value: value + slot * width, page: place.base, index: Int(place.index))
        }
      }
    }
    let words = evictionState.count - slots.floatCount
    guard words >= 0, slots.restore(floatWords: evictionState[words...], tokensSeen: count) else {
      throw unfit("its eviction state is damaged")
    }
    keeper = try policy.keeper(
      shape, saved: SavedPolicy(words: evictionState[..<words], tokensSeen: count, live: { [slots] in slots.slots[$0] })
    )
    noteRestored(tokensSeen: count)
  }
}
