// What RULER (Hsieh et al., 2024) hides facts in: sentences of noise, or any text.

import DMSPlatform

/// A text that facts are hidden in.
struct Haystack: Sendable {
  private static let noise = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
  /// The words of a text, repeated where it is too short.
  private let words: [String]
  /// By place, whether a sentence ends with the word.
  private let ends: [Bool]

  /// The text of a file; noise without one.
  /// - Throws: `InputError` for a file that cannot be read, is no UTF-8 or has no words.
  init(path: String?) throws {
    words = try (path.map(DataText.read) ?? Self.noise).split(whereSeparator: \.isWhitespace).map(String.init)
    guard !words.isEmpty else {
      throw InputError("no words", at: path, remedy: "give a text to hide facts in")
    }
    ends = words.map { $0.hasSuffix(".") }
  }

  /// So many words with facts after ends of sentences, in their order.
  /// - Parameter depths: for each fact, where it stands, from 0 to 1.
  private func text(hiding facts: [String], at depths: [Double], words count: Int) -> String {
    let places = [0] + (0..<count).lazy.filter { ends[$0 % words.count] }.map { $0 + 1 }
    let chosen = depths.map { places[min(places.count - 1, Int($0 * Double(places.count)))] }.sorted()
    var (parts, next) = ([String](), 0)
    for place in 0...count {
      while next < facts.count, chosen[next] == place {
        parts.append(facts[next])
        next += 1
      }
      if place < count { parts.append(words[place % words.count]) }
    }
    return parts.joined(separator: " ")
  }

  /// The longest prompt around a text with hidden facts that has at most so many tokens; without any haystack if even that is
  /// longer.
  ///
  /// - Parameter prompt: puts the words around the text.
  func prompt(
    hiding facts: [String], tokens: Int, _ reader: TaskReader, _ random: inout RandomStream,
    _ prompt: (String) -> TaskPrompt
  ) throws -> TaskPrompt {
    let depths = facts.map { _ in Double.random(in: 0..<1, using: &random) }
    func made(_ count: Int) -> TaskPrompt { prompt(text(hiding: facts, at: depths, words: count)) }
    // Every word is a token at least.
    var (fits, tooMany) = (0, max(1, tokens))
    while tooMany - fits > 1 {
      let middle = (fits + tooMany) / 2
      if try reader.promptTokens(made(middle)) <= tokens { fits = middle } else { tooMany = middle }
    }
    return made(fits)
  }
}
