// What an answer took, as clients read it, and the cache's ledger beside it.

import DMSCache
import DMSGeneration
import DMSText

/// What the choices of a request took together.
struct Usage {
  private let promptTokens: Int
  private var answerTokens = 0
  private var cachedTokens = 0
  private var ledgers: [Ledger] = []
  private var preemptions = 0

  init(promptTokens: Int) { self.promptTokens = promptTokens }

  mutating func add(_ end: ScheduledAnswer.End) {
    answerTokens += end.tokens
    cachedTokens = max(cachedTokens, end.cachedTokens)
    preemptions += end.preemptions
    ledgers.append(end.ledger)
  }

  /// OpenAI's fields, and the ledgers of all choices as `dms`.
  var json: JSON {
    .members([
      "prompt_tokens": .integer(promptTokens), "completion_tokens": .integer(answerTokens),
      "total_tokens": .integer(promptTokens + answerTokens),
      "prompt_tokens_details": .members(["cached_tokens": .integer(cachedTokens)]),
      "dms": .members([
        "tokens_seen": .integer(sum(\.tokensSeen)),
        "live_tokens": JSON.rounded(ledgers.reduce(0) { $0 + $1.liveTokens }, 2),
        "compression_ratio": JSON.rounded(ratio, 2),
        "bytes_held": .integer(sum(\.bytesHeld)), "bytes_live": .integer(sum(\.bytesLive)),
        "bytes_dense": .integer(sum(\.bytesDense)),
        "tokens_read": JSON.rounded(ledgers.reduce(0) { $0 + $1.tokensRead }, 2),
        "preemptions": .integer(preemptions),
      ]),
    ])
  }

  private func sum(_ value: (Ledger) -> Int) -> Int { ledgers.reduce(0) { $0 + value($1) } }

  private var ratio: Double {
    let live = ledgers.reduce(0) { $0 + $1.liveTokens }
    return live > 0 ? Double(sum(\.tokensSeen)) / live : 1
  }
}

extension FinishReason {
  /// As OpenAI names it: what the context cut was too long.
  var openAI: String { self == .stop ? "stop" : "length" }
}
