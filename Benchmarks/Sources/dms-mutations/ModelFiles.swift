// A model of random numbers with its tokenizer, in the forms that checkpoints come in.
//
// V vocabulary · H hidden · I inner · Q query heads · G KV heads · D head dim · L layers

struct ModelFiles {
  private let name: String
  private let vocabulary = 288
  private let hidden = 32
  private let inner = 32
  private let heads = 4
  private let kvHeads = 2
  private let headDim = 8
  private let layers = 2
  private var random = Random(seed: 7, case: 0)

  init(_ name: String) { self.name = name }

  private var family: String { ["shards": "qwen2", "llama": "llama"][name] ?? "qwen3" }
  private var className: String { family.prefix(1).uppercased() + family.dropFirst() + "ForCausalLM" }
  private var type: String { ["shards": "BF16", "llama": "F16"][name] ?? "F32" }

  mutating func write(to folder: String) throws {
    try writeFile(Array(configuration.utf8), to: folder + "/config.json")
    try writeWeights(folder)
    try writeTokenizer(folder)
    try writeFile(
      Array(
        #"{"do_sample": true, "temperature": 0.7, "top_k": 20, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 1.1, "max_new_tokens": 64, "eos_token_id": [285, 286]}"#
          .utf8),
      to: folder + "/generation_config.json")
    if name == "llama" {
      try writeFile(
        Array(#"{"window_size": 8, "alpha_scale": 10.0, "alpha_offset": 1.0, "config": {"window_size": 8}}"#.utf8),
        to: folder + "/dms_metadata.json")
    }
  }

  private var configuration: String {
    let rope =
      name == "llama"
      ? #""rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}, "mlp_bias": false"#
      : name == "shards"
        ? #""rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}"#
        : #""rope_scaling": null"#
    let dms =
      ["neuron", "adapter"].contains(name)
      ? #", "dms_separate_alpha": \#(name == "adapter"), "dms_alpha_per": "head", "dms_alpha_scale": 10.0, "dms_initial_alpha_offset": 1.0, "dms_window_size": 8, "dms_tau": 0.1, "dms_cr": 4, "dms_disable_eviction": false"#
      : ""
    return """
      {"architectures": ["\(className)"], "model_type": "\(family)", "hidden_size": \(hidden), "intermediate_size": \(inner), \
      "num_hidden_layers": \(layers), "num_attention_heads": \(heads), "num_key_value_heads": \(kvHeads), "head_dim": \(headDim), \
      "vocab_size": \(vocabulary), "max_position_embeddings": 512, "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "hidden_act": "silu", \
      "attention_bias": false, "tie_word_embeddings": \(family == "qwen2"), "use_sliding_window": false, "sliding_window": null, \
      "max_window_layers": 28, "bos_token_id": 284, "eos_token_id": 286, "torch_dtype": \
      "\(["F32": "float32", "F16": "float16", "BF16": "bfloat16"][type] ?? "")", \(rope)\(dms)}
      """
  }

  private mutating func tensor(_ name: String, _ shape: [Int]) -> TensorFile.Tensor {
    // A norm's weights are about 1.
    let isNorm = shape.count == 1 && !name.hasSuffix("bias")
    let numbers = (0..<shape.reduce(1, *)).map { _ in isNorm ? 1 + 0.1 * random.uniform() : 0.4 * random.uniform() }
    return TensorFile.Tensor(name, type, shape, numbers)
  }

  private mutating func tensors() -> [TensorFile.Tensor] {
    var tensors = [tensor("model.embed_tokens.weight", [vocabulary, hidden]), tensor("model.norm.weight", [hidden])]
    if family != "qwen2" { tensors.append(tensor("lm_head.weight", [vocabulary, hidden])) }
    for layer in 0..<layers {
      let prefix = "model.layers.\(layer)."
      tensors.append(tensor(prefix + "input_layernorm.weight", [hidden]))
      tensors.append(tensor(prefix + "post_attention_layernorm.weight", [hidden]))
      for (projection, count) in [("q", heads), ("k", kvHeads), ("v", kvHeads)] {
        tensors.append(tensor(prefix + "self_attn.\(projection)_proj.weight", [count * headDim, hidden]))
        if family == "qwen2" { tensors.append(tensor(prefix + "self_attn.\(projection)_proj.bias", [count * headDim])) }
      }
      tensors.append(tensor(prefix + "self_attn.o_proj.weight", [hidden, heads * headDim]))
      if family == "qwen3" {
        tensors.append(tensor(prefix + "self_attn.q_norm.weight", [headDim]))
        tensors.append(tensor(prefix + "self_attn.k_norm.weight", [headDim]))
      }
      if name == "adapter" {
        tensors.append(tensor(prefix + "self_attn.dms_proj_alpha.weight", [kvHeads, hidden]))
        tensors.append(tensor(prefix + "self_attn.dms_proj_alpha_norm.weight", [hidden]))
      }
      tensors.append(tensor(prefix + "mlp.gate_proj.weight", [inner, hidden]))
      tensors.append(tensor(prefix + "mlp.up_proj.weight", [inner, hidden]))
      tensors.append(tensor(prefix + "mlp.down_proj.weight", [hidden, inner]))
    }
    return tensors
  }

  private mutating func writeWeights(_ folder: String) throws {
    let tensors = tensors()
    guard name == "shards" else {
      var file = TensorFile()
      file.tensors = tensors
      file.metadata = [("format", "pt")]
      return try writeFile(file.bytes, to: folder + "/model.safetensors")
    }
    var members: [Tree.Member] = []
    for shard in 0..<2 {
      var file = TensorFile()
      file.tensors = tensors.enumerated().filter { $0.offset % 2 == shard }.map(\.element)
      let path = "model-0000\(shard + 1)-of-00002.safetensors"
      members += file.tensors.map { Tree.Member(key: $0.name, value: .string(path)) }
      try writeFile(file.bytes, to: "\(folder)/\(path)")
    }
    let index = Tree.object([
      Tree.Member(key: "metadata", value: .literal("{\"total_size\":1}")),
      Tree.Member(key: "weight_map", value: .object(members)),
    ])
    try writeFile(index.bytes, to: folder + "/model.safetensors.index.json")
  }
}

extension ModelFiles {
  /// The same model in a GGUF file: matrices in Q8_0 of random bytes, all else in F32.
  mutating func writeGGUF(to path: String) throws {
    let architecture = family
    var file = GGUFModel()
    func add(_ key: String, _ value: GGUFModel.Value) { file.keys.append((Array(key.utf8), value)) }
    func add(_ key: String, integer: Int) { add(key, .number(kind: 4, GGUFModel.bytes(UInt64(integer), 4))) }
    func add(_ key: String, number: Float) {
      add(key, .number(kind: 6, GGUFModel.bytes(UInt64(number.bitPattern), 4)))
    }
    add("general.architecture", .text(Array(architecture.utf8)))
    for (key, size) in [
      ("block_count", layers), ("context_length", 512), ("embedding_length", hidden), ("feed_forward_length", inner),
      ("attention.head_count", heads), ("attention.head_count_kv", kvHeads), ("attention.key_length", headDim),
    ] { add("\(architecture).\(key)", integer: size) }
    add("\(architecture).attention.layer_norm_rms_epsilon", number: 1e-6)
    add("\(architecture).rope.freq_base", number: 10_000)
    let isPiece = architecture == "llama"
    let words = (isPiece ? Self.pieces : Self.letters + Self.merges.map { $0 + $1 }) + Self.special + ["<think>"]
    add("tokenizer.ggml.model", .text(Array((isPiece ? "llama" : "gpt2").utf8)))
    add("tokenizer.ggml.pre", .text(Array((isPiece ? "default" : "qwen2").utf8)))
    add("tokenizer.ggml.tokens", .list(kind: GGUFModel.text, words.map { Array($0.utf8) }))
    let types = words.map {
      Self.special.contains($0) ? 3 : $0 == "<think>" ? 4 : isPiece && $0.hasPrefix("<0x") ? 6 : 1
    }
    add("tokenizer.ggml.token_type", .list(kind: 5, types.map { GGUFModel.bytes(UInt64($0), 4) }))
    if isPiece {
      let scores = words.indices.map { GGUFModel.bytes(UInt64(Float(-$0).bitPattern), 4) }
      add("tokenizer.ggml.scores", .list(kind: 6, scores))
    } else {
      add("tokenizer.ggml.merges", .list(kind: GGUFModel.text, Self.merges.map { Array("\($0) \($1)".utf8) }))
      for (key, value) in [("window_size", 8), ("shift", 1)] { add("dms.\(key)", integer: value) }
      add("dms.alpha_scale", number: 10)
    }
    add("tokenizer.ggml.bos_token_id", integer: words.firstIndex(of: "<|bos|>") ?? 0)
    add("tokenizer.ggml.eos_token_id", integer: words.firstIndex(of: "<|im_end|>") ?? 0)
    add("tokenizer.ggml.add_bos_token", .number(kind: 7, [isPiece ? 1 : 0]))
    add("tokenizer.chat_template", .text(Array(Self.template.utf8)))
    add("general.sampling.temp", number: 0.7)
    for tensor in tensors() {
      let isMatrix = tensor.shape.count == 2
      file.add(
        ggufName(tensor.name), tensor.shape, type: isMatrix ? 8 : 0,
        isMatrix ? blocks(tensor.shape) : ones(tensor.shape[0]))
    }
    if isPiece { file.add("rope_freqs.weight", [headDim / 2], type: 0, ones(headDim / 2)) }
    try writeFile(file.bytes, to: path)
  }

  private func ones(_ count: Int) -> [UInt8] {
    (0..<count).flatMap { _ in GGUFModel.bytes(UInt64(Float(1).bitPattern), 4) }
  }

  /// Q8_0: a scale in F16, then 32 signed bytes.
  private mutating func blocks(_ shape: [Int]) -> [UInt8] {
    (0..<shape[0] * shape[1] / 32).flatMap { _ in
      TensorFile.Tensor.bits(0.004, "F16") + (0..<32).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }
  }

  private func ggufName(_ name: String) -> String {
    var parts = name.split(separator: ".").map(String.init)
    let ending = parts.removeLast()
    let modules = [
      "embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output", "input_layernorm": "attn_norm",
      "post_attention_layernorm": "ffn_norm", "q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v",
      "o_proj": "attn_output", "q_norm": "attn_q_norm", "k_norm": "attn_k_norm", "gate_proj": "ffn_gate",
      "up_proj": "ffn_up", "down_proj": "ffn_down",
    ]
    let module = modules[parts.last ?? ""] ?? ""
    return (parts.contains("layers") ? "blk.\(parts[2])." : "") + "\(module).\(ending)"
  }
}

extension ModelFiles {
  private static let special = ["<|bos|>", "<|im_start|>", "<|im_end|>"]

  private static let template = """
    {%- set ns = namespace(last='') -%}
    {%- if tools -%}{{ '<|im_start|>system\\n# Tools\\n' }}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{{ '<|im_end|>\\n' }}{%- endif -%}
    {%- for message in messages -%}
    {%- if message.role == 'system' and not loop.first -%}{{ raise_exception('The system message comes first.') }}{%- endif -%}
    {%- set content = message.content | trim if message.content is string else '' -%}
    {%- if message['role'] == 'assistant' and '</think>' in content -%}{%- set content = content.split('</think>')[-1].lstrip('\\n') -%}{%- endif -%}
    {{- '<|im_start|>' + message['role'] + '\\n' + content + '<|im_end|>' + '\\n' -}}
    {%- set ns.last = message.role -%}
    {%- endfor -%}
    {%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- if enable_thinking is defined and enable_thinking is false -%}{{- '<think>\\n\\n</think>\\n\\n' -}}{%- endif -%}{%- endif -%}

    """

  /// GPT-2's letters for bytes.
  private static let letters: [String] = {
    var next: UInt32 = 256
    return (0..<256).map { byte in
      let code = UInt32(byte)
      if (33...126).contains(code) || (161...172).contains(code) || (174...255).contains(code) {
        return Unicode.Scalar(code).map { String($0) } ?? ""
      }
      next += 1
      return Unicode.Scalar(next - 1).map { String($0) } ?? ""
    }
  }()

  private static let merges = [
    ("t", "h"), ("th", "e"), ("Ġ", "t"), ("Ġ", "a"), ("i", "n"), ("e", "r"), ("o", "n"), ("r", "e"), ("a", "t"),
    ("Ġ", "s"), ("e", "n"), ("Ġ", "the"),
    ("o", "r"), ("i", "s"), ("l", "l"), ("o", "u"), ("Ġ", "w"), ("a", "n"), ("n", "d"), ("Ġ", "i"), ("a", "l"),
  ]

  private func write(text: String, to path: String) throws { try writeFile(Array(text.utf8), to: path) }

  fileprivate func writeTokenizer(_ folder: String) throws {
    let added =
      Self.special.enumerated().map { (id: 284 + $0.offset, content: $0.element, isSpecial: true) } + [
        (id: 287, content: "<think>", isSpecial: false)
      ]
    let tokens = added.map {
      #"{"id": \#($0.id), "content": "\#($0.content)", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": \#($0.isSpecial)}"#
    }
    let list = Tree.quoted(Self.template)
    var configuration =
      #"{"tokenizer_class": "\#(name == "llama" ? "LlamaTokenizer" : "Qwen2Tokenizer")", "add_bos_token": \#(name == "llama"), "bos_token": "<|bos|>", "eos_token": {"content": "<|im_end|>", "lstrip": false}, "pad_token": "<|im_end|>", "model_max_length": 512, "clean_up_tokenization_spaces": false, "additional_special_tokens": ["<|im_start|>"], "extra_special_tokens": {}"#
    switch name {
    case "shards":
      configuration +=
        #", "chat_template": [{"name": "default", "template": \#(String(decoding: list.bytes, as: UTF8.self))}, {"name": "tool_use", "template": \#(String(decoding: list.bytes, as: UTF8.self))}]}"#
      try write(text: vocabularyJSON, to: folder + "/vocab.json")
      try write(text: "#version: 0.2\n" + Self.merges.map { "\($0) \($1)\n" }.joined(), to: folder + "/merges.txt")
      try write(
        text: "{" + added.map { #""\#($0.content)": \#($0.id)"# }.joined(separator: ", ") + "}",
        to: folder + "/added_tokens.json")
      try write(
        text:
          #"{"bos_token": "<|bos|>", "eos_token": {"content": "<|im_end|>", "lstrip": false, "normalized": false}, "additional_special_tokens": ["<|im_start|>", {"content": "<|bos|>"}]}"#,
        to: folder + "/special_tokens_map.json")
    case "llama":
      configuration += "}"
      try write(text: Self.template, to: folder + "/chat_template.jinja")
      try write(text: sentencePiece(tokens), to: folder + "/tokenizer.json")
    default:
      let decoder = added.map { #""\#($0.id)": {"content": "\#($0.content)", "special": \#($0.isSpecial)}"# }.joined(
        separator: ", ")
      configuration += #", "added_tokens_decoder": {\#(decoder)}}"#
      try write(text: Self.template, to: folder + "/chat_template.jinja")
      try write(text: byteLevel(tokens), to: folder + "/tokenizer.json")
    }
    try write(text: configuration, to: folder + "/tokenizer_config.json")
  }

  private var vocabularyJSON: String {
    let words = Self.letters + Self.merges.map { $0 + $1 }
    return "{" + words.enumerated().map { "\"\(Tree.escaped($0.element))\": \($0.offset)" }.joined(separator: ", ")
      + "}"
  }

  private func byteLevel(_ added: [String]) -> String {
    let pattern =
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"#
    let merges = Self.merges.map { "\"\($0) \($1)\"" }.joined(separator: ", ")
    return """
      {"version": "1.0", "truncation": null, "padding": null, "added_tokens": [\(added.joined(separator: ", "))], "normalizer": {"type": "NFC"}, \
      "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "\(pattern)"}, "behavior": "Isolated", \
      "invert": false}, {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}]}, "post_processor": \
      {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}, "decoder": {"type": "ByteLevel", \
      "add_prefix_space": false, "trim_offsets": false, "use_regex": false}, "model": {"type": "BPE", "dropout": null, "unk_token": null, \
      "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "vocab": \(vocabularyJSON), \
      "merges": [\(merges)]}}
      """
  }

  private static let pieces: [String] = {
    let digits = Array("0123456789ABCDEF")
    return ["<unk>"] + (0..<256).map { "<0x\(digits[$0 >> 4])\(digits[$0 & 15])>" } + ["▁"]
      + ["a", "e", "i", "n", "o", "s", "t", "h", "th", "the", "▁t", "▁the", "in", "on"]
  }()

  private func sentencePiece(_ added: [String]) -> String {
    let vocabulary = Self.pieces.enumerated().map { "\"\($0.element)\": \($0.offset)" }.joined(separator: ", ")
    return """
      {"version": "1.0", "added_tokens": [\(added.joined(separator: ", "))], "normalizer": {"type": "Sequence", "normalizers": [{"type": \
      "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}, "pre_tokenizer": null, "post_processor": \
      {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|bos|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], \
      "pair": [], "special_tokens": {"<|bos|>": {"id": "<|bos|>", "ids": [284], "tokens": ["<|bos|>"]}}}, "decoder": {"type": "Sequence", \
      "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", \
      "content": " ", "start": 1, "stop": 0}]}, "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "fuse_unk": true, \
      "byte_fallback": true, "vocab": {\(vocabulary)}, "merges": ["t h", "th e", "▁ t", "▁ the", "i n", "o n"]}}
      """
  }
}
