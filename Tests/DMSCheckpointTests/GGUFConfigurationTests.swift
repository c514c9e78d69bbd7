// What the keys of a GGUF file say of a decoder, and what they must not say; what a path is that holds no model.

import DMSCheckpoint
import DMSPlatform
import DMSText
import Testing

extension GGUFBytes {
  typealias Key = (String, UInt32, [UInt8])

  static func integer(_ key: String, _ value: UInt32) -> Key { (key, 4, bytes([value])) }
  static func number(_ key: String, _ value: Float) -> Key { (key, 6, bytes([value])) }
  static func bool(_ key: String, _ value: UInt8) -> Key { (key, 7, [value]) }
  static func text(_ key: String, _ value: String) -> Key { (key, 8, text(value)) }

  /// A file of a small decoder, with keys that come in the place of its own, and tensors of 64 numbers beside its embedding.
  static func model(_ architecture: String, _ keys: [Key] = [], tensors: [String] = []) -> GGUFBytes {
    var file = GGUFBytes()
    let own =
      [text("general.architecture", architecture)]
      + [
        ("block_count", 4), ("embedding_length", 32), ("feed_forward_length", 48), ("attention.head_count", 4),
        ("attention.head_count_kv", 2), ("attention.key_length", 16), ("context_length", 64),
      ].map { integer("\(architecture).\($0)", $1) }
    file.keys = own.filter { key in !keys.contains { $0.0 == key.0 } } + keys
    file.tensors = (["token_embd.weight"] + tensors).enumerated().map { ($1, [32, 2], 8, UInt64(96 * $0)) }
    file.data = [UInt8](repeating: 0, count: 96 * file.tensors.count)
    return file
  }
}

@Suite struct GGUFConfigurationTests {
  private func shape(_ file: GGUFBytes) throws -> ModelConfiguration {
    let folder = try TemporaryFolder()
    return try ModelConfiguration(gguf: GGUFFile(path: folder.write("m.gguf", file.all)))
  }

  private func shape(
    _ architecture: String, _ keys: [GGUFBytes.Key] = [], tensors: [String] = []
  ) throws -> ModelConfiguration { try shape(.model(architecture, keys, tensors: tensors)) }

  @Test func aLlamaWithAWindowIsAMistral() throws {
    func window(_ size: UInt32, _ architecture: String = "llama") -> [GGUFBytes.Key] {
      [GGUFBytes.integer("\(architecture).attention.sliding_window", size)]
    }
    let mistral = try shape("llama", window(8))
    #expect(mistral.family == .mistral && mistral.layerAttention.allSatisfy { $0.window == 8 && $0.rotates })
    for harmless in [[], window(0), window(64)] {
      let llama = try shape("llama", harmless)
      #expect(llama.family == .llama && !llama.slides)
    }
    #expect(try shape("smollm3").layerAttention.map(\.rotates) == [true, true, true, false])
    for refused in [
      complaint { try shape("qwen2", window(8, "qwen2")) }, complaint { try shape("smollm3", window(8, "smollm3")) },
      complaint { try shape("llama", window(8), tensors: ["blk.0.attn_q.bias"]) },
    ] { #expect(refused?.contains("attention.sliding_window: a sliding window of 8 tokens is not supported") == true) }
  }

  @Test(arguments: [
    ("mistral", "unknown architecture"), ("gemma2", "GELU"), ("qwen3moe", "mixture of experts"),
    ("phi3", "stored as one"),
    ("llama4", "mixture of experts"), ("mamba", "recurrent"), ("a\nb", #""a\nb""#), ("", "unknown"),
  ])
  func otherArchitecturesAreRefusedByName(name: String, words: String) throws {
    let complaint = complaint { try shape(name) }
    #expect(complaint?.contains("general.architecture: ") == true, "\(complaint ?? "accepted")")
    #expect(complaint?.contains(words) == true, "\(complaint ?? "accepted")")
  }

  @Test func keysOfForgettingAreRead() throws {
    #expect(try shape("qwen3").dms == nil)
    let plain = try #require(try shape("qwen3", [GGUFBytes.integer("dms.window_size", 8)]).dms)
    #expect(plain.window == 8 && !plain.separateAlpha && plain.shift == 1 && plain.zeroAfterRope)
    #expect(plain.alphaScale == 100 && plain.alphaOffset == 5 && plain.alphaPer == .head)
    let all = try #require(
      try shape(
        "llama",
        [
          GGUFBytes.integer("dms.window_size", 16), GGUFBytes.number("dms.alpha_scale", 10),
          GGUFBytes.number("dms.initial_alpha_offset", 1.5), GGUFBytes.bool("dms.separate_alpha", 1),
          GGUFBytes.text("dms.alpha_per", "layer"), GGUFBytes.integer("dms.shift", 0),
        ]
      ).dms)
    #expect(all.window == 16 && all.separateAlpha && all.shift == 0 && !all.zeroAfterRope)
    #expect(all.alphaScale == 10 && all.alphaOffset == 1.5 && all.alphaPer == .layer)
    let window = GGUFBytes.integer("dms.window_size", 8)
    for (key, words) in [
      (("dms.window_size", 5, bytes([Int32(-1)])), "dms_window_size: an integer from 0"),
      (("dms.window_size", 10, bytes([UInt64.max])), "dms.window_size: a whole number"),
      (GGUFBytes.text("dms.window_size", "8"), "dms.window_size: a whole number"),
      (GGUFBytes.number("dms.alpha_scale", .nan), "dms.alpha_scale: a finite number"),
      (GGUFBytes.number("dms.initial_alpha_offset", 1e9), "dms_initial_alpha_offset: a number from"),
      (GGUFBytes.integer("dms.separate_alpha", 1), "dms.separate_alpha: true or false"),
      (GGUFBytes.text("dms.alpha_per", "token"), "dms_alpha_per: one of head, layer"),
      (GGUFBytes.bool("dms.alpha_per", 1), "dms.alpha_per: a text"),
      (GGUFBytes.integer("dms.shift", 2), "dms.shift: 0 or 1"),
    ] as [(GGUFBytes.Key, String)] {
      let complaint = complaint { try shape("qwen3", key.0 == window.0 ? [key] : [window, key]) }
      #expect(complaint?.contains(words) == true, "\(words): \(complaint ?? "accepted")")
    }
    let both = [window, GGUFBytes.integer("llama.attention.sliding_window", 8)]
    #expect(complaint { try shape("llama", both) }?.contains("DMS beside sliding windows") == true)
  }

  @Test func everyKindOfScalingIsRead() throws {
    func rope(_ keys: [GGUFBytes.Key]) throws -> RopeConfiguration.Scaling {
      try shape("qwen2", keys.map { ("qwen2.rope.\($0.0)", $0.1, $0.2) }).rope.scaling
    }
    let (factor, linear) = (GGUFBytes.number("scaling.factor", 4), GGUFBytes.text("scaling.type", "linear"))
    let yarn = GGUFBytes.text("scaling.type", "yarn")
    #expect(try rope([]) == .none)
    #expect(try rope([GGUFBytes.text("scaling.type", "none"), factor]) == .none)
    #expect(try rope([GGUFBytes.number("scale_linear", 1)]) == .none)
    #expect(try rope([GGUFBytes.number("scale_linear", 4)]) == .linear(factor: 4))
    #expect(try rope([factor, linear]) == .linear(factor: 4))
    // 0.1 · ln 4 + 1, as transformers has it.
    var attention = 1.1386294361119891
    #expect(
      try rope([yarn, factor, GGUFBytes.integer("scaling.original_context_length", 16)])
        == .yarn(factor: 4, originalContext: 16, betaFast: 32, betaSlow: 1, attentionFactor: attention, truncate: true))
    attention = 1.2079441541679836
    #expect(
      try rope([
        yarn, GGUFBytes.number("scaling.factor", 8), GGUFBytes.number("scaling.yarn_beta_fast", 16),
        GGUFBytes.number("scaling.yarn_beta_slow", 2),
      ]) == .yarn(factor: 8, originalContext: 64, betaFast: 16, betaSlow: 2, attentionFactor: attention, truncate: true)
    )
    for (keys, words) in [
      ([linear], "factor is missing"), ([GGUFBytes.text("scaling.type", "longrope"), factor], "unknown RoPE type"),
      ([GGUFBytes.integer("scaling.type", 2), factor], "scaling.type: a text"),
      ([linear, GGUFBytes.number("scaling.factor", .infinity)], "scaling.factor: a finite number"),
      ([linear, GGUFBytes.number("scaling.factor", 0)], "factor: a number from"),
      ([yarn, factor, GGUFBytes.number("scaling.yarn_beta_fast", 0.5)], "beta_fast: at least"),
      ([yarn, factor, GGUFBytes.integer("scaling.original_context_length", 0)], "an integer from 1"),
      ([yarn, factor, GGUFBytes.number("scaling.attn_factor", 2)], "attn_factor: 2.0 is not supported"),
      ([yarn, factor, GGUFBytes.number("scaling.yarn_log_multiplier", 0.5)], "yarn_log_multiplier: 0.5 is not"),
      ([GGUFBytes.number("freq_base", 1)], "rope_theta: a number from"),
      ([GGUFBytes.integer("dimension_count", 8)], "dimension_count: the 16 channels"),
    ] as [([GGUFBytes.Key], String)] {
      let complaint = complaint { try rope(keys) }
      #expect(complaint?.contains(words) == true, "\(words): \(complaint ?? "accepted")")
    }
  }

  @Test func factorsOfATensorDivideFrequencies() throws {
    func rope(_ factors: [Float], _ keys: [GGUFBytes.Key] = [], type: UInt32 = 0) throws -> RopeConfiguration {
      var file = GGUFBytes.model("llama", keys)
      file.tensors.append(("rope_freqs.weight", [UInt64(factors.count)], type, 96))
      file.data += bytes(factors)
      return try shape(file).rope
    }
    let divided = try rope([1, 1, 1, 1, 2, 4, 8, 8]).frequencies(headDim: 16)
    // 10000^(-2i / 16) over the factors.
    let expected: [Float] = [
      1, 0.31622776, 0.1, 0.031622775, 0.005, 0.0007905694, 0.000125, 3.952847e-05,
    ]
    for (frequency, expected) in zip(divided, expected) { #expect(abs(frequency / expected - 1) < 1e-6) }
    for refused in [
      complaint { try rope([1, 1, 1]) }, complaint { try rope([1, 1, 1, 1, 1, 1, 1, 1], type: 26) },
      complaint { try rope([1, 1, 1, 1, 1, 1, 1, 1], [GGUFBytes.number("llama.rope.scale_linear", 4)]) },
    ] { #expect(refused?.contains("rope_freqs.weight") == true, "\(refused ?? "accepted")") }
    for factor in [Float.nan, .infinity, 0, -1, 1e7] {
      let complaint = complaint { try rope([1, 1, 1, 1, 1, 1, 1, factor]) }
      #expect(complaint?.contains("out of range") == true, "\(factor): \(complaint ?? "accepted")")
    }
  }

  /// Of whatever kind and value a key is: an answer, or one line that says which file.
  @Test(arguments: [
    "block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count",
    "attention.head_count_kv", "attention.key_length", "attention.value_length", "attention.layer_norm_rms_epsilon",
    "attention.sliding_window", "expert_count", "rope.freq_base", "rope.dimension_count", "rope.scaling.type",
    "rope.scaling.factor", "rope.scale_linear", "rope.scaling.original_context_length", "rope.scaling.attn_factor",
    "rope.scaling.yarn_beta_fast", "dms.window_size", "dms.shift", "dms.alpha_scale", "dms.separate_alpha",
    "dms.alpha_per", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "general.alignment", "split.count",
  ])
  func anyValueOfAKeyIsTakenOrRefused(name: String) throws {
    let folder = try TemporaryFolder()
    let isGeneral = ["dms", "tokenizer", "general", "split"].contains { name.hasPrefix($0 + ".") }
    let key = isGeneral ? name : "llama.\(name)"
    let numbers: [UInt64] = [0, 1, 3, 7, 1 << 20, 1 << 31, 1 << 40, 1 << 62, 1 << 63, .max]
    var values: [(UInt32, [UInt8])] = []
    for number in numbers {
      values += [(10, bytes([number])), (11, bytes([number])), (5, Array(bytes([number])[..<4]))]
    }
    for number in [0, -1, 0.5, .leastNonzeroMagnitude, 3e38, .nan, .infinity] as [Float] {
      values += [(6, bytes([number])), (12, bytes([Double(number).bitPattern]))]
    }
    values += [(7, [0]), (7, [1]), (7, [2]), (8, GGUFBytes.text("")), (8, GGUFBytes.text("yarn"))]
    values += [
      (8, bytes([UInt64(2)]) + [0xFF, 0xFE]), (9, GGUFBytes.list(4, 0, [])), (9, GGUFBytes.list(0, 2, [1, 2])),
    ]
    for (kind, value) in values {
      let path = try folder.write("m.gguf", GGUFBytes.model("llama", [(key, kind, value)]).all)
      let complaint = complaint { _ = DecoderTensors(try ModelConfiguration(gguf: GGUFFile(path: path))) }
      #expect(complaint?.hasPrefix(path) ?? true, "\(kind) \(value): \(complaint ?? "")")
    }
  }
}

@Suite struct ModelPathTests {
  private func verdict(_ path: String) -> String { complaint { try ModelSource(path: path) } ?? "accepted" }

  @Test func whatIsNoModelIsNamed() throws {
    let folder = try TemporaryFolder()
    let (text, empty) = (try folder.write("a.txt", "hello"), try folder.write("m.gguf", ""))
    #expect(verdict(text).hasPrefix("\(text): not a GGUF file: it does not begin with GGUF; give a .gguf file"))
    #expect(verdict(empty).hasPrefix("\(empty): the file is empty; "))
    #expect(
      verdict(folder.path + "/none").hasPrefix("\(folder.path)/none: no such file or directory; give a .gguf file"))
    #expect(verdict(text + "/m.gguf").hasPrefix("\(text)/m.gguf: not a directory; "))
    #expect(
      verdict("/dev/null")
        == "/dev/null: neither a file nor a folder; give a .gguf file, or the folder of a Hugging Face checkpoint")
    #expect(verdict("").hasPrefix("\"\": no such file or directory; "))
  }

  @Test func aFolderThatHoldsAGGUFFileNamesIt() throws {
    let folder = try TemporaryFolder()
    #expect(verdict(folder.path) == "\(folder.path): no config.json; give the folder of a Hugging Face checkpoint")
    try folder.write("b.gguf", "")
    let file = try folder.write("a.gguf", "")
    #expect(verdict(folder.path).hasSuffix("but with a GGUF file; give the file: \(file)"))
    try folder.write("config.json", "{}")
    #expect(verdict(folder.path).contains("model_type is missing"))
  }
}
