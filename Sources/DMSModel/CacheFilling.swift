// A cache of a given depth without computing what is in it, so that what a step costs there can be measured.

import DMSCache
import DMSPlatform

extension Engine {
  /// Appends tokens with arbitrary keys and values, without computing them: a cache of a given depth, quickly. Policies
  /// see the tokens as they see others; a model's own decisions cannot be had this way, drawn ones can.
  ///
  /// - Throws: `InputError` if the cache or the memory has no room.
  public func fillArbitrarily(_ cache: SequenceCache, tokens: Int) throws {
    let shape = decoder.configuration
    guard tokens <= cache.capacity - cache.tokensSeen else {
      throw InputError("\(tokens) tokens do not fit", remedy: "raise --context")
    }
    for index in 0..<workspace.keys.count {
      workspace.keys.base[index] = Float(index &* 7919 % 2003) / 1001.5 - 1
      workspace.values.base[index] = Float(index &* 6007 % 2003) / 1001.5 - 1
    }
    for index in 0..<workspace.queries.count {
      workspace.queries.base[index] = Float(index &* 5003 % 2003) / 1001.5 - 1
    }
    var left = tokens
    while left > 0 {
      let count = min(chunk, left)
      for layer in 0..<shape.layers { try appendRows(count, to: cache, layer: layer) }
      cache.advance(by: count)
      left -= count
    }
  }
}
