// Log-probabilities as clients read them: the chat's form, token by token, and the older form in four lists.

import DMSGeneration
import DMSText

/// Writes scores with the tokens' text.
struct LogprobWriter {
  let tokenizer: Tokenizer

  /// A token by itself: a control token as it is written, half a character as U+FFFD.
  func text(_ id: Int) -> String {
    tokenizer.specialToken(id) ?? String(decoding: tokenizer.bytes(of: id), as: UTF8.self)
  }

  private func entry(_ entry: TokenScore.Entry) -> JSONObject {
    let bytes = tokenizer.specialToken(entry.id).map { Array($0.utf8) } ?? tokenizer.bytes(of: entry.id)
    return JSONObject([
      "token": .string(text(entry.id)), "logprob": number(entry.logProbability),
      "bytes": .array(bytes.map { .integer(Int($0)) }),
    ])
  }

  /// An element of a chat's `logprobs.content`.
  func chat(_ score: TokenScore) -> JSON {
    var object = entry(score.token)
    object["top_logprobs"] = .array(score.top.map { .object(entry($0)) })
    return .object(object)
  }

  /// JSON has no infinities: what cannot be said is very unlikely, and is written as OpenAI does.
  func number(_ value: Float) -> JSON { .number(value.isFinite ? Double(value) : -9999) }
}
