// Stop strings in streamed text: they may begin in one piece and end in another, and no part of one is ever shown. The one
// that is complete first ends the text, of several that end together the longest, however the text came in pieces.

/// Ends streamed text before any of several strings, of which no part is ever shown.
public struct StopMatcher: Sendable {
  private let stops: [[UInt8]]
  /// Text that may be the beginning of a stop string.
  private var held: [UInt8] = []

  /// A matcher of these strings; empty ones are ignored.
  public init(_ stops: [String]) {
    self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty }.sorted { $0.count > $1.count }
  }

  /// The text that can be shown now, and whether a stop string was met; what follows it is dropped.
  public mutating func append(_ text: String) -> (text: String, isStopped: Bool) {
    if stops.isEmpty { return (text, false) }
    for byte in text.utf8 {
      held.append(byte)
      if let stop = stops.first(where: { held.suffix($0.count) == $0[...] }) {
        let shown = String(decoding: held.dropLast(stop.count), as: UTF8.self)
        held = []
        return (shown, true)
      }
    }
    // A stop string may still begin wherever the rest is the beginning of one.
    let keep =
      held.indices.first { start in stops.contains { $0.starts(with: held[start...]) } } ?? held.endIndex
    // A character is shown whole: stop strings begin at characters, so `keep` is at one.
    let shown = String(decoding: held[..<keep], as: UTF8.self)
    held.removeFirst(keep)
    return (shown, false)
  }

  /// What was held back when the text ends without a stop string.
  public mutating func finish() -> String {
    defer { held = [] }
    return String(decoding: held, as: UTF8.self)
  }
}
