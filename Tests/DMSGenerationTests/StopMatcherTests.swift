// Stop strings beside a slow twin: whatever the pieces, what is shown is what stands before the first stop string.

import DMSText
import Foundation
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

  /// As above, with pieces that are not shown: found in the whole text, cut from what is shown.
  @Test func stopStringsAreFoundInHiddenTextAndNeverAcrossIt() {
    var random = SplitMix(seed: 6)
    let pieces = ["a", "b", "ab", "é", "<a>", "<b>", "<é>"]
    for round in 0..<4000 {
      let text = (0..<Int(random.next() % 10)).map { _ in pieces[Int(random.next() % 7)] }
      let stops = (0..<Int(random.next() % 4)).map { _ in
        (0..<Int(1 + random.next() % 3)).map { _ in pieces[Int(random.next() % 7)] }.joined()
      }
      // How much of the whole text stands before the stop string, and what of that is visible.
      let before = expected(text.joined(), stops).utf8.count
      var (visible, place) = ([UInt8](), 0)
      for piece in text {
        if !piece.hasPrefix("<") { visible += piece.utf8.prefix(max(0, before - place)) }
        place += piece.utf8.count
      }
      var (matcher, shown, stopped) = (StopMatcher(stops), "", false)
      for piece in text where !stopped {
        let step = piece.hasPrefix("<") ? matcher.append(hidden: piece) : matcher.append(piece)
        shown += step.text
        stopped = step.isStopped
      }
      if !stopped { shown += matcher.finish() }
      #expect(shown == String(decoding: visible, as: UTF8.self), "\(round): \(text) \(stops)")
    }
  }

  @Test func textIsHeldBackOnlyWhileAStopStringMayCome() {
    var matcher = StopMatcher(["done<|eot|>", "<|a|><|b|>"])
    #expect(matcher.append("is it do").text == "is it ")
    #expect(matcher.append("ne").text == "")
    #expect(matcher.append(hidden: "<|x|>").text == "done")
    #expect(matcher.append(hidden: "<|a|>").text == "" && matcher.append("!").text == "!")
    #expect(matcher.append("done").text == "" && matcher.append(hidden: "<|eot|>").isStopped)
  }

  /// A long stop string that nearly comes, again and again.
  @Test func costIsLinear() {
    let (count, long) = (300_000, String(repeating: "ab", count: 50_000))
    var matcher = StopMatcher([long + "c", long + "<|x|>", "bc"] + (0..<500).map { "b\($0)" })
    var shown = 0
    for _ in 0..<count { shown += matcher.append("ab").text.utf8.count }
    #expect(shown == 2 * count - long.utf8.count)
    #expect(matcher.append(hidden: "<|x|>").isStopped)
  }

  @Test func emptyStopStringsAreIgnored() {
    var matcher = StopMatcher(["", "x"])
    #expect(matcher.append("abc").text == "abc")
    #expect(matcher.append("dx").isStopped)
  }
}
