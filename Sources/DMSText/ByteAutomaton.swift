// Many byte strings looked for at once, one byte after the other: linear in the text, whatever the strings are (Aho and
// Corasick, 1975). Added tokens and stop strings are found with it.

/// A state, an integer, is the longest end of what was read that begins one of the strings; 0 is the empty one.
package struct ByteAutomaton: Sendable {
  private var edges = MergeTable(expecting: 64)
  /// By state: the longest proper end of it that is a state, the place of the longest string that it ends with, or -1, and
  /// how long it is.
  private var fallbacks: [Int32] = [0]
  private var longest: [Int32] = [-1]
  private var lengths: [Int32] = [0]
  /// Edges of the empty state, by byte: most of a text stays in it.
  private var first: [Int32] = Array(repeating: 0, count: 256)

  /// Empty strings are never found; of equal ones the first is. Memory: about 100 bytes for each byte.
  package init(_ strings: some Sequence<[UInt8]>) {
    var children: [[(byte: UInt8, state: Int)]] = [[]]
    for (place, string) in strings.enumerated() {
      var state = 0
      for byte in string {
        if let edge = edges[state, Int(byte)] {
          state = Int(edge.result)
          continue
        }
        let new = longest.count
        edges.insert(state, Int(byte), MergeTable.Merge(rank: 0, result: UInt32(new)))
        children[state].append((byte, new))
        children.append([])
        lengths.append(lengths[state] + 1)
        longest.append(-1)
        fallbacks.append(0)
        state = new
      }
      if state > 0, longest[state] < 0 { longest[state] = Int32(place) }
    }
    for (byte, state) in children[0] { first[Int(byte)] = Int32(state) }
    // Shorter states first: a fallback is shorter than its state.
    var queue = children[0].map(\.state)
    var head = 0
    while head < queue.count {
      let state = queue[head]
      head += 1
      for (byte, child) in children[state] {
        let fallback = next(Int(fallbacks[state]), byte)
        fallbacks[child] = Int32(fallback)
        if longest[child] < 0 { longest[child] = longest[fallback] }
        queue.append(child)
      }
    }
  }

  /// The state after one more byte.
  package func next(_ state: Int, _ byte: UInt8) -> Int {
    var state = state
    while state > 0 {
      if let edge = edges[state, Int(byte)] { return Int(edge.result) }
      state = Int(fallbacks[state])
    }
    return Int(first[Int(byte)])
  }

  /// The place of the longest string that ends here.
  package func match(_ state: Int) -> Int? { longest[state] < 0 ? nil : Int(longest[state]) }

  /// How many of the last bytes may be the beginning of a string.
  package func length(_ state: Int) -> Int { Int(lengths[state]) }
}
