// What a GGUF file says of a model that is written as one: the keys that llama.cpp's readers know, and this program's own for
// DMS. How they are read: GGUFConfiguration.swift.

import DMSPlatform
import DMSTensor
import DMSText

extension ModelConfiguration {
  /// How many heads' rows GGUF files have interleaved in a tensor; `nil` for none.
  ///
  /// For these architectures llama.cpp rotates channels 2j and 2j + 1 together, where Hugging Face rotates j and j + D / 2: its
  /// row 2j + h of a head is Hugging Face's row h · D / 2 + j.
  package func interleavedHeads(_ tensor: DecoderTensor) -> Int? {
    guard [.llama, .mistral, .smollm3].contains(family) else { return nil }
    switch tensor.role {
    case .query where tensor.part != .borrowed: return heads
    case .key: return kvHeads
    default: return nil
    }
  }

  /// What frequencies are divided by, for scalings that GGUF files say in a tensor of its own; `nil` for others.
  package func frequencyFactors() -> [Float]? {
    switch rope.scaling {
    case .factors(let factors): return factors
    case .llama3:
      let plain = RopeConfiguration(theta: rope.theta).frequencies(headDim: headDim)
      return zip(plain, rope.frequencies(headDim: headDim)).map { $0 / $1 }
    default: return nil
    }
  }

  /// llama.cpp's name of the architecture.
  private func ggufArchitecture(_ source: String) throws -> String {
    func cannot(_ what: String) -> InputError {
      InputError("GGUF files have no words for \(what)", at: source, remedy: "keep the model's folder")
    }
    let windows = Set(layerAttention.map(\.window))
    guard windows == [nil] || (family == .mistral && windows.count == 1) else { throw cannot("its sliding windows") }
    let rotations = layerAttention.map(\.rotates)
    let known = rotations.indices.map { family != .smollm3 || ($0 + 1) % 4 != 0 }
    guard rotations == known else { throw cannot("its layers without positions") }
    if case .yarn(let factor, _, _, _, let attention, let truncates) = rope.scaling {
      let usual = RopeConfiguration.yarnAttention(factor: factor)
      guard truncates, abs(attention - usual) < 1e-6 else { throw cannot("its variant of YaRN") }
    }
    return family == .mistral ? "llama" : family.rawValue
  }

  /// The decoder's keys.
  fileprivate func ggufKeys(_ source: String) throws -> [(key: String, value: GGUFWriter.Value)] {
    let name = try ggufArchitecture(source)
    var keys: [(key: String, value: GGUFWriter.Value)] = [
      ("general.architecture", .string(name)), ("\(name).context_length", .integer(context)),
      ("\(name).embedding_length", .integer(hidden)), ("\(name).block_count", .integer(layers)),
      ("\(name).feed_forward_length", .integer(intermediate)), ("\(name).attention.head_count", .integer(heads)),
      ("\(name).attention.head_count_kv", .integer(kvHeads)), ("\(name).attention.key_length", .integer(headDim)),
      ("\(name).attention.value_length", .integer(headDim)),
      ("\(name).attention.layer_norm_rms_epsilon", .number(Double(normEpsilon))),
      ("\(name).rope.freq_base", .number(rope.theta)), ("\(name).rope.dimension_count", .integer(headDim)),
      ("\(name).vocab_size", .integer(vocabulary)),
    ]
    if let window = layerAttention.first?.window {
      keys.append(("\(name).attention.sliding_window", .integer(window)))
    }
    switch rope.scaling {
    case .none, .llama3, .factors: break
    case .linear(let factor):
      keys += [("\(name).rope.scaling.type", .string("linear")), ("\(name).rope.scaling.factor", .number(factor))]
    case .yarn(let factor, let original, let fast, let slow, _, _):
      keys += [
        ("\(name).rope.scaling.type", .string("yarn")), ("\(name).rope.scaling.factor", .number(factor)),
        ("\(name).rope.scaling.original_context_length", .integer(original)),
        ("\(name).rope.scaling.yarn_beta_fast", .number(fast)), ("\(name).rope.scaling.yarn_beta_slow", .number(slow)),
      ]
    }
    guard let dms else { return keys }
    keys += [
      ("dms.window_size", .integer(dms.window)), ("dms.alpha_scale", .number(Double(dms.alphaScale))),
      ("dms.initial_alpha_offset", .number(Double(dms.alphaOffset))),
      ("dms.separate_alpha", .bool(dms.separateAlpha)), ("dms.alpha_per", .string(dms.alphaPer.rawValue)),
      ("dms.shift", .integer(dms.shift)), ("dms.disable_eviction", .bool(dms.evictionDisabled)),
    ]
    if let ratio = dms.compressionRatio { keys.append(("dms.cr", .number(ratio))) }
    return keys
  }
}

extension ModelSource {
  /// Everything that a GGUF file of this model says beside its tensors. Of a GGUF file, what it said.
  package func ggufKeys(_ type: GGMLType) throws -> [(key: String, value: GGUFWriter.Value)] {
    let types: [GGMLType: Int] = [.f32: 0, .f16: 1, .q4_0: 2, .q8_0: 7, .bf16: 32]
    let own: [(key: String, value: GGUFWriter.Value)] = [
      ("general.file_type", .integer(types[type] ?? 0)), ("general.quantization_version", .integer(2)),
    ]
    switch container {
    case .file(let file):
      let kept = file.keys.filter { key in !own.contains { $0.key == key } && !key.hasPrefix("split.") }
      return kept.compactMap { key in file.value(key).map { (key, GGUFWriter.Value($0)) } } + own
    case .folder(let checkpoint):
      let name = checkpoint.folder.split(separator: "/").last.map(String.init) ?? "model"
      let keys = try configuration.ggufKeys(checkpoint.folder) + [("general.name", .string(name))] + own
      return try keys + textKeys(checkpoint.folder)
    }
  }

  /// Tokenizer, chat template, wishes. A model without a tokenizer is written without.
  private func textKeys(_ folder: String) throws -> [(key: String, value: GGUFWriter.Value)] {
    guard Tokenizer.isThere(in: folder) else { return [] }
    let prefix = "tokenizer.ggml."
    var tables = try TokenizerTables(folder: folder)
    // llama.cpp's readers want a token for every row of the embedding.
    for id in tables.tokens.count..<max(tables.tokens.count, configuration.vocabulary) {
      tables.tokens.append(Array("[PAD\(id)]".utf8))
      tables.types.append(.unused)
    }
    var keys: [(key: String, value: GGUFWriter.Value)] = []
    switch tables.model {
    case .byteLevel(let name):
      keys = [(prefix + "model", .string("gpt2")), (prefix + "pre", .string(name))]
      keys.append((prefix + "merges", .strings(tables.merges)))
    case .sentencePiece(let scores):
      keys = [(prefix + "model", .string("llama")), (prefix + "scores", .numbers(scores))]
    }
    keys.append((prefix + "tokens", .strings(tables.tokens)))
    keys.append((prefix + "token_type", .integers(tables.types.map(\.rawValue))))
    for (name, id) in [("bos", tables.bosID), ("eos", tables.eosID), ("unknown", tables.unknownID)] {
      if let id { keys.append((prefix + name + "_token_id", .integer(id))) }
    }
    let wishes = try generation()
    let ends = (wishes.eosIDs ?? configuration.eosIDs).filter { $0 != tables.eosID }
    for (name, id) in zip(["eot", "eom"], ends) { keys.append((prefix + name + "_token_id", .integer(id))) }
    for (name, value) in [("add_bos_token", tables.addsBOS), ("add_eos_token", tables.addsEOS)] {
      if let value { keys.append((prefix + name, .bool(value))) }
    }
    if let adds = tables.addsSpacePrefix { keys.append((prefix + "add_space_prefix", .bool(adds))) }
    if let template = try template() {
      keys.append(("tokenizer.chat_template", .string(template.text)))
      if let tools = template.toolText { keys.append(("tokenizer.chat_template.tool_use", .string(tools))) }
    }
    for (name, value) in [
      ("temp", wishes.temperature), ("top_p", wishes.topP), ("min_p", wishes.minP),
      ("penalty_repeat", wishes.repetitionPenalty),
    ] { if let value { keys.append(("general.sampling." + name, .number(value))) } }
    if let count = wishes.topK { keys.append(("general.sampling.top_k", .integer(count))) }
    return keys
  }
}

extension GGUFWriter.Value {
  /// A value as another file has it.
  fileprivate init(_ value: GGUFValue) {
    self =
      switch value {
      case .integer(let value): .integer(value)
      case .huge(let value): .number(Double(value))
      case .number(let value): .number(value)
      case .bool(let value): .bool(value)
      case .string(let bytes): .string(String(decoding: bytes, as: UTF8.self))
      case .array(let list): .array(list)
      }
  }
}
