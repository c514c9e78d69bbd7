// Retrieval: "… cat482; … dog773; … What is dog?" The reasoning repeats the fact.

import DMSPlatform

struct RetrievalFacts: FactSheet {
  private let names: [String]
  private let values: [Int]
  let factSize = 5

  init(_ size: Int, _ random: inout RandomStream) {
    names = ProblemText.names(forSize: size, factSize: factSize, atLeast: 2, &random)
    values = names.map { _ in Int.random(in: 100...999, using: &random) }
  }

  var facts: [String] { zip(names, values).map { "\($0)\($1);" } }

  func question(_ random: inout RandomStream) -> (asked: String, reasoning: String, answer: String) {
    let asked = Int.random(in: 0..<names.count, using: &random)
    return (names[asked], "\(names[asked])\(values[asked])", "\(values[asked])")
  }
}
