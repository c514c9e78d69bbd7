// What users call the policies, and what records call them.

/// The name of a policy, as a command takes it and a record keeps it.
public enum PolicyName: String, Sendable, CaseIterable {
  /// Every token that attention may see stays.
  case dense
  /// Dynamic Memory Sparsification, by the model's own decisions.
  case dms
  /// The first four tokens and the most recent ones.
  case window
  /// Token omission via attention.
  case tova
  /// The heavy-hitter oracle.
  case h2o
  /// What a short window of queries attends to and what does not repeat others.
  case rKV = "r-kv"
  /// What a short window of queries attends to.
  case snapKV = "snapkv"
  /// Tokens whose keys and values span most.
  case vaseDKV = "vase-dkv"
  /// Tokens whose values reach furthest, and others drawn by attention.
  case vaseAttnV = "vase-attnv"
  /// A prompt, the last tokens, and those to which a model's queries will attend by a calibration.
  case triAttention = "triattention"
  /// Every token stays, and a query reads the pages in which it may find most.
  case quest

  /// Of those that need no training and cannot be without a budget.
  public var budgeted: BudgetedPolicy.Kind? { BudgetedPolicy.Kind(rawValue: rawValue) }
}

extension EvictionPolicy {
  /// What records call the policy.
  public var name: String {
    switch self {
    case .keepAll: PolicyName.dense.rawValue
    case .sliding: "sliding"
    case .delayed, .capped: PolicyName.dms.rawValue
    case .drawn(_, let policy): "drawn \(policy.name)"
    case .budgeted(let policy): policy.kind.rawValue
    case .quest: PolicyName.quest.rawValue
    case .triAttention: PolicyName.triAttention.rawValue
    }
  }

  /// The most that a head may hold, or for Quest that a query reads, where the policy has a bound.
  public var cap: TokenCap? {
    switch self {
    case .keepAll, .sliding, .delayed: nil
    case .capped(_, _, let cap): cap
    case .drawn(_, let policy): policy.cap
    case .budgeted(let policy): policy.cap
    case .quest(let cap), .triAttention(let cap, _): cap
    }
  }

  /// The same for a sequence of a known length: policies that need no training are given their budget before a run.
  package func fixed(length: Int) -> EvictionPolicy {
    switch self {
    case .keepAll, .delayed, .capped, .sliding, .drawn: self
    case .budgeted(let policy): .budgeted(policy.fixed(length: length))
    case .quest(let cap): .quest(cap.fixed(length: length, least: Quest.least))
    case .triAttention(let cap, let calibration):
      .triAttention(cap.fixed(length: length, least: TriAttention.least), calibration)
    }
  }

  /// Whether every token stays, whatever a query reads of them.
  package var keepsAll: Bool {
    switch self {
    case .keepAll, .quest: true
    case .sliding(let windows): windows.allSatisfy { $0 == nil }
    case .drawn(_, let policy): policy.keepsAll
    case .delayed, .capped, .budgeted, .triAttention: false
    }
  }

  /// Whether what stays depends on how a prompt is divided into calls, beyond rounding.
  public var dependsOnCalls: Bool {
    switch self {
    case .keepAll, .sliding, .delayed, .capped, .quest: false
    case .drawn(_, let policy): policy.dependsOnCalls
    case .budgeted(let policy): policy.kind != .window
    case .triAttention: true
    }
  }
}

extension PolicyName {
  /// The fewest tokens that a policy can work with whose memory bytes do not bound; `nil` for all others.
  package var leastUnboundedTokens: Int? {
    switch self {
    case .quest: Quest.least
    case .triAttention: TriAttention.least
    default: nil
    }
  }
}

extension TokenCap {
  /// A ratio made to tokens: of `length` tokens, one in so many.
  func fixed(length: Int, least: Int) -> TokenCap { .tokens(tokens(seen: length, least: least)) }

  /// As it is written: 8.0x or 2048.
  public var text: String {
    switch self {
    case .tokens(let tokens): "\(tokens)"
    case .ratio(let ratio): "\(ratio)x"
    }
  }
}
