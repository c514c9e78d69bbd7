// The words that problems are made of, and the sentences that stand between facts and mean nothing.

enum ProblemText {
  /// What can have a value.
  static let names = words(
    """
    ant ape arm axe bag bat bed bee bell bird boat book bowl box bug bus cake cap car cat clock coat coin cow crab crow cup
    deer desk dog doll door drum duck ear egg elk eye fan farm fish flag fly foot fork fox frog gate gift goat hand hat hen
    hill horn ice ink jam jar key king kite lake lamp leaf lion lock log map mask moon moth mouse mud nail nest net nut oak
    owl pan peach pear pen pig pin pipe pot rat ring road rock roof rope rose seal sheep ship shoe snail snow sock star sun
    swan tent toad toy train tree van wall wolf worm
    """)

  private static let people = words("Ada Ben Eva Ida Leo Max Mia Tom")
  private static let verbs = words("sees likes wants finds draws paints misses follows")
  private static let qualities = words("old red small quiet green bright slow warm")
  private static let things = words("river garden window village cloud song story bridge")
  private static let times = words("today again soon now often twice later there")

  private static func words(_ text: String) -> [String] { text.split(whereSeparator: \.isWhitespace).map(String.init) }

  /// Tokens of a sentence, roughly.
  static let sentenceSize = 8

  /// A sentence without a fact.
  static func sentence(_ random: inout some RandomNumberGenerator) -> String {
    func one(_ words: [String]) -> String { words[Int.random(in: 0..<words.count, using: &random)] }
    return "\(one(people)) \(one(verbs)) the \(one(qualities)) \(one(things)) \(one(times))."
  }

  /// Facts, in their order, with sentences between them until the text has the size.
  ///
  /// - Parameter factSize: tokens of a fact.
  static func story(
    _ facts: [String], factSize: Int, size: Int, _ random: inout some RandomNumberGenerator
  ) -> String {
    let sentences = max(0, (size - facts.count * factSize) / sentenceSize)
    // A fact or a sentence at each place, each order equally likely.
    var parts: [String] = []
    var (factsLeft, sentencesLeft) = (facts[...], sentences)
    while !factsLeft.isEmpty || sentencesLeft > 0 {
      if Int.random(in: 0..<factsLeft.count + sentencesLeft, using: &random) < factsLeft.count {
        parts.append(factsLeft.removeFirst())
      } else {
        parts.append(sentence(&random))
        sentencesLeft -= 1
      }
    }
    return parts.joined(separator: " ")
  }

  /// Different names, between many and few for facts that fill a text of this size or a part of it.
  static func names(
    forSize size: Int, factSize: Int, atLeast least: Int, _ random: inout some RandomNumberGenerator
  ) -> [String] {
    let most = max(least, min(names.count, size / factSize))
    let count = Int.random(in: max(least, most / 4)...most, using: &random)
    return Array(names.shuffled(using: &random).prefix(count))
  }
}
