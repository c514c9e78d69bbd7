// config.json: real ones are read, illegal ones are refused by key, and none traps.

import DMSCheckpoint
import DMSTensor
import DMSText
import Testing

@Suite struct ModelConfigurationTests {
  /// A legal configuration with keys replaced (`null` stays null) or removed.
  private func parse(
    _ changes: [String: String] = [:], removing removed: [String] = [], metadata: String? = nil
  ) throws -> ModelConfiguration {
    var members = [
      "model_type": #""qwen3""#, "hidden_size": "48", "num_attention_heads": "6", "num_key_value_heads": "2",
      "num_hidden_layers": "2", "vocab_size": "160", "intermediate_size": "96", "rope_theta": "1000000.0",
      "max_position_embeddings": "512", "head_dim": "16",
    ]
    members.merge(changes) { $1 }
    for key in removed { members[key] = nil }
    let text =
      "{" + members.sorted { $0.key < $1.key }.map { "\(quoted($0.key)): \($0.value)" }.joined(separator: ",") + "}"
    return try ModelConfiguration(
      json: JSON(parsing: text, source: "config.json"), source: "config.json",
      dmsMetadata: metadata.map { try JSON(parsing: $0, source: "dms_metadata.json") })
  }

  @Test(.enabled(if: hasSharedData, "needs ../shared/data/configs"))
  func theModelsThatPeopleRunAreRead() throws {
    let names = contents(of: sharedData + "/configs")
    try #require(!names.isEmpty)
    for name in names {
      let folder = "\(sharedData)/configs/\(name)"
      let shape = try ModelConfiguration(folder: folder)
      _ = try GenerationConfiguration(folder: folder)
      #expect((shape.dms != nil) == name.contains("DMS"), "\(name)")
      #expect(!shape.eosIDs.isEmpty && shape.bosID != nil, "\(name)")
      #expect((shape.family == .qwen2) == shape.attentionBias, "\(name)")
      #expect((shape.family == .qwen3) == shape.queryKeyNorm, "\(name)")
      #expect(shape.storedType == (name == "DeepSeek-R1-Distill-Qwen-1.5B" ? .f16 : .bf16), "\(name)")
    }
    _ = try ModelConfiguration(folder: sharedData + "/stories260K")

    let small = try ModelConfiguration(folder: sharedData + "/configs/DeepSeek-R1-Distill-Qwen-1.5B")
    #expect(small.rope.theta == 10_000 && small.rope.scaling == .none && small.normEpsilon == 1e-6)
    #expect(small.layers == 28 && small.hidden == 1536 && small.heads == 12 && small.kvHeads == 2)
    #expect(small.headDim == 128 && small.intermediate == 8960 && small.vocabulary == 151_936)
    #expect(small.context == 131_072 && !small.tiedEmbeddings && !small.outputBias && !small.mlpBias)
    let large = try ModelConfiguration(folder: sharedData + "/configs/DeepSeek-R1-Distill-Qwen-32B")
    #expect(large.rope.theta == 1e6 && large.normEpsilon == 1e-5)
    let llama = try ModelConfiguration(folder: sharedData + "/configs/Llama-3.2-1B-Instruct")
    #expect(llama.eosIDs == [128_001, 128_008, 128_009] && llama.bosID == 128_000 && llama.tiedEmbeddings)
    #expect(
      llama.rope.scaling
        == .llama3(factor: 32, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192))
    let sparse = try ModelConfiguration(folder: sharedData + "/configs/Qwen3-8B-DMS-8x")
    var settings = DMSSettings()
    settings.compressionRatio = 8
    #expect(sparse.dms == settings && sparse.headDim == 128)
  }

  @Test func everyFixtureIsRead() throws {
    let folders = fixtureFolders()
    try #require(!folders.isEmpty)
    for folder in folders {
      let shape = try ModelConfiguration(folder: folder)
      _ = try GenerationConfiguration(folder: folder)
      #expect(shape.heads % shape.kvHeads == 0 && shape.headDim % 2 == 0, "\(folder)")
    }
  }

  @Test func absentKeysHaveTheValuesOfTransformers() throws {
    let qwen = try parse(removing: ["rope_theta", "max_position_embeddings", "head_dim"])
    #expect(qwen.rope.theta == 10_000 && qwen.rope.scaling == .none)
    #expect(qwen.normEpsilon == 1e-6 && !qwen.tiedEmbeddings && qwen.context == 32_768 && qwen.headDim == 128)
    #expect(qwen.queryKeyNorm && !qwen.attentionBias && !qwen.outputBias && !qwen.mlpBias)
    #expect(qwen.eosIDs == [] && qwen.bosID == nil && qwen.storedType == nil && qwen.dms == nil)
    let llama = try parse(
      ["model_type": #""llama""#], removing: ["max_position_embeddings", "num_key_value_heads", "head_dim"])
    #expect(
      llama.headDim == 8 && llama.kvHeads == 6 && llama.context == 2048 && llama.eosIDs == [] && llama.bosID == nil)
    #expect(try parse(["model_type": #""llama""#, "eos_token_id": "null"]).eosIDs == [])
    #expect(try parse(["num_key_value_heads": "null"]).kvHeads == 6)
    #expect(
      complaint { try parse(removing: ["num_key_value_heads"]) }?.contains("num_key_value_heads is missing") == true)
  }

  @Test func biasesBelongToTheFamily() throws {
    let bias = ["attention_bias": "true", "mlp_bias": "true"]
    func biases(_ family: String) throws -> [Bool] {
      let shape = try parse(bias.merging(["model_type": quoted(family)]) { $1 })
      return [shape.attentionBias, shape.outputBias, shape.mlpBias]
    }
    #expect(try biases("llama") == [true, true, true])
    #expect(try biases("qwen3") == [true, true, false])
    #expect(try biases("qwen2") == [true, false, false])
    #expect(try biases("smollm3") == [true, true, true])
    #expect(try biases("mistral") == [false, false, false])
  }

  @Test func endIDsAreOneOrManyOrNone() throws {
    #expect(try parse(["eos_token_id": "7"]).eosIDs == [7])
    #expect(try parse(["eos_token_id": "[7, 9]"]).eosIDs == [7, 9])
    #expect(try parse(["eos_token_id": "null"]).eosIDs == [])
  }

  @Test(arguments: [
    ("model_type", #""gpt2""#), ("model_type", "null"), ("model_type", "3"), ("hidden_act", #""gelu""#),
    ("hidden_size", "0"), ("hidden_size", "-48"), ("hidden_size", "1e300"), ("hidden_size", "48.5"),
    ("hidden_size", #""48""#), ("hidden_size", "9223372036854775807"), ("hidden_size", "null"),
    ("vocab_size", "9223372036854775808"), ("num_hidden_layers", "1000000000"), ("num_hidden_layers", "0"),
    ("num_attention_heads", "5"), ("num_key_value_heads", "4"), ("num_key_value_heads", "0"), ("head_dim", "15"),
    ("head_dim", "0"), ("head_dim", "100000"), ("intermediate_size", "true"), ("max_position_embeddings", "0"),
    ("max_position_embeddings", "1e18"), ("rms_norm_eps", "0"), ("rms_norm_eps", "-1e-6"), ("rms_norm_eps", "2"),
    ("rope_theta", "0"), ("rope_theta", "1"), ("rope_theta", "-1e4"), ("rope_theta", "1e300"), ("rope_theta", "[]"),
    ("tie_word_embeddings", "1"), ("eos_token_id", "-1"), ("eos_token_id", #"["a"]"#), ("eos_token_id", "1e12"),
    ("dtype", "32"), ("use_sliding_window", #""yes""#), ("layer_types", #"["linear_attention"]"#),
    ("layer_types", "3"), ("partial_rotary_factor", "0.5"), ("rope_scaling", "3"),
    ("rope_scaling", #"{"type": "dynamic", "factor": 2}"#), ("rope_scaling", #"{"rope_type": 1}"#),
    ("rope_scaling", #"{"factor": 2}"#), ("rope_scaling", #"{"type": "linear"}"#),
    ("rope_scaling", #"{"type": "linear", "rope_type": "yarn", "factor": 2}"#),
    ("rope_scaling", #"{"type": "linear", "factor": 0}"#), ("rope_scaling", #"{"type": "linear", "factor": -2}"#),
    ("rope_scaling", #"{"type": "yarn", "factor": 4, "original_max_position_embeddings": 0}"#),
    ("rope_scaling", #"{"type": "yarn", "factor": 4, "beta_fast": 1, "beta_slow": 32}"#),
    ("rope_scaling", #"{"rope_type": "llama3", "factor": 8}"#),
    (
      "rope_scaling",
      #"{"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1, "original_max_position_embeddings": 64}"#
    ),
    ("dms_alpha_per", #""token""#), ("dms_window_size", "-1"), ("dms_window_size", "1e30"), ("dms_tau", "0"),
    ("dms_alpha_scale", "1e300"), ("dms_separate_alpha", "0"), ("dms_cr", "0"),
  ])
  func anIllegalValueIsAnErrorThatNamesItsKey(_ key: String, _ value: String) throws {
    let complaint = try #require(
      complaint { try parse([key: value], removing: key == "num_attention_heads" ? ["head_dim"] : []) })
    #expect(complaint.hasPrefix("config.json") && complaint.contains(";"), "no place or remedy: \(complaint)")
    let named = ["num_attention_heads": "num_key_value_heads"][key] ?? key
    #expect(complaint.contains(named) || complaint.contains("use_sliding_window"), "\(complaint)")
  }

  @Test(arguments: [
    "model_type", "hidden_size", "num_attention_heads", "num_hidden_layers", "vocab_size", "intermediate_size",
  ])
  func aMissingKeyIsNamed(_ key: String) {
    #expect(complaint { try parse(removing: [key]) }?.contains("the key \(key) is missing") == true)
  }

  @Test(arguments: ["", "{", "[]", "3", #"{"hidden_size": NaN}"#, #"{"rms_norm_eps": Infinity}"#, "\u{FEFF}{}"])
  func aFileThatIsNoObjectIsAnErrorOfOneLine(_ text: String) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("config.json", text)
    #expect(complaint { try ModelConfiguration(folder: folder.path) }?.hasPrefix(path) == true)
  }

  /// Any value in any place: a configuration within its bounds, or an error of one line; never a trap.
  @Test func hostileConfigurationsNeverTrap() throws {
    let hostile = [
      "null", "true", "-1", "0", "1", "2", "3", "4", "1024", "1048576", "4194304", "268435456", "9223372036854775807",
      "-9223372036854775808", "18446744073709551616", "1e-300", "0.5", "1e12", "1e308", "-0", "\"\"", "\"silu\"",
      "\"llama\"", "\"qwen2\"", "\"mistral\"",
      "\"smollm3\"", "true", "\"a\\nb\"", "[]", "[null]", "[1e9]", "{}", "{\"rope_type\":\"yarn\"}",
      "{\"rope_type\":\"yarn\",\"factor\":1e-6,\"beta_slow\":1e-6,\"beta_fast\":1e6,\"original_max_position_embeddings\":1}",
      "{\"rope_type\":\"llama3\",\"factor\":1e6,\"low_freq_factor\":1e-6,\"high_freq_factor\":1e6,\"original_max_position_embeddings\":1}",
      "{\"type\":\"linear\",\"factor\":1e-6}", "{\"full_attention\":{\"rope_theta\":1e12}}", "{\"a\":{\"b\":[{}]}}",
    ]
    let keys = [
      "model_type", "hidden_size", "num_attention_heads", "num_key_value_heads", "num_hidden_layers", "vocab_size",
      "intermediate_size", "rope_theta", "max_position_embeddings", "head_dim", "rms_norm_eps", "rope_scaling",
      "rope_parameters", "tie_word_embeddings", "attention_bias", "mlp_bias", "eos_token_id", "bos_token_id", "dtype",
      "torch_dtype", "hidden_act", "use_sliding_window", "sliding_window", "max_window_layers", "layer_types",
      "no_rope_layers", "no_rope_layer_interval", "architectures", "partial_rotary_factor", "dms_window_size",
      "dms_alpha_per", "dms_alpha_scale", "dms_initial_alpha_offset",
      "dms_tau", "dms_cr", "dms_separate_alpha", "dms_disable_eviction", "dms_unknown",
    ]
    var numbers = SeededNumbers(state: 2)
    var legal = 0
    for _ in 0..<20_000 {
      var changes: [String: String] = [:]
      for _ in 0..<Int.random(in: 1...4, using: &numbers) {
        changes[keys.randomElement(using: &numbers) ?? ""] = hostile.randomElement(using: &numbers)
      }
      let metadata = Int.random(in: 0..<10, using: &numbers) == 0 ? hostile.randomElement(using: &numbers) : nil
      var parsed: ModelConfiguration?
      let complaint = complaint { parsed = try parse(changes, metadata: metadata) }
      #expect(complaint?.hasPrefix("config.json") ?? true || complaint?.hasPrefix("dms_metadata.json") ?? true)
      guard let parsed else { continue }
      legal += 1
      // What later stages multiply without looking: parameters and the bytes of a full cache.
      let cache = [parsed.layers, parsed.kvHeads, parsed.headDim, parsed.context, 8]
      let weights = [
        parsed.layers, parsed.hidden, max(parsed.intermediate, parsed.vocabulary, parsed.heads * parsed.headDim), 16,
      ]
      for sizes in [cache, weights] { #expect(sizes.reduce(1.0) { $0 * Double($1) } < 0x1p62) }
      #expect(parsed.rope.frequencies(headDim: parsed.headDim).allSatisfy { $0.isFinite }, "\(changes)")
      #expect(parsed.rope.attentionFactor.isFinite && parsed.normEpsilon > 0)
    }
    #expect(legal > 500, "the mutations must leave something legal: \(legal)")
  }

  /// Bytes of a real file damaged: a value or an error of one line.
  @Test func damagedFilesNeverTrap() throws {
    let folder = try TemporaryFolder()
    let whole = try fileBytes(#require(fixtureFolders().last) + "/config.json")
    var numbers = SeededNumbers(state: 3)
    for _ in 0..<2_000 {
      var damaged = whole
      for _ in 0..<Int.random(in: 1...4, using: &numbers) {
        damaged[Int.random(in: damaged.indices, using: &numbers)] =
          Array("0123456789{}[],:\"-e.nt \u{0}".utf8).randomElement(using: &numbers) ?? 0
      }
      try folder.write("config.json", damaged)
      if let complaint = complaint({ try ModelConfiguration(folder: folder.path) }) {
        #expect(complaint.hasPrefix(folder.path), "\(complaint)")
      }
    }
  }
}
