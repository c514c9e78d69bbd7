// Regular expressions of tokenizers that no scanner here knows by heart. The engine is Oniguruma, since it is the one that
// Hugging Face tokenizers compiles in, and in its syntax: what a pattern means is what its matches were in training. It
// may be older than that one: `\w`, `\d` and `\b` do not know characters that came after its version of Unicode.

import COnig
import DMSPlatform

/// A compiled pattern over UTF-8. Immutable; any number of threads may search with it.
final class RegularExpression: @unchecked Sendable {
  /// As it was given.
  let pattern: String
  private let regex: OnigRegex

  /// Longer patterns are refused, as are deeper ones: the longest in use has 1,400 bytes, and the compiler recurses, and
  /// takes the square of the length for text without regard to case.
  private static let mostBytes = 1 << 12
  private static let isInitialized = dms_onig_initialize(200) == ONIG_NORMAL && defineCategories()

  init(_ pattern: String, source: String) throws {
    guard Self.isInitialized else { throw InputError("Oniguruma does not start", at: source) }
    guard pattern.utf8.count <= Self.mostBytes else {
      throw InputError("a regular expression of more than \(Self.mostBytes) bytes is not supported", at: source)
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
    self.pattern = pattern
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

  /// Gives the engine the standard library's categories of characters: its own are as old as the distribution is, and the
  /// reference has newer ones compiled in. They stay for the life of the process.
  private static func defineCategories() -> Bool {
    let names = ["L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "N", "Nd", "P", "S"]
    var ranges = [[OnigCodePoint]](repeating: [0], count: names.count)
    var last: Unicode.GeneralCategory?
    for code in UInt32(0)...0x110000 {
      let category = Unicode.Scalar(code)?.properties.generalCategory
      guard category != last else { continue }
      for (index, name) in names.enumerated() {
        let (was, isNow) = (last?.isPart(of: name) ?? false, category?.isPart(of: name) ?? false)
        if isNow, !was { ranges[index].append(code) }
        if was, !isNow { ranges[index].append(code - 1) }
      }
      last = category
    }
    return zip(names, ranges).allSatisfy { name, ranges in
      let stored = UnsafeMutableBufferPointer<OnigCodePoint>.allocate(capacity: ranges.count)
      _ = stored.initialize(from: ranges)
      stored[0] = OnigCodePoint(ranges.count / 2)
      return onig_unicode_define_user_property(name, stored.baseAddress) == ONIG_NORMAL
    }
  }
}

extension Unicode.GeneralCategory {
  /// Whether it is the category of a name or one of its kinds: an uppercase letter is part of L and of Lu.
  fileprivate func isPart(of name: String) -> Bool {
    let own =
      switch self {
      case .uppercaseLetter: "Lu"
      case .lowercaseLetter: "Ll"
      case .titlecaseLetter: "Lt"
      case .modifierLetter: "Lm"
      case .otherLetter: "Lo"
      case .nonspacingMark: "Mn"
      case .spacingMark: "Mc"
      case .enclosingMark: "Me"
      case .decimalNumber: "Nd"
      case .letterNumber: "Nl"
      case .otherNumber: "No"
      case .connectorPunctuation: "Pc"
      case .dashPunctuation: "Pd"
      case .openPunctuation: "Ps"
      case .closePunctuation: "Pe"
      case .initialPunctuation: "Pi"
      case .finalPunctuation: "Pf"
      case .otherPunctuation: "Po"
      case .mathSymbol: "Sm"
      case .currencySymbol: "Sc"
      case .modifierSymbol: "Sk"
      case .otherSymbol: "So"
      default: ""
      }
    return own.hasPrefix(name)
  }
}
