// Stop strings in streamed text: they may begin in one piece and end in another, and no part of one is ever shown. The one
// that is complete first ends the text, of several that end together the longest, however the text came in pieces.
// Control tokens, which are not shown, are text here: a stop string may contain them, and one that does not is never found
// across them.

import DMSText

/// Ends streamed text before any of several strings, of which no part is ever shown.
public struct StopMatcher: Sendable {
  private let lengths: [Int]
  private let automaton: ByteAutomaton
  private var state = 0
  /// Text that may be the beginning of a stop string, and which of its bytes are not to be shown, from `head` on.
  private var held: [UInt8] = []
  private var isHidden: [Bool] = []
  private var head = 0

  /// A matcher of these strings; empty ones are ignored.
  public init(_ stops: [String]) {
    let stops = stops.map { Array($0.utf8) }
    lengths = stops.map(\.count)
    automaton = ByteAutomaton(stops)
  }

  /// The text that can be shown now, and whether a stop string was met; what follows it is dropped.
  public mutating func append(_ text: String) -> (text: String, isStopped: Bool) { append(text, isHidden: false) }

  /// As above, for text that is not shown itself.
  public mutating func append(hidden text: String) -> (text: String, isStopped: Bool) { append(text, isHidden: true) }

  private mutating func append(_ text: String, isHidden: Bool) -> (text: String, isStopped: Bool) {
    for byte in text.utf8 {
      state = automaton.next(state, byte)
      held.append(byte)
      self.isHidden.append(isHidden)
      if let stop = automaton.match(state) {
        let shown = show(allBut: lengths[stop])
        clear()
        return (shown, true)
      }
    }
    // A stop string may still begin where the rest is the beginning of one. Stop strings begin at characters, so a character
    // is shown whole.
    return (show(allBut: automaton.length(state)), false)
  }

  /// What was held back when the text ends without a stop string, or when no stop string may go on from here.
  public mutating func finish() -> String {
    defer { clear() }
    return show(allBut: 0)
  }

  private mutating func show(allBut count: Int) -> String {
    let end = held.count - count
    var shown: [UInt8] = []
    for index in head..<end where !isHidden[index] { shown.append(held[index]) }
    head = end
    // Now and then, so that the cost stays linear.
    if 2 * head > held.count {
      held.removeFirst(head)
      isHidden.removeFirst(head)
      head = 0
    }
    return String(decoding: shown, as: UTF8.self)
  }

  private mutating func clear() {
    held = []
    isHidden = []
    (head, state) = (0, 0)
  }
}
