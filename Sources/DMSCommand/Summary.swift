// What a run did, in one line or as JSON.

import DMSCache
import DMSCheckpoint
import DMSGeneration
import DMSModel
import DMSPlatform
import DMSText

struct Summary {
  private let answer: Answer
  private let arithmetic: Arithmetic

  init(_ answer: Answer, _ arithmetic: Arithmetic) {
    self.answer = answer
    self.arithmetic = arithmetic
  }

  private var generation: Generation { answer.generation }
  private var ledger: Ledger { answer.ledger }

  private func rate(_ tokens: Int, _ time: Duration) -> Double {
    tokens > 0 ? Double(tokens) / (time / .seconds(1)) : 0
  }

  private var prefillRate: Double { rate(answer.promptTokens, answer.promptTime) }
  /// The last token is chosen and not read.
  private var decodeRate: Double { rate(max(0, generation.ids.count - 1), generation.time) }

  var line: String {
    "prefill \(answer.promptTokens) tokens, \(decimals(prefillRate, 1))/s · decode \(generation.ids.count) tokens, "
      + "\(decimals(decodeRate, 1))/s · \(generation.reason.rawValue) · seen \(ledger.tokensSeen), live "
      + "\(decimals(ledger.liveTokens, 1)), ratio \(decimals(ledger.compressionRatio, 2)) · cache "
      + "\(byteCount(ledger.bytesHeld)), dense \(byteCount(ledger.bytesDense)) "
      + "· arithmetic \(arithmetic.rawValue)"
  }

  func json(promptIDs: [Int], modelHash: JSON, producedBy: JSON) -> String {
    JSON.members([
      "text": .string(answer.text), "finish_reason": .string(generation.reason.rawValue),
      "prompt_ids": .array(promptIDs.map(JSON.integer)), "generated_ids": .array(generation.ids.map(JSON.integer)),
      "prefill_tokens_per_second": .rounded(prefillRate, 3), "decode_tokens_per_second": .rounded(decodeRate, 3),
      "tokens_seen": .integer(ledger.tokensSeen), "live_tokens": .rounded(ledger.liveTokens, 3),
      "peak_tokens": .rounded(ledger.peakTokens, 3), "tokens_read": .rounded(ledger.tokensRead, 3),
      "compression_ratio": .rounded(ledger.compressionRatio, 4), "cache_bytes_held": .integer(ledger.bytesHeld),
      "cache_bytes_live": .integer(ledger.bytesLive), "cache_bytes_dense": .integer(ledger.bytesDense),
      "cache_bytes_reserved": .integer(ledger.bytesReserved),
      "arithmetic": .string(arithmetic.rawValue), "model_hash": modelHash, "produced_by": producedBy,
    ]).line
  }
}
