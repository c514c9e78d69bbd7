// Recital: "… cat482; … dog773; … What is known?" The reasoning repeats every fact, in another order; the answer counts them.
// Each fact has to be found by its name, so that no other task teaches to find facts in as few tokens.

import DMSPlatform

struct RecitalFacts: FactSheet {
  private let names: [String]
  let facts: [String]
  let factSize = 5

  init(_ size: Int, _ random: inout RandomStream) {
    names = ProblemText.names(forSize: size, factSize: factSize, atLeast: 2, &random)
    facts = names.map { "\($0)\(Int.random(in: 100...999, using: &random));" }
  }

  func question(_ random: inout RandomStream) -> (asked: String, reasoning: String, answer: String) {
    ("known", facts.shuffled(using: &random).joined(separator: " "), "\(facts.count)")
  }
}
