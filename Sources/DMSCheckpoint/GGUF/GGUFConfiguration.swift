// What a GGUF file's keys say of a decoder, in the words of config.json, so that one place decides what is legal.

import DMSPlatform
import DMSText

extension ModelConfiguration {
  /// The shape of the decoder in a GGUF file.
  /// - Throws: `InputError` for an architecture or a variant that is not supported, and for keys that are missing or cannot
  ///   be, by their names in config.json.
  public init(gguf file: GGUFFile) throws {
    var parsed = try ModelConfiguration(json: file.configuration(), source: file.path)
    if let factors = try file.frequencyFactors(pairs: parsed.headDim / 2, parsed.rope) {
      parsed = parsed.dividingFrequencies(by: factors)
    }
    guard var settings = parsed.dms, let shift = try file.integer("dms.shift") else {
      self = parsed
      return
    }
    guard (0...1).contains(shift) else { throw file.wrong("dms.shift", "0 or 1 expected, found \(shift)") }
    settings.shift = shift
    // A decision about the token itself is FastDMS', whose channel is zeroed once.
    settings.zeroAfterRope = shift == 1
    self = parsed.taught(settings)
  }
}

extension GGUFFile {
  /// The keys of the equivalent config.json.
  package func configuration() throws -> JSON {
    guard let architecture = try text("general.architecture") else {
      throw wrong("general.architecture", "the key is missing")
    }
    // Mistral's models are written as llama.
    _ = try ModelConfiguration.Family(
      named: architecture, at: "\(path): general.architecture", among: [.qwen2, .qwen3, .llama, .smollm3])
    var json = JSONObject(["model_type": .string(architecture)])
    for (key, name) in [
      ("num_hidden_layers", "block_count"), ("hidden_size", "embedding_length"),
      ("intermediate_size", "feed_forward_length"), ("num_attention_heads", "attention.head_count"),
      ("max_position_embeddings", "context_length"),
    ] { json[key] = .integer(try required("\(architecture).\(name)")) }
    let heads = try required("\(architecture).attention.head_count")
    json["num_key_value_heads"] = .integer(try integer("\(architecture).attention.head_count_kv") ?? heads)
    json["head_dim"] = .integer(try headDimension(architecture, heads: heads))
    json["rms_norm_eps"] = try number("\(architecture).attention.layer_norm_rms_epsilon").map { .number($0) }
    json["vocab_size"] = .integer(try tensor(named: "token_embd.weight").shape[0])
    json["tie_word_embeddings"] = .bool(!hasTensor("output.weight"))
    json["attention_bias"] = .bool(hasTensor("blk.0.attn_q.bias"))
    json["mlp_bias"] = .bool(hasTensor("blk.0.ffn_gate.bias"))
    json["rope_theta"] = .number(try number("\(architecture).rope.freq_base") ?? 10_000)
    json["rope_scaling"] = try ropeScaling("\(architecture).rope.")
    for kind in ["eos", "bos"] {
      json["\(kind)_token_id"] = try integer("tokenizer.ggml.\(kind)_token_id").map { .integer($0) }
    }
    if let experts = try integer("\(architecture).expert_count"), experts != 0 {
      throw wrong("\(architecture).expert_count", "a mixture of \(experts) experts is not supported")
    }
    try addWindow(architecture, to: &json)
    try addDMS(to: &json)
    return .object(json)
  }

  private func headDimension(_ architecture: String, heads: Int) throws -> Int {
    let hidden = try required("\(architecture).embedding_length")
    var channels = try integer("\(architecture).attention.key_length")
    if channels == nil, heads > 0, hidden % heads == 0 { channels = hidden / heads }
    guard let channels else {
      throw wrong("\(architecture).attention.head_count", "a divisor of the width \(hidden) expected, found \(heads)")
    }
    for key in ["attention.value_length", "rope.dimension_count"] {
      guard let other = try integer("\(architecture).\(key)"), other != channels else { continue }
      throw wrong("\(architecture).\(key)", "the \(channels) channels of a head expected, found \(other)")
    }
    return channels
  }

  /// The factors of `rope_freqs.weight`, one for each pair of a head's channels; `nil` without them, or without the data.
  fileprivate func frequencyFactors(pairs: Int, _ rope: RopeConfiguration) throws -> [Float]? {
    let name = "rope_freqs.weight"
    guard hasTensor(name), hasData else { return nil }
    let (type, shape, bytes) = try tensor(named: name)
    guard type == .f32, shape == [pairs], rope.scaling == .none else {
      throw InputError(
        "tensor \(quoted(name)) is not \(pairs) numbers in F32 and all that scales RoPE", at: path,
        remedy: "convert the model again")
    }
    let factors = (0..<pairs).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    guard factors.allSatisfy({ (1e-6...1e6).contains($0) }) else {
      throw InputError("the factors of \(quoted(name)) are out of range", at: path, remedy: "convert the model again")
    }
    return factors
  }

  private func ropeScaling(_ prefix: String) throws -> JSON? {
    // What YaRN may also have, with the value that changes nothing.
    for (name, neutral) in [
      ("attn_factor", 1.0), ("yarn_attn_factor", 1), ("yarn_ext_factor", 1), ("yarn_log_multiplier", 0),
    ] {
      let key = "\(prefix)scaling.\(name)"
      if let given = try number(key), given != neutral { throw wrong(key, "\(given) is not supported") }
    }
    let kind = try text("\(prefix)scaling.type")
    let factor = try number("\(prefix)scaling.factor") ?? number("\(prefix)scale_linear")
    guard let kind = kind ?? factor.map({ $0 == 1 ? "none" : "linear" }), kind != "none" else { return nil }
    var scaling = JSONObject(["rope_type": .string(kind)])
    scaling["factor"] = factor.map { .number($0) }
    scaling["original_max_position_embeddings"] = try integer("\(prefix)scaling.original_context_length")
      .map { .integer($0) }
    for name in ["beta_fast", "beta_slow"] {
      scaling[name] = try number("\(prefix)scaling.yarn_\(name)").map { .number($0) }
    }
    return .object(scaling)
  }

  /// A llama with a window is a Mistral, all of whose layers slide, as they did in its training; llama.cpp does not look at
  /// the key. In other architectures nothing says which layers slide.
  private func addWindow(_ architecture: String, to json: inout JSONObject) throws {
    let key = "\(architecture).attention.sliding_window"
    guard let window = try integer(key), window > 0, window < json["max_position_embeddings"]?.integer ?? 0 else {
      return
    }
    guard architecture == "llama", json["attention_bias"]?.bool != true, json["mlp_bias"]?.bool != true else {
      throw wrong(key, "a sliding window of \(window) tokens is not supported in this architecture")
    }
    json["model_type"] = .string("mistral")
    json["sliding_window"] = .integer(window)
  }

  private func addDMS(to json: inout JSONObject) throws {
    json["dms_window_size"] = try integer("dms.window_size").map { .integer($0) }
    for name in ["alpha_scale", "initial_alpha_offset", "cr"] {
      json["dms_\(name)"] = try number("dms.\(name)").map { .number($0) }
    }
    for name in ["separate_alpha", "disable_eviction"] {
      guard let value = value("dms.\(name)") else { continue }
      guard let bool = value.bool else { throw wrong("dms.\(name)", "true or false expected") }
      json["dms_\(name)"] = .bool(bool)
    }
    json["dms_alpha_per"] = try text("dms.alpha_per").map { .string($0) }
  }

  /// The whole number of a key; `nil` if it is absent.
  func integer(_ key: String) throws -> Int? {
    guard let value = value(key) else { return nil }
    guard let integer = value.integer else { throw wrong(key, "a whole number expected") }
    return integer
  }

  private func number(_ key: String) throws -> Double? {
    guard let value = value(key) else { return nil }
    guard let number = value.number, number.isFinite else { throw wrong(key, "a finite number expected") }
    return number
  }

  private func text(_ key: String) throws -> String? {
    guard let value = value(key) else { return nil }
    guard let text = value.string else { throw wrong(key, "a text in UTF-8 expected") }
    return text
  }

  private func required(_ key: String) throws -> Int {
    guard let value = try integer(key) else { throw wrong(key, "the key is missing") }
    return value
  }

  fileprivate func wrong(_ key: String, _ problem: String) -> InputError {
    InputError(problem, at: "\(path): \(key)", remedy: "convert the model again")
  }
}
