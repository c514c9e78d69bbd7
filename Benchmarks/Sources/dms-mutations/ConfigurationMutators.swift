// Changes of config.json and of the other small JSON files of a model by the keys that they are known to have, those that
// this file lacks included.

enum ConfigurationMutators {
  /// Keys of an integer that every command needs; anything but a number in its range is damage.
  private static let sizes = [
    "num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size", "num_attention_heads", "num_key_value_heads",
    "head_dim", "max_position_embeddings",
  ]
  private static let switches = [
    "tie_word_embeddings", "attention_bias", "mlp_bias", "use_sliding_window", "dms_separate_alpha",
    "dms_disable_eviction",
  ]
  private static let reals = [
    "rms_norm_eps", "rope_theta", "dms_alpha_scale", "dms_initial_alpha_offset", "dms_tau", "dms_cr",
  ]
  private static let others = [
    "model_type", "hidden_act", "rope_scaling", "rope_parameters", "sliding_window", "max_window_layers", "layer_types",
    "bos_token_id", "eos_token_id", "dtype", "torch_dtype", "dms_alpha_per", "dms_window_size", "partial_rotary_factor",
    "quantization_config", "swift_dms_weights", "architectures", "dms_shift", "pad_token_id", "head_dim", "auto_map",
  ]
  private static let ropes = [
    #"{"rope_type":"linear","factor":2}"#, #"{"rope_type":"linear","factor":0}"#,
    #"{"rope_type":"linear","factor":-1e300}"#,
    #"{"rope_type":"yarn","factor":4,"original_max_position_embeddings":64}"#,
    #"{"type":"yarn","factor":1e6,"beta_fast":0,"beta_slow":0}"#,
    #"{"rope_type":"yarn","factor":1e-6,"original_max_position_embeddings":268435456}"#,
    #"{"rope_type":"dynamic","factor":2}"#,
    #"{"rope_type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":1,"original_max_position_embeddings":64}"#,
    #"{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":64}"#,
    #"{"rope_type":"longrope","short_factor":[1],"long_factor":[1],"factor":2}"#, #"{"factor":2}"#,
    #"{"rope_type":"default"}"#,
    #"{"full_attention":{"rope_type":"linear","factor":2}}"#, #"{"rope_type":"mrope","mrope_section":[1,2]}"#,
  ]
  private static let quantizations = ["gptq", "awq", "fp8", "bitsandbytes", "compressed-tensors", "hqq", "", "\\u0000"]

  private static let wrong = [
    "\"x\"", "[]", "{}", "true", "[1]", "\"\"", "0.5", "1.5", "-1", "0", "9223372036854775807", "9223372036854775808",
    "1e300",
    "-9223372036854775808", "\"12\"",
  ]

  static let configuration = Mutators(
    [
      (20, size), (6, anySize), (6, kind("a switch", switches, ["1", "\"true\"", "[]", "{}", "0.5"])), (10, real),
      (20, other),
      (6, rope), (4, quantization), (3, missing), (4, window),
    ].map { ($0.0 * 3, $0.1) } + JSONMutators.file.shares.map { ($0.share, $0.change) })

  /// A file whose keys are known: each takes odd values; the other changes of JSON come on top.
  static func keys(_ names: [String], share: Int = 60) -> Mutators {
    let change: Mutator = { bytes, random in
      let (name, value) = (random.pick(names), JSONMutators.value(&random))
      return setting(name, value, in: bytes)
    }
    return Mutators([(share, change)] + JSONMutators.file.shares.map { ($0.share, $0.change) })
  }

  private static func setting(_ key: String, _ value: Tree?, in bytes: [UInt8], _ damage: Damage = .possible)
    -> Mutation?
  {
    var tree = Tree(bytes)
    tree[key] = value
    let shown = value.map { String(String(decoding: $0.bytes, as: UTF8.self).prefix(80)) } ?? "missing"
    return Mutation(bytes: tree.bytes, what: "\(key) is \(shown)", damage: damage)
  }

  private static let size: Mutator = { bytes, random in
    setting(random.pick(sizes), .literal(random.pick(wrong)), in: bytes, .certain)
  }

  /// Sizes that could be, of some other model.
  private static let anySize: Mutator = { bytes, random in
    let value = random.pick([
      "1", "2", "3", "4", "7", "64", "1024", "4096", "1048576", "4194304", "268435456", "1e3", "2.0",
    ])
    return setting(random.pick(sizes), .literal(value), in: bytes)
  }

  private static func kind(_ what: String, _ keys: [String], _ values: [String]) -> Mutator {
    { bytes, random in
      let present = keys.filter { Tree(bytes)[$0] != nil }
      guard !present.isEmpty else { return nil }
      let key = random.pick(present)
      return setting(
        key, .literal(random.pick(values)), in: bytes,
        key == "tie_word_embeddings" || key == "attention_bias" ? .certain : .possible)
    }
  }

  private static let real: Mutator = { bytes, random in
    let key = random.pick(reals)
    if random.chance(0.4) {
      let value = random.pick(["\"x\"", "[]", "{}", "true", "1e400", "-1e400"])
      return setting(key, .literal(value), in: bytes, key.hasPrefix("dms") ? .possible : .certain)
    }
    return setting(key, .literal(random.pick(JSONMutators.numbers)), in: bytes)
  }

  private static let other: Mutator = { bytes, random in
    setting(random.pick(others), JSONMutators.value(&random), in: bytes)
  }

  private static let rope: Mutator = { bytes, random in
    setting(random.pick(["rope_scaling", "rope_parameters"]), .literal(random.pick(ropes)), in: bytes)
  }

  /// Weights that other programs' quantisation has packed.
  private static let quantization: Mutator = { bytes, random in
    let method = random.pick(quantizations)
    let isKnown = !method.isEmpty && method != "\\u0000"
    return setting(
      random.pick(["quantization_config", "quantization"]),
      .literal("{\"quant_method\":\"\(method)\",\"bits\":4,\"group_size\":32}"), in: bytes,
      isKnown ? .certainInNumbers : .possible)
  }

  private static let missing: Mutator = { bytes, random in
    let needed = [
      "model_type", "num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size", "num_attention_heads",
    ]
    return setting(random.pick(needed), nil, in: bytes, .certain)
  }

  private static let window: Mutator = { bytes, random in
    let value = random.pick(["0", "1", "268435456", "268435455", "1048576", "16777216", "-1", "4096"])
    return setting("dms_window_size", .literal(value), in: bytes)
  }

  /// model.safetensors.index.json: tensors in the wrong shard, in none, in one that lies elsewhere.
  static let index = Mutators(
    [
      (40, shard),
      (10, map),
    ] + JSONMutators.file.shares.map { ($0.share, $0.change) })

  private static let shard: Mutator = { bytes, random in
    var tree = Tree(bytes)
    guard var map = tree["weight_map"], !map.keys.isEmpty else { return nil }
    let key = random.pick(map.keys)
    let shard = map[key]?.text
    let other = random.pick([
      "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "../ids.safetensors",
      "missing.safetensors",
      "", ".", "..", "/etc/passwd", "config.json", "a\\u0000b", "a\\nb",
    ])
    guard other != shard else { return nil }
    map[key] = .string(other)
    tree["weight_map"] = map
    return Mutation(bytes: tree.bytes, what: "\(key) lies in \(other)", damage: .certain)
  }

  private static let map: Mutator = { bytes, random in
    var tree = Tree(bytes)
    tree["weight_map"] = random.pick([nil, .literal("null"), .literal("{}"), .literal("[]"), .literal("1")])
    return Mutation(bytes: tree.bytes, what: "no weight_map", damage: .certain)
  }
}
