// A point W–L–CR of the paper's pictures: what so many chains of so many tokens get right together at a compression ratio, and
// what they cost. Computed from records alone.
//
// W chains · L tokens of a chain · CR compression ratio

import DMSPlatform
import DMSText

/// What W chains of L tokens at a compression ratio get right together, and what that costs (Łańcucki et al., 2025, section 4).
/// All costs are those of a problem, means over problems.
public struct ScalingPoint: Sendable, Equatable {
  /// The task; `all`: the problems of all tasks.
  public var group = ""
  /// Which of a picture's lines the point belongs to.
  public var line = ""
  /// The model, as its run names it.
  public var model = ""
  /// W.
  public var chains = 1
  /// L.
  public var tokens = 0
  /// CR, as it was asked for; as measured where nobody asked.
  public var ratio = 1.0
  /// Tokens seen over live tokens at the chains' ends.
  public var measuredRatio = 1.0
  /// Problems with W chains.
  public var problems = 0
  /// Share of right answers, with its 95 % interval.
  public var right = Interval()
  /// The difference from the report's first point of this W and L, paired; `nil` for that point itself.
  public var difference: Interval?
  /// Share of the chains that agree with the vote.
  public var agreement = 0.0
  /// Tokens that a chain generated.
  public var generated = 0.0
  /// KV reads of all chains' decode steps, in tokens of a layer and KV head.
  public var reads = 0.0
  /// Most live tokens of each chain, summed; a prompt counts in every chain.
  public var peakTokens = 0.0
  /// Bytes that the chains hold at their ends; a prompt's pages that they share count once.
  public var bytes = 0.0
  /// The machine's time: a step's is divided evenly among its sequences, and a prompt is read once.
  public var seconds = 0.0

  /// A value with what chance leaves open, 95 %.
  public struct Interval: Sendable, Equatable {
    /// As measured.
    public private(set) var value = 0.0
    /// Lower end.
    public private(set) var low = 0.0
    /// Upper end.
    public private(set) var high = 0.0

    init() {}
    init(_ value: Double, _ low: Double, _ high: Double) {
      (self.value, self.low, self.high) = (rounded(value), rounded(low), rounded(high))
    }
  }

  /// As the paper writes it: W–L–CR.
  public var label: String {
    "\(chains)–\(tokens)–" + (ratio == ratio.rounded() ? decimals(ratio, 0) : decimals(ratio, 1))
  }

  init() {}
}

/// A cost that accuracy is shown against.
public enum ScalingCost: String, CaseIterable, Sendable {
  case reads, tokens, bytes, seconds

  /// The point's value.
  public func value(_ point: ScalingPoint) -> Double {
    switch self {
    case .reads: point.reads
    case .tokens: point.peakTokens
    case .bytes: point.bytes
    case .seconds: point.seconds
    }
  }

  /// The places of points that no other beats: none is as right or more at as little cost or less, and better in one of both.
  public func front(of points: [ScalingPoint]) -> [Int] {
    points.indices.filter { index in
      let (right, cost) = (points[index].right.value, value(points[index]))
      return !points.contains { other in
        let (otherRight, otherCost) = (other.right.value, value(other))
        return otherRight >= right && otherCost <= cost && (otherRight > right || otherCost < cost)
      }
    }
  }
}

/// To six decimals, as files have it: what is made from a file is what was made from records.
func rounded(_ value: Double) -> Double { JSON.rounded(value, 6).double ?? value }

/// A problem with all of a model's answers to it.
struct AnsweredProblem {
  struct Key: Hashable { let (task, place): (String, Int) }
  let key: Key
  /// In the order of their samples.
  var records: [EvaluationRecord]

  /// The problems of a model's records, in their order.
  static func all(_ records: [EvaluationRecord]) -> [AnsweredProblem] {
    var (problems, places) = ([AnsweredProblem](), [Key: Int]())
    for record in records {
      let key = Key(task: record.key.task, place: record.key.place)
      if let place = places[key] {
        problems[place].records.append(record)
      } else {
        places[key] = problems.count
        problems.append(AnsweredProblem(key: key, records: [record]))
      }
    }
    for index in problems.indices { problems[index].records.sort { $0.key.sample < $1.key.sample } }
    return problems
  }
}

/// What W chains made of a problem: the mean over as many groups of W as there are records for.
struct ChainsOutcome {
  let key: AnsweredProblem.Key
  private(set) var share = 0.0
  private(set) var agreement = 0.0
  private(set) var generated = 0.0
  private(set) var (seen, live) = (0.0, 0.0)
  private(set) var (reads, peakTokens, bytes, seconds) = (0.0, 0.0, 0.0, 0.0)

  /// - Returns: `nil` for a problem with fewer records than chains.
  init?(_ problem: AnsweredProblem, chains: Int, _ combination: ChainCombination) {
    let groups = problem.records.count / chains
    guard groups > 0 else { return nil }
    key = problem.key
    for group in 0..<groups {
      let records = problem.records[group * chains..<(group + 1) * chains]
      let outcome = combination.outcome(records)
      share += outcome.share
      agreement += outcome.agreement
      func sum(_ value: (EvaluationRecord) -> Double) -> Double { records.reduce(0) { $0 + value($1) } }
      generated += sum { Double($0.tokens) } / Double(chains)
      seen += sum { Double($0.ledger.tokensSeen) }
      live += sum(\.ledger.liveTokens)
      reads += sum(\.ledger.tokensRead)
      peakTokens += sum(\.ledger.peakTokens)
      // What chains share counts once: a prompt's pages, and the time of reading it.
      seconds += sum(\.decodeSeconds) + (records.map(\.promptSeconds).max() ?? 0)
      bytes += sum { Double($0.ownBytes) } + Double(records.map(\.sharedBytes).max() ?? 0)
    }
    let count = Double(groups)
    (share, agreement, generated) = (share / count, agreement / count, generated / count)
    (reads, peakTokens, bytes, seconds) = (reads / count, peakTokens / count, bytes / count, seconds / count)
  }
}
