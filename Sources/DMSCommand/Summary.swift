// What a run did, in one line or as JSON.

import DMSCache
import DMSCheckpoint
import DMSGeneration
import DMSPlatform
import DMSText

struct Summary {
  private let answer: Answer

  init(_ answer: Answer) { self.answer = answer }

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
      + "\(byteCount(ledger.bytesHeld)), dense \(byteCount(ledger.bytesDense))"
  }

  func json(promptIDs: [Int]) -> String {
    func list(_ ids: [Int]) -> String { "[" + ids.map(String.init).joined(separator: ",") + "]" }
    let members: [(String, String)] = [
      ("text", quoted(answer.text)), ("finish_reason", quoted(generation.reason.rawValue)),
      ("prompt_ids", list(promptIDs)), ("generated_ids", list(generation.ids)),
      ("prefill_tokens_per_second", decimals(prefillRate, 3)), ("decode_tokens_per_second", decimals(decodeRate, 3)),
      ("tokens_seen", "\(ledger.tokensSeen)"), ("live_tokens", decimals(ledger.liveTokens, 3)),
      ("peak_tokens", decimals(ledger.peakTokens, 3)), ("tokens_read", decimals(ledger.tokensRead, 3)),
      ("compression_ratio", decimals(ledger.compressionRatio, 4)), ("cache_bytes_held", "\(ledger.bytesHeld)"),
      ("cache_bytes_live", "\(ledger.bytesLive)"), ("cache_bytes_dense", "\(ledger.bytesDense)"),
      ("cache_bytes_reserved", "\(ledger.bytesReserved)"),
    ]
    return "{" + members.map { "\(quoted($0.0)):\($0.1)" }.joined(separator: ",") + "}"
  }
}
