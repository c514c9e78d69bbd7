// Weights that another program has quantised: named and refused, by config.json or by their tensors, and not seen where
// there are none.

import DMSCheckpoint
import DMSTensor
import Testing

@Suite struct ForeignQuantizationTests {
  private func folder(_ key: String, _ value: String, tensors: [String] = ["model.norm.weight"]) throws
    -> TemporaryFolder
  {
    let folder = try TemporaryFolder()
    try folder.write("config.json", CheckpointTests.config.dropLast() + ", \"\(key)\": \(value)}")
    try writeTensors(folder.path + "/model.safetensors", tensors.map { ($0, .f32, [1], bytes([Float(1)])) })
    return folder
  }

  /// As the published checkpoints of each kind have it, shortened.
  @Test(arguments: [
    (#"{"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": false}"#, "GPTQ in 4 bits"),
    (#"{"quant_method": "awq", "bits": 4, "version": "gemm", "zero_point": true}"#, "AWQ in 4 bits"),
    (#"{"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}"#, "FP8"),
    (#"{"quant_method": "bitsandbytes", "load_in_4bit": true, "load_in_8bit": false}"#, "bitsandbytes in 4 bits"),
    (#"{"load_in_4bit": false, "load_in_8bit": true}"#, "bitsandbytes in 8 bits"),
    (#"{"quant_method": "compressed-tensors", "format": "pack-quantized"}"#, "compressed-tensors"),
    (#"{"group_size": 64, "bits": 4, "mode": "affine"}"#, "MLX in 4 bits"),
    (#"{"quant_method": "quanto", "weights": "int8"}"#, "quanto"),
    (#"{"quant_method": "hqq", "quant_config": {}}"#, "HQQ"),
    (#"{"quant_method": "aqlm", "nbits_per_codebook": 16}"#, "AQLM"),
    (#"{"quant_method": "torchao"}"#, "torchao"), (#"{"weird": 1}"#, "an unnamed method"), ("7", "an unnamed method"),
    (#""int8""#, "int8"),
  ])
  func anAnnouncedMethodIsRefusedByName(_ value: String, _ name: String) throws {
    let folder = try folder("quantization_config", value)
    let complaint = try #require(complaint { try Checkpoint(folder: folder.path) })
    #expect(
      complaint.hasPrefix(
        "\(folder.path)/config.json: quantization_config: weights that were quantised by \(name) cannot be read; use "),
      "\(complaint)")
    #expect(try ModelConfiguration(folder: folder.path).quantization?.name == name, "the shape can still be read")
  }

  @Test(arguments: [("quantization", "MLX in 8 bits"), ("compression_config", "compressed-tensors in 8 bits")])
  func otherKeysAnnounceItToo(_ key: String, _ name: String) throws {
    let folder = try folder(key, #"{"bits": 8}"#)
    #expect(
      complaint { try Checkpoint(folder: folder.path) }?.contains("\(key): weights that were quantised by \(name)")
        == true)
  }

  @Test(arguments: ["null", "{}", "[]", "false", "\"\""])
  func nothingAnnouncedIsNothingRefused(_ value: String) throws {
    for key in ["quantization_config", "quantization", "compression_config"] {
      let folder = try folder(key, value)
      #expect(try Checkpoint(folder: folder.path).configuration.quantization == nil)
    }
  }

  @Test(arguments: [
    "weight_scale", "weight_scale_inv", "qweight", "qzeros", "scales", "g_idx", "zero_point", "weight_zero_point",
    "input_scale", "weight.absmax", "weight.quant_state.bitsandbytes__nf4", "SCB", "weight_packed", "weight._scale",
    "weight._data", "biases", "codebooks", "W_q", "k_scale", "weight_quantizer._amax",
  ])
  func aTensorThatOnlyQuantisedWeightsHaveIsRefused(_ leaf: String) throws {
    for module in ["model.layers.0.mlp.up_proj", "layers.0.self_attn.q_proj"] {
      let folder = try folder("note", "1", tensors: ["model.norm.weight", "\(module).weight", "\(module).\(leaf)"])
      let complaint = try #require(complaint { try Checkpoint(folder: folder.path) })
      #expect(
        complaint.hasPrefix(
          "\(folder.path)/model.safetensors: tensor \"\(module).\(leaf)\" belongs to weights that another"),
        "\(complaint)")
    }
  }

  @Test func aTensorInAnyShardIsFoundWhetherTheIndexNamesItOrNot() throws {
    let folder = try TemporaryFolder()
    try folder.write("config.json", CheckpointTests.config)
    for (file, tensors) in [("a", ["model.norm.weight"]), ("b", ["lm_head.weight", "lm_head.weight_scale"])] {
      try writeTensors("\(folder.path)/\(file).safetensors", tensors.map { ($0, .f32, [1], bytes([Float(1)])) })
    }
    for named in ["lm_head.weight", "lm_head.weight_scale"] {
      try folder.write(
        "model.safetensors.index.json",
        "{\"weight_map\": {\"model.norm.weight\": \"a.safetensors\", \"\(named)\": \"b.safetensors\"}}")
      #expect(
        complaint { try Checkpoint(folder: folder.path) }?
          .hasPrefix("\(folder.path)/b.safetensors: tensor \"lm_head.weight_scale\" belongs") == true)
    }
  }

  /// What decoders of these families have, and buffers that old exports keep.
  @Test(arguments: [
    "model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.bias", "model.layers.0.self_attn.q_norm.weight",
    "model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.0.self_attn.dms_proj_alpha_norm.weight",
    "lm_head.weight",
    "model.layers.0.post_attention_layernorm.weight",
  ])
  func aDecodersTensorsAreNotMistaken(_ tensor: String) throws {
    let folder = try folder("note", "1", tensors: [tensor])
    _ = try Checkpoint(folder: folder.path)
  }

  @Test func ownBlocksStay() throws {
    let name = "model.layers.0.mlp.up_proj.weight"
    let folder = try folder(
      "swift_dms_weights", #"{"format": "q8", "layout": 1}"#, tensors: [name + ".blocks", name + ".scales"])
    _ = try Checkpoint(folder: folder.path)
    try folder.write("config.json", CheckpointTests.config)
    #expect(complaint { try Checkpoint(folder: folder.path) }?.contains("\(name).scales\" belongs to") == true)
  }
}
