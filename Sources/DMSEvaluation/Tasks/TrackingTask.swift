// Variable tracking (after RULER, Hsieh et al., 2024): "sun = 47; … cat = sun; … dog = 81; … map = cat; … What is map?" The
// reasoning goes back along the chain, a link at a time.

extension SyntheticTask {
  private static let factSize = 4
  private static let longestChain = 6

  func trackingProblem(_ size: Int, _ random: inout some RandomNumberGenerator) -> Problem {
    let most = max(2, min(ProblemText.names.count, (size - 8) / Self.factSize))
    let names = ProblemText.names(Int.random(in: max(2, most / 4)...most, using: &random), &random)
    // Each name begins a chain or continues one that is not too long: facts stand in the order of their names, so that what
    // a name is defined by has been read before it.
    var chains: [[Int]] = []
    var definitions: [String] = []
    for place in names.indices {
      let open = chains.indices.filter { chains[$0].count < Self.longestChain }
      if let chain = open.randomElement(using: &random), Int.random(in: 0..<4, using: &random) > 0 {
        definitions.append(names[chains[chain][chains[chain].count - 1]])
        chains[chain].append(place)
      } else {
        definitions.append("\(Int.random(in: 100...999, using: &random))")
        chains.append([place])
      }
    }
    let facts = names.indices.map { "\(names[$0]) = \(definitions[$0]);" }
    // Long chains are rarer than short ones; both are asked for.
    let length = Int.random(in: 1...(chains.map(\.count).max() ?? 1), using: &random)
    let chain = chains.filter { $0.count >= length }.randomElement(using: &random) ?? chains[0]
    let links = chain.prefix(max(1, min(length, chain.count))).reversed()
    let asked = names[links.first ?? 0]
    let story = ProblemText.story(facts, factSize: Self.factSize, size: size - 8, &random)
    return Problem(
      task: self, prompt: "Facts: \(story) What is \(asked)?",
      reasoning: links.map { "\(names[$0]) = \(definitions[$0])" }.joined(separator: "; "),
      answer: definitions[chain[0]])
  }
}
