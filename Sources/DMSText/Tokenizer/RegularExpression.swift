// Regular expressions of tokenizers that no scanner here knows by heart. The engine is Oniguruma, since it is the one that
// Hugging Face tokenizers compiles in, and in its syntax: what a pattern means is what its matches were in training.

import COnig
import DMSPlatform

/// A compiled pattern over UTF-8. Immutable; any number of threads may search with it.
final class RegularExpression: @unchecked Sendable {
  private let regex: OnigRegex

  /// Longer patterns are refused, as are deeper ones: the longest in use has 1,000 bytes, and the compiler recurses.
  private static let mostBytes = 1 << 16
  private static let isInitialized = dms_onig_initialize(200) == ONIG_NORMAL

  init(_ pattern: String, source: String) throws {
    guard Self.isInitialized, pattern.utf8.count <= Self.mostBytes else {
      throw InputError("a regular expression of \(pattern.utf8.count) bytes is not supported", at: source)
    }
    var message = [CChar](repeating: 0, count: Int(dms_onig_message_bytes) + 1)
    var compiled: OnigRegex?
    var text = pattern
    let code = text.withUTF8 { dms_onig_new(&compiled, $0.baseAddress, $0.count, &message) }
    guard code == ONIG_NORMAL, let compiled else {
      let reason = String(decoding: message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
      throw InputError("the regular expression \(oneLine(pattern)) is malformed: \(reason)", at: source)
    }
    regex = compiled
  }

  deinit { onig_free(regex) }

  /// Calls `body` with each match in valid UTF-8, from left to right; empty ones count, but not right behind a match.
  ///
  /// Searching gives up where a match takes more steps back than 64 for each byte, which only patterns that are exponential
  /// or worse than linear do: what follows then counts as text without a match. The reference fails there.
  func matches(in text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void) {
    guard let base = text.baseAddress, let region = onig_region_new(), let limits = onig_new_match_param() else {
      return
    }
    defer {
      onig_region_free(region, 1)
      onig_free_match_param(limits)
    }
    let steps = 100_000 + 64 * text.count
    onig_set_retry_limit_in_match_of_match_param(limits, UInt(steps))
    onig_set_retry_limit_in_search_of_match_param(limits, UInt(steps))
    onig_set_match_stack_limit_size_of_match_param(limits, UInt32(clamping: steps))
    var (start, last) = (0, -1)
    while start <= text.count, dms_onig_search(regex, base, text.count, start, region, limits) >= 0 {
      let (begin, end) = (Int(region.pointee.beg[0]), Int(region.pointee.end[0]))
      guard begin >= start, end >= begin else { return }
      if begin == end, end == last {
        start += text.scalar(at: start).map { UTF8.width($0) } ?? 1
      } else {
        body(begin..<end)
        (start, last) = (end, end)
      }
    }
  }
}
