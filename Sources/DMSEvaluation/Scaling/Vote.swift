// Many answers to one problem, counted: equal ones form a class, and the largest class speaks for all.

/// How the answers of several chains to a problem become one.
public struct ChainCombination: Sendable {
  enum Rule: Sendable {
    case vote(same: @Sendable (String, String) -> Bool)
    case any
  }
  let rule: Rule

  /// The majority of answers that a relation says are the same.
  public static func vote(same: @escaping @Sendable (String, String) -> Bool) -> ChainCombination {
    ChainCombination(rule: .vote(same: same))
  }

  /// The majority of answers that are equal letter by letter.
  public static let sameText = vote(same: ==)
  /// The majority of answers that mean the same in mathematics.
  public static let sameMathematics = vote(same: MathEquality.areEqual)
  /// Whichever is right, for answers that prove themselves (pass@all).
  public static let anyRight = ChainCombination(rule: .any)
}

/// Answers of chains, counted.
public struct Vote: Sendable, Equatable {
  /// Answers that are the same.
  public struct Group: Sendable, Equatable {
    /// As the first of the chains wrote it.
    public let answer: String
    /// The chains that answered so, in their order.
    public fileprivate(set) var chains: [Int]
  }

  /// The groups, the first answered first.
  public private(set) var groups: [Group] = []
  /// Chains without an answer, which do not vote.
  public private(set) var unanswered = 0

  /// Counts the answers of chains; `nil` for none. Cost: each is compared with one of each group.
  public init(_ answers: [String?], same: (String, String) -> Bool) {
    for (chain, answer) in answers.enumerated() {
      if let answer {
        if let index = groups.firstIndex(where: { same($0.answer, answer) }) {
          groups[index].chains.append(chain)
        } else {
          groups.append(Group(answer: answer, chains: [chain]))
        }
      } else {
        unanswered += 1
      }
    }
  }

  /// The largest group; of several, the one that was answered first. `nil` if no chain answered.
  public var winner: Group? {
    groups.reduce(nil) { best, group in
      if let best, best.chains.count >= group.chains.count { return best }
      return group
    }
  }

  /// The winner's share of all chains, silent ones included.
  public var agreement: Double {
    let chains = unanswered + groups.reduce(0) { $0 + $1.chains.count }
    return chains > 0 ? Double(winner?.chains.count ?? 0) / Double(chains) : 0
  }
}

extension ChainCombination {
  /// How much of the problem the chains get right together, and how far they agree; of chains that do not vote, the share that
  /// is all right.
  func outcome(_ chains: ArraySlice<EvaluationRecord>) -> (share: Double, agreement: Double) {
    switch rule {
    case .vote(let same):
      let vote = Vote(chains.map(\.answer), same: same)
      let share = vote.winner.map { chains[chains.startIndex + $0.chains[0]].share } ?? 0
      return (share, vote.agreement)
    case .any:
      return (chains.map(\.share).max() ?? 0, Double(chains.count(where: \.isRight)) / Double(max(1, chains.count)))
    }
  }
}
