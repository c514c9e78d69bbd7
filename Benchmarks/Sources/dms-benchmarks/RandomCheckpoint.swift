// A checkpoint of random weights of a given size, for speed where no model need be downloaded.

import DMS
import Glibc

struct RandomCheckpoint {
  let folder: String
  /// Bytes of weights that a decode step reads: everything but the embedding's other rows.
  let bytesPerToken: Int

  /// Shaped like six layers of DeepSeek-R1-Distill-Qwen-1.5B with a vocabulary of 32,000.
  init(type: ElementType, folder: String) throws {
    self.folder = folder
    let (hidden, layers, inner, heads, kvHeads, headDim, vocabulary) = (1536, 6, 8960, 12, 2, 128, 32_000)
    mkdir(folder, 0o755)
    let name = ["F32": "float32", "BF16": "bfloat16", "F16": "float16"][type.rawValue] ?? ""
    let config = """
      {"model_type":"qwen2","hidden_size":\(hidden),"intermediate_size":\(inner),"num_hidden_layers":\(layers),
      "num_attention_heads":\(heads),"num_key_value_heads":\(kvHeads),"head_dim":\(headDim),"vocab_size":\(vocabulary),
      "max_position_embeddings":32768,"rms_norm_eps":1e-6,"rope_theta":10000,"tie_word_embeddings":true,
      "hidden_act":"silu","torch_dtype":"\(name)"}
      """
    guard let file = fopen(folder + "/config.json", "w") else { throw InputError("cannot be written", at: folder) }
    fputs(config, file)
    fclose(file)
    var tensors: [SafetensorsWriter.Declaration] = [
      .init("model.embed_tokens.weight", type, [vocabulary, hidden]), .init("model.norm.weight", type, [hidden]),
    ]
    for layer in 0..<layers {
      func add(_ name: String, _ shape: [Int]) { tensors.append(.init("model.layers.\(layer).\(name)", type, shape)) }
      add("input_layernorm.weight", [hidden])
      add("post_attention_layernorm.weight", [hidden])
      for (projection, rows) in [("q", heads * headDim), ("k", kvHeads * headDim), ("v", kvHeads * headDim)] {
        add("self_attn.\(projection)_proj.weight", [rows, hidden])
        add("self_attn.\(projection)_proj.bias", [rows])
      }
      add("self_attn.o_proj.weight", [hidden, heads * headDim])
      add("mlp.gate_proj.weight", [inner, hidden])
      add("mlp.up_proj.weight", [inner, hidden])
      add("mlp.down_proj.weight", [hidden, inner])
    }
    let writer = try SafetensorsWriter(path: folder + "/model.safetensors", tensors: tensors)
    var state: UInt64 = 1
    for tensor in tensors {
      let count = tensor.shape.reduce(1, *)
      // Any finite weights do: small ones of both signs, so that nothing overflows.
      var numbers = [UInt8](repeating: 0, count: count * type.size)
      for index in 0..<count {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let value = (Float(state >> 40) * 0x1p-24 - 0.5) * 0.05
        switch type {
        case .f32: numbers.withUnsafeMutableBytes { $0.storeBytes(of: value, toByteOffset: 4 * index, as: Float.self) }
        case .bf16:
          let bits = UInt16(value.bitPattern >> 16)
          numbers.withUnsafeMutableBytes { $0.storeBytes(of: bits, toByteOffset: 2 * index, as: UInt16.self) }
        default:
          let bits = UInt16(state >> 48) & 0x83FF | 0x2000
          numbers.withUnsafeMutableBytes { $0.storeBytes(of: bits, toByteOffset: 2 * index, as: UInt16.self) }
        }
      }
      try numbers.withUnsafeBytes { try writer.write($0, to: tensor.name) }
    }
    try writer.finish()
    bytesPerToken = tensors.reduce(0) { $0 + $1.shape.reduce(type.size, *) }
  }
}
