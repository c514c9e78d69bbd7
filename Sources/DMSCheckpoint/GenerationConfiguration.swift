// generation_config.json: how the makers of a checkpoint want it sampled. Flags override it. What is not honoured is named, so
// that it can be said.

import DMSPlatform
import DMSText
import Glibc

/// What a checkpoint's makers want of sampling; `nil` and empty where they do not say.
public struct GenerationConfiguration: Sendable, Equatable {
  /// Whether tokens are drawn; otherwise the most likely one is taken.
  public var doSample: Bool?
  /// What logits are divided by.
  public var temperature: Double?
  /// How many of the most likely tokens are drawn from.
  public var topK: Int?
  /// The probability that the tokens drawn from have together.
  public var topP: Double?
  /// The least probability of a token drawn from, as a share of the likeliest one's.
  public var minP: Double?
  /// What divides the positive logits of tokens that have occurred, and multiplies the negative ones.
  public var repetitionPenalty: Double?
  /// The most tokens of an answer.
  public var maxNewTokens: Int?
  /// The most tokens of prompt and answer together; `maxNewTokens` goes before it.
  public var maxLength: Int?
  /// Tokens that end a text; `nil` where the file does not say.
  public var eosIDs: [Int]?
  /// Texts that end the text before them.
  public var stopStrings: [String] = []
  /// Tokens that are never generated.
  public var suppressTokens: [Int] = []
  /// Keys with a value that changes what transformers generates, and that is not honoured here, in the file's order.
  public var unsupported: [String] = []

  private static let largestID = 1 << 24

  /// No wishes.
  public init() {}

  /// An absent file gives an empty configuration.
  public init(folder: String) throws {
    let path = folder + "/generation_config.json"
    guard access(path, F_OK) == 0 else { return }
    let config = try ConfigurationReader(file: path)
    doSample = try config.bool("do_sample")
    temperature = try config.number("temperature", in: 0...1e6)
    topK = try config.integer("top_k", in: 0...(1 << 30))
    topP = try config.number("top_p", in: 0...1)
    minP = try config.number("min_p", in: 0...1)
    repetitionPenalty = try config.number("repetition_penalty", in: 1e-3...1e3)
    maxNewTokens = try config.integer("max_new_tokens", in: 1...(1 << 30))
    maxLength = try config.integer("max_length", in: 1...(1 << 30))
    eosIDs = try config.value("eos_token_id").map { _ in try config.ids("eos_token_id", below: Self.largestID) }
    stopStrings = try config.strings("stop_strings")
    suppressTokens = try config.ids("suppress_tokens", below: Self.largestID)
    unsupported = (config.json.object?.members.map { $0 } ?? []).filter { Self.changesGeneration($0, $1) }.map(\.key)
  }

  /// What the file would say.
  var json: JSON {
    var object = JSONObject()
    object["do_sample"] = doSample.map { .bool($0) }
    for (key, value) in [
      ("temperature", temperature), ("top_p", topP), ("min_p", minP), ("repetition_penalty", repetitionPenalty),
    ] { object[key] = value.map { .number($0) } }
    object["top_k"] = topK.map { .integer($0) }
    object["eos_token_id"] = eosIDs.map { .array($0.map(JSON.integer)) }
    return .object(object)
  }

  /// Whether a key that is not read here has a value that changes something. Keys that nobody knows are thought to.
  private static func changesGeneration(_ key: String, _ value: JSON) -> Bool {
    if value.isNull || key.hasPrefix("_") || honoured.contains(key) || harmless.contains(key) { return false }
    if let neutral = neutral[key], value.double == neutral { return false }
    return value != .bool(false) && value.array?.isEmpty != true && value.object?.keys.isEmpty != true
  }

  private static let honoured: Set<String> = [
    "do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "max_new_tokens", "max_length",
    "eos_token_id", "stop_strings", "suppress_tokens",
  ]

  /// Values that do nothing, of keys that otherwise do.
  private static let neutral: [String: Double] = [
    "num_beams": 1, "num_beam_groups": 1, "num_return_sequences": 1, "diversity_penalty": 0, "penalty_alpha": 0,
    "typical_p": 1, "epsilon_cutoff": 0, "eta_cutoff": 0, "encoder_repetition_penalty": 1, "guidance_scale": 1,
    "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0, "min_length": 0, "min_new_tokens": 0,
  ]

  /// Caches, compilation, outputs, tokens for other purposes, lossless speculation, and what matters to beams alone.
  private static let harmless: Set<String> = [
    "bos_token_id", "pad_token_id", "decoder_start_token_id", "transformers_version", "use_cache",
    "cache_implementation", "cache_config", "max_cache_len", "return_legacy_cache", "return_dict_in_generate",
    "output_attentions", "output_hidden_states", "output_scores", "output_logits", "early_stopping", "length_penalty",
    "renormalize_logits", "remove_invalid_values", "low_memory", "is_assistant", "num_assistant_tokens",
    "num_assistant_tokens_schedule", "assistant_confidence_threshold", "prompt_lookup_num_tokens",
    "max_matching_ngram_size", "assistant_early_exit", "assistant_lookbehind", "target_lookbehind", "speculation_type",
    "use_mtp", "compile_config", "disable_compile", "prefill_chunk_size", "continuous_batching_config",
  ]
}
