// Text and tokens without an answer: what evaluations and clients ask to count and to cut. Both llama.cpp's and vLLM's names are
// understood.

import DMSGeneration
import DMSPlatform
import DMSText

/// The endpoints about tokens: from a request's object to a response's.
struct TokenRoutes {
  let served: ServedModel
  let isLenient: Bool

  private var tokenizer: Tokenizer { served.model.tokenizer }

  /// `POST /tokenize`: `content` or `prompt`, or the `messages` of a chat.
  func tokenize(_ json: JSON) throws -> JSON {
    var fields = try Fields(json)
    let text = try fields.string("content") ?? fields.string("prompt")
    let messages = try fields.array("messages")
    let generates = try fields.bool("add_generation_prompt") ?? true
    let addsSpecial = try fields.bool("add_special") ?? fields.bool("add_special_tokens")
    let parses = try fields.bool("parse_special") ?? true
    let pieces = try fields.bool("with_pieces") ?? false
    let strings = try fields.bool("return_token_strs") ?? false
    _ = try fields.string("model")
    try check(fields)
    let ids: [Int]
    switch (text, messages) {
    case (let text?, nil):
      // llama.cpp leaves them out where nothing is said, vLLM does not.
      let isVLLM = json["prompt"]?.string != nil
      ids = tokenizer.encode(text, addSpecialTokens: addsSpecial ?? isVLLM, parseSpecial: parses)
    case (nil, let messages?):
      ids = tokenizer.encode(try render(messages, generates), addSpecialTokens: addsSpecial ?? false)
    default: throw APIError.invalid("give content, prompt or messages, and one of them", "prompt")
    }
    var object: JSONObject = [
      "tokens": .array(pieces ? ids.map(piece) : ids.map { .integer($0) }), "count": .integer(ids.count),
      "max_model_len": .integer(served.context),
    ]
    if strings { object["token_strs"] = .array(ids.map { .string(name($0)) }) }
    return .object(object)
  }

  /// `POST /detokenize`.
  func detokenize(_ json: JSON) throws -> JSON {
    var fields = try Fields(json)
    let list = try fields.array("tokens") ?? []
    _ = try fields.string("model")
    try check(fields)
    let known = 0..<served.model.decoder.configuration.vocabulary
    let ids = list.compactMap(\.integer)
    guard ids.count == list.count, ids.allSatisfy(known.contains) else {
      throw APIError.invalid("tokens must be ids below \(known.upperBound)", "tokens")
    }
    let text = tokenizer.decode(ids, skippingSpecial: false)
    return .object(["content": .string(text), "prompt": .string(text)])
  }

  /// `POST /apply-template`: what a model would be given for a chat.
  func applyTemplate(_ json: JSON) throws -> JSON {
    var fields = try Fields(json)
    guard let messages = try fields.array("messages"), !messages.isEmpty else {
      throw APIError.invalid("messages must be a list with at least one message", "messages")
    }
    let generates = try fields.bool("add_generation_prompt") ?? true
    _ = try fields.string("model")
    try check(fields)
    return .object(["prompt": .string(try render(messages, generates))])
  }

  /// `GET /tokenizer_info`: what clients need to do without a tokenizer of their own.
  func info() -> JSON {
    let eos = tokenizer.eosID.map { .string(tokenizer.specialToken($0) ?? "") } ?? JSON.null
    return .object([
      "tokenizer_class": "DMSTokenizer", "vocab_size": .integer(tokenizer.vocabularySize),
      "model_max_length": .integer(served.context),
      "bos_token": tokenizer.bosToken.map { .string($0) } ?? .null, "eos_token": eos,
      "pad_token": eos, "chat_template": served.model.template.map { .string($0.text) } ?? .null,
    ])
  }

  private func check(_ fields: Fields) throws {
    var unknown = UnknownFields()
    unknown.add(fields)
    try unknown.check(isLenient: isLenient)
  }

  private func render(_ messages: [JSON], _ generates: Bool) throws -> String {
    guard let template = served.model.template else { throw APIError.invalid("this model has no chat template") }
    let messages = try messages.enumerated().map { try ChatRequest.message($1, at: "messages[\($0)]") }
    return try template.render(
      messages: messages, addGenerationPrompt: generates, bosToken: tokenizer.bosToken, eosToken: tokenizer.eosToken)
  }

  private func name(_ id: Int) -> String { LogprobWriter(tokenizer: tokenizer).text(id) }

  private func piece(_ id: Int) -> JSON {
    let bytes = tokenizer.specialToken(id).map { Array($0.utf8) } ?? tokenizer.bytes(of: id)
    let text = String(validating: bytes, as: UTF8.self)
    return .object([
      "id": .integer(id), "piece": text.map { .string($0) } ?? .array(bytes.map { .integer(Int($0)) }),
    ])
  }
}
