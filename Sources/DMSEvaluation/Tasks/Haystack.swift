// What RULER (Hsieh et al., 2024) hides facts in: sentences of noise, or any text.

import DMSPlatform

/// A text that facts are hidden in.
struct Haystack: Sendable {
  private static let noise = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
  /// The words of a text, repeated where it is too short.
  private let words: [String]
  /// Words of a thousand tokens of English, roughly.
  private static let wordsPerThousand = 750

  /// - Parameter text: `nil` for noise.
  init(_ text: String?, source: String = "text") throws {
    words = (text ?? Self.noise).split(whereSeparator: \.isWhitespace).map(String.init)
    guard !words.isEmpty else { throw InputError("no words", at: source, remedy: "give a text to hide facts in") }
  }

  /// The text of a file; noise without one.
  init(path: String?) throws {
    let text = try path.map { path in
      let file = try MappedFile(path: path)
      return withExtendedLifetime(file) { String(decoding: file.bytes, as: UTF8.self) }
    }
    try self.init(text, source: path ?? "text")
  }

  /// A text of roughly `tokens` tokens with facts after ends of sentences, in their order.
  func text(hiding facts: [String], tokens: Int, _ random: inout RandomStream) -> String {
    let count = max(1, tokens * Self.wordsPerThousand / 1000)
    let text = (0..<count).map { words[$0 % words.count] }
    let ends = [0] + text.indices.filter { text[$0].hasSuffix(".") }.map { $0 + 1 }
    let places = facts.map { _ in ends[Int.random(in: 0..<ends.count, using: &random)] }.sorted()
    var (parts, next) = ([String](), 0)
    for place in 0...count {
      while next < facts.count, places[next] == place {
        parts.append(facts[next])
        next += 1
      }
      if place < count { parts.append(text[place]) }
    }
    return parts.joined(separator: " ")
  }
}
