// What the server is and does, in llama.cpp's form, for programs that ask its servers.

import DMSGeneration
import DMSText

/// `GET /props` and `GET /slots`.
enum StatusPage {
  /// What does not change.
  static func properties(_ served: ServedModel) -> JSON {
    let tokenizer = served.model.tokenizer
    return .object([
      "total_slots": .integer(served.parallel), "model_alias": .string(served.name),
      "default_generation_settings": .object(["n_ctx": .integer(served.context)]),
      "chat_template": served.model.template.map { .string($0.text) } ?? "",
      "bos_token": .string(tokenizer.bosToken ?? ""), "eos_token": .string(tokenizer.eosToken ?? ""),
      "build_info": .string(served.fingerprint),
    ])
  }

  /// As many as requests are answered at once; those that are answered come first.
  static func slots(_ served: ServedModel) -> JSON {
    let running = served.scheduler.status.running
    return .array(
      (0..<served.parallel).map {
        .object([
          "id": .integer($0), "n_ctx": .integer(served.context), "is_processing": .bool($0 < running),
        ])
      })
  }
}
