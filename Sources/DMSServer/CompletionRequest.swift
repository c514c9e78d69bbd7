// `POST /v1/completions`, what comes in: text or tokens to go on from, one or many.

import DMSGeneration
import DMSText

/// A completion that is wished for.
struct CompletionRequest {
  /// One per choice: those of the first prompt, then those of the second.
  var requests: [Scheduler.Request]
  var delivery: Delivery
  /// Unknown fields that were passed over.
  var passedOver: [String]
  /// What the choices of each prompt begin with, where they repeat it; else `nil`.
  var echoes: [Echo]?
  /// Choices of each prompt.
  var count: Int

  /// A prompt that is repeated.
  struct Echo {
    var text: String
    var ids: [Int]
  }

  /// - Throws: `APIError`.
  init(_ json: JSON, _ served: ServedModel, isLenient: Bool) throws {
    var fields = try Fields(json)
    var unknown = UnknownFields()
    delivery = try Delivery(&fields, &unknown)
    var options = try fields.answerOptions(served)
    // What OpenAI's has where nothing is said.
    options.maxTokens = options.maxTokens ?? 16
    let policy = try fields.cachePolicy(served, &unknown)
    count = try fields.integer("n", in: 1...128) ?? 1
    let scores = try fields.integer("logprobs", in: 0...20)
    let repeats = try fields.bool("echo") ?? false
    if let best = try fields.integer("best_of", in: 1...(.max)), best != count {
      throw APIError.invalid("best_of is not offered: ask for n choices and take the best", "best_of")
    }
    if let suffix = try fields.string("suffix"), !suffix.isEmpty {
      throw APIError.invalid("suffix is not offered: this model goes on at the end", "suffix")
    }
    let prompts = try Self.prompts(fields.value("prompt"), served)
    unknown.add(fields)
    try unknown.check(isLenient: isLenient)
    passedOver = unknown.names
    echoes = repeats ? prompts : nil
    requests = []
    for (place, prompt) in prompts.enumerated() {
      for choice in 0..<count {
        options.sequence = place * count + choice
        var request = Scheduler.Request(LanguageModel.Prompt(ids: prompt.ids), options)
        request.policy = policy
        request.scores = scores
        request.scoresPrompt = repeats && scores != nil
        requests.append(request)
      }
    }
  }

  /// A text, tokens, or a list of either.
  private static func prompts(_ json: JSON?, _ served: ServedModel) throws -> [Echo] {
    let wanted = APIError.invalid("prompt must be a text, a list of token ids, or a list of either", "prompt")
    switch json {
    case .string(let text): return [try echo(text, served)]
    case .array(let list) where !list.isEmpty:
      if let ids = ids(list) { return [echo(ids, served)] }
      return try list.map { element in
        if let text = element.string { return try echo(text, served) }
        guard let list = element.array, !list.isEmpty, let ids = ids(list) else { throw wanted }
        return echo(ids, served)
      }
    default: throw wanted
    }
  }

  private static func ids(_ list: [JSON]) -> [Int]? {
    let ids = list.compactMap(\.integer)
    return ids.count == list.count ? ids : nil
  }

  private static func echo(_ text: String, _ served: ServedModel) throws -> Echo {
    let ids = served.model.ids(raw: text)
    guard !ids.isEmpty else { throw APIError.invalid("prompt has no tokens: write something", "prompt") }
    return Echo(text: text, ids: ids)
  }

  private static func echo(_ ids: [Int], _ served: ServedModel) -> Echo {
    let known = 0..<served.model.decoder.configuration.vocabulary
    return Echo(text: served.model.tokenizer.decode(ids.filter(known.contains), skippingSpecial: true), ids: ids)
  }
}
