// Variable tracking (after RULER, Hsieh et al., 2024): "sun471; … cat sun; … dog815; … map cat; … What is map?" The
// reasoning goes back along the chain, a link at a time.

import DMSPlatform

struct TrackingFacts: FactSheet {
  private let names: [String]
  /// What each name is defined by, as it stands after it: a number, or a space and a name.
  private let definitions: [String]
  /// Places of names, from a chain's value on.
  private let chains: [[Int]]
  let factSize = 4
  private static let longestChain = 6

  init(_ size: Int, _ random: inout RandomStream) {
    names = ProblemText.names(forSize: size, factSize: factSize, atLeast: 2, &random)
    // Each name begins a chain or continues one that is not too long: facts stand in the order of their names, so that what
    // a name is defined by has been read before it.
    var chains: [[Int]] = []
    var definitions: [String] = []
    for place in names.indices {
      let open = chains.indices.filter { chains[$0].count < Self.longestChain }
      if let chain = open.randomElement(using: &random), Int.random(in: 0..<4, using: &random) > 0 {
        definitions.append(" \(names[chains[chain][chains[chain].count - 1]])")
        chains[chain].append(place)
      } else {
        definitions.append("\(Int.random(in: 100...999, using: &random))")
        chains.append([place])
      }
    }
    self.chains = chains
    self.definitions = definitions
  }

  var facts: [String] { names.indices.map { "\(names[$0])\(definitions[$0]);" } }

  /// Chains of every length are equally likely, as far as there are any.
  func question(_ random: inout RandomStream) -> (asked: String, reasoning: String, answer: String) {
    let length = Int.random(in: 1...(chains.map(\.count).max() ?? 1), using: &random)
    let chain = chains.filter { $0.count >= length }.randomElement(using: &random) ?? chains[0]
    let links = chain.prefix(length).reversed()
    return (
      names[links.first ?? 0], links.map { "\(names[$0])\(definitions[$0])" }.joined(separator: "; "),
      definitions[chain[0]]
    )
  }
}
