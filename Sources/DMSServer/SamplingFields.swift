// How tokens are chosen and when they end: the fields that every endpoint with an answer has. What a client leaves out is the
// model's own wish.

import DMSCache
import DMSGeneration
import DMSText

extension Fields {
  /// Reads all of them.
  mutating func answerOptions(_ served: ServedModel) throws -> AnswerOptions {
    let model = served.model
    var wishes = model.generation
    let temperature = try number("temperature", in: 0...100)
    let topP = try number("top_p", in: 0...1)
    let topK = try integer("top_k", in: -1...(.max))
    let minP = try number("min_p", in: 0...1)
    // Whoever names how to sample wants it, also of a model that takes the most likely token by itself.
    if temperature != nil || topP != nil || topK != nil || minP != nil { wishes.doSample = true }
    var sampling = SamplingOptions(wishes)
    sampling.temperature = temperature ?? sampling.temperature
    sampling.topP = topP ?? sampling.topP
    sampling.topK = topK.map { max(0, $0) } ?? sampling.topK
    sampling.minP = minP ?? sampling.minP
    if let penalty = try number("repetition_penalty", in: 0...100) {
      guard penalty > 0 else { return try wrong("repetition_penalty", "more than 0") }
      sampling.repetitionPenalty = penalty
    }
    sampling.frequencyPenalty = try number("frequency_penalty", in: -2...2) ?? 0
    sampling.presencePenalty = try number("presence_penalty", in: -2...2) ?? 0
    sampling.bias = try logitBias(vocabulary: model.decoder.configuration.vocabulary)
    sampling.seed =
      try integer("seed", in: .min...(.max)).map { UInt64(bitPattern: Int64($0)) } ?? .random(in: 0...(.max))
    var options = AnswerOptions(model)
    options.sampling = sampling
    options.stops += try stops()
    let limits = [
      try integer("max_tokens", in: 0...(.max)), try integer("max_completion_tokens", in: 0...(.max)),
    ].compactMap { $0 }
    if limits.count == 2, limits[0] != limits[1] {
      return try wrong("max_completion_tokens", "equal to max_tokens where both are given")
    }
    options.maxTokens = limits.first ?? options.maxTokens
    return options
  }

  private mutating func logitBias(vocabulary: Int) throws -> [Int: Double] {
    var bias: [Int: Double] = [:]
    guard let value = value("logit_bias") else { return bias }
    guard let members = value.object?.members else { return try wrong("logit_bias", "an object") }
    for (key, value) in members {
      guard let id = Int(key), (0..<vocabulary).contains(id), let number = value.double, (-100...100).contains(number)
      else { return try wrong("logit_bias", "numbers from -100 to 100 by token ids below \(vocabulary)") }
      bias[id] = number
    }
    return bias
  }

  mutating func stops(_ name: String = "stop") throws -> [String] {
    switch value(name) {
    case nil: return []
    case .string(let text): return text.isEmpty ? [] : [text]
    case .array(let list):
      let texts = list.compactMap(\.string).filter { !$0.isEmpty }
      guard list.allSatisfy({ $0.string != nil }) else { return try wrong(name, "a string or a list of strings") }
      return texts
    default: return try wrong(name, "a string or a list of strings")
    }
  }

  /// `dms_cache`: how this request's cache treats its tokens.
  mutating func cachePolicy(_ served: ServedModel, _ unknown: inout UnknownFields) throws -> EvictionPolicy? {
    guard var fields = try object("dms_cache") else { return nil }
    let name = try fields.string("policy")
    let budget = try fields.string("budget").map {
      guard let budget = CacheBudget($0) else {
        throw APIError.invalid(
          "dms_cache.budget must be a ratio (8x), tokens (1024) or bytes (64MB)", "dms_cache.budget")
      }
      return budget
    }
    unknown.add(fields)
    switch name {
    case nil: return try budget.map { try served.policy(budget: $0) }
    case "dms":
      guard served.forgets else {
        return try wrong("dms_cache", "dense, or left out: caches here do not forget by a model's decisions")
      }
      return try budget.map { try served.policy(budget: $0) }
    case "dense":
      guard budget == nil else { return try wrong("dms_cache", "without a budget if it is dense") }
      guard let dense = served.densePolicy else { return try wrong("dms_cache", "left out: this model has windows") }
      return dense
    default: return try wrong("dms_cache", "of policy dms or dense")
    }
  }
}
