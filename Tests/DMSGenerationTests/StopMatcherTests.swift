import Testing

@testable import DMSGeneration

struct StopMatcherTests {
  /// What is shown of a text: all before the stop string that is complete first, of several the longest.
  private func expected(_ text: String, _ stops: [String]) -> String {
    let bytes = Array(text.utf8)
    for end in 0...bytes.count {
      let fitting = stops.filter { !$0.isEmpty && bytes[..<end].suffix($0.utf8.count).elementsEqual($0.utf8) }
      if let longest = fitting.map(\.utf8.count).max() {
        return String(decoding: bytes[..<(end - longest)], as: UTF8.self)
      }
    }
    return text
  }

  @Test func stopStringsAreFoundAcrossPieces() {
    var random = SplitMix(seed: 5)
    let letters = ["a", "b", "é", "😀", "\n"]
    for _ in 0..<2000 {
      let text = (0..<Int(random.next() % 14)).map { _ in letters[Int(random.next() % 5)] }.joined()
      let stops = (0..<Int(random.next() % 3)).map { _ in
        (0..<Int(1 + random.next() % 3)).map { _ in letters[Int(random.next() % 5)] }.joined()
      }
      var (matcher, shown, stopped) = (StopMatcher(stops), "", false)
      var rest = Array(text.unicodeScalars)
      while !rest.isEmpty, !stopped {
        let size = min(rest.count, 1 + Int(random.next() % 3))
        let piece = matcher.append(String(String.UnicodeScalarView(rest.prefix(size))))
        rest.removeFirst(size)
        shown += piece.text
        stopped = piece.isStopped
        #expect(expected(text, stops).utf8.starts(with: shown.utf8), "nothing of a stop string is shown")
      }
      if !stopped { shown += matcher.finish() }
      #expect(shown == expected(text, stops))
    }
  }

  @Test func emptyStopStringsAreIgnored() {
    var matcher = StopMatcher(["", "x"])
    #expect(matcher.append("abc").text == "abc")
    #expect(matcher.append("dx").isStopped)
  }
}
