// A problem with its answer, and the reasoning that leads there. Where problems come from: the other files of this folder.

import DMSPlatform

/// A problem with its answer, and the reasoning that leads there.
public struct Problem: Sendable, Equatable {
  /// The task that it is of.
  public let task: SyntheticTask
  /// Facts among other sentences, and the question; only the question in a conversation's later problems.
  public let prompt: String
  /// Every step to the answer in writing.
  public let reasoning: String
  /// The right answer, as it is to be written.
  public let answer: String

  /// What a model that thinks before it answers writes. Every name stands after a space, so that it is always the same token.
  public var response: String { "<think> \(reasoning)</think>\(answer)" }
}

/// Tasks that need what was read long ago, made up from a seed: each hides a few facts among many.
public enum SyntheticTask: String, Sendable, CaseIterable {
  /// The value of one name among many.
  case retrieval
  /// The value at the end of a chain of names, each defined by another.
  case tracking
  /// A sum of the values of several names, digit by digit.
  case sums
  /// Every fact, in another order.
  case recital

  /// The tasks that ask for something; a recital is for practice.
  public static let questions: [SyntheticTask] = [.retrieval, .tracking, .sums]

  /// The problem of a seed and an index: always the same one.
  ///
  /// - Parameter size: roughly how many tokens the prompt is to have, if every word, digit and sign is one.
  public func problem(seed: UInt64, index: Int, size: Int) -> Problem {
    conversation(seed: seed, index: index, size: size, questions: 1)[0]
  }

  /// Several questions about the same facts, which the first prompt tells.
  ///
  /// - Parameter questions: at least 1.
  public func conversation(seed: UInt64, index: Int, size: Int, questions: Int) -> [Problem] {
    let place = Self.allCases.firstIndex(of: self) ?? 0
    var random = RandomStream(seed: RandomNumbers.seed(RandomNumbers.seed(seed, place), index))
    let facts: any FactSheet =
      switch self {
      case .retrieval: RetrievalFacts(size, &random)
      case .tracking: TrackingFacts(size, &random)
      case .sums: SumsFacts(size, &random)
      case .recital: RecitalFacts(size, &random)
      }
    let story = ProblemText.story(facts.facts, factSize: facts.factSize, size: size, &random)
    return (0..<max(1, questions)).map { number in
      let question = facts.question(&random)
      return Problem(
        task: self, prompt: (number == 0 ? "Facts: \(story) " : "") + "What is \(question.asked)?",
        reasoning: question.reasoning, answer: question.answer)
    }
  }
}

/// What a problem's text states, and what can be asked about it.
protocol FactSheet {
  /// As they stand in the text, in order.
  var facts: [String] { get }
  /// Tokens of a fact, roughly.
  var factSize: Int { get }
  func question(_ random: inout RandomStream) -> (asked: String, reasoning: String, answer: String)
}

extension SyntheticTask {
  /// What a response answers: the text after the reasoning. A response without an end of its reasoning answers nothing.
  public static func answer(in response: String) -> String? {
    guard let end = response.range(ofText: "</think>") else { return nil }
    var answer = response[end.upperBound...]
    while answer.first?.isWhitespace ?? false { answer.removeFirst() }
    while answer.last?.isWhitespace ?? false { answer.removeLast() }
    return String(answer)
  }
}

extension String {
  /// The last place of a text.
  fileprivate func range(ofText text: String) -> Range<String.Index>? {
    var start = endIndex
    while start > startIndex {
      start = index(before: start)
      if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
    }
    return nil
  }
}
