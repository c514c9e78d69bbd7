// The numbers of a decoder in fp32, as training wants them: one buffer, in which tensors that are multiplied together lie
// together. Their names, shapes and order are here and nowhere else in this module.
//
// C hidden · H query heads · G KV heads · D head dim · F MLP size · V vocabulary

import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import DMSTensor

/// A tensor's name in checkpoints, its shape and its place in the buffer.
public struct ParameterTensor: Sendable {
  /// As in checkpoints.
  public let name: String
  /// Of the tensor.
  public let shape: [Int]
  /// Its first number in the buffer.
  public let offset: Int
  /// Its numbers.
  public var count: Int { shape.reduce(1, *) }
  /// Numbers of a row; of a vector's, 1.
  var width: Int { shape.count > 1 ? shape[1] : 1 }
}

/// Where the tensors of a decoder lie.
public struct ParameterLayout: Sendable {
  /// Offsets of a layer's tensors. Query, key and value projections follow each other, as do gate and up, and their biases.
  struct Layer: Sendable {
    var inputNorm = 0  // [C]
    var projection = 0  // [(H + 2G) D, C]
    var projectionBias: Int?
    var queryNorm: Int?  // [D]
    var keyNorm: Int?  // [D]
    var alpha: Int?  // [G, C]
    var alphaBias: Int?
    var alphaNorm: Int?  // [C]
    var output = 0  // [C, H D]
    var outputBias: Int?
    var mlpNorm = 0  // [C]
    var gateUp = 0  // [2F, C]
    var gateUpBias: Int?
    var down = 0  // [C, F]
    var downBias: Int?
  }

  /// Of the decoder.
  public let shape: ModelConfiguration
  /// In the order of the buffer.
  public private(set) var tensors: [ParameterTensor] = []
  private(set) var layers: [Layer] = []
  private(set) var embedding = 0  // [V, C]
  private(set) var finalNorm = 0  // [C]
  private(set) var head = 0  // [V, C]; the embedding's place where they are tied
  /// Numbers in all.
  public private(set) var count = 0

  /// The layout of a decoder.
  public init(_ shape: ModelConfiguration) {
    self.shape = shape
    let (hidden, size) = (shape.hidden, shape.intermediate)
    let (queries, keys) = (shape.heads * shape.headDim, shape.kvHeads * shape.headDim)
    embedding = add("model.embed_tokens.weight", [shape.vocabulary, hidden])
    for index in 0..<shape.layers {
      let name = "model.layers.\(index)."
      let attention = name + "self_attn."
      var layer = Layer()
      layer.inputNorm = add(name + "input_layernorm.weight", [hidden])
      layer.projection = add(attention + "q_proj.weight", [queries, hidden])
      _ = add(attention + "k_proj.weight", [keys, hidden])
      _ = add(attention + "v_proj.weight", [keys, hidden])
      if shape.attentionBias {
        layer.projectionBias = add(attention + "q_proj.bias", [queries])
        _ = add(attention + "k_proj.bias", [keys])
        _ = add(attention + "v_proj.bias", [keys])
      }
      if shape.queryKeyNorm {
        layer.queryNorm = add(attention + "q_norm.weight", [shape.headDim])
        layer.keyNorm = add(attention + "k_norm.weight", [shape.headDim])
      }
      if shape.dms?.separateAlpha ?? false {
        layer.alpha = add(attention + "dms_proj_alpha.weight", [shape.kvHeads, hidden])
        if shape.outputBias { layer.alphaBias = add(attention + "dms_proj_alpha.bias", [shape.kvHeads]) }
        layer.alphaNorm = add(attention + "dms_proj_alpha_norm.weight", [hidden])
      }
      layer.output = add(attention + "o_proj.weight", [hidden, queries])
      if shape.outputBias { layer.outputBias = add(attention + "o_proj.bias", [hidden]) }
      layer.mlpNorm = add(name + "post_attention_layernorm.weight", [hidden])
      layer.gateUp = add(name + "mlp.gate_proj.weight", [size, hidden])
      _ = add(name + "mlp.up_proj.weight", [size, hidden])
      if shape.mlpBias {
        layer.gateUpBias = add(name + "mlp.gate_proj.bias", [size])
        _ = add(name + "mlp.up_proj.bias", [size])
      }
      layer.down = add(name + "mlp.down_proj.weight", [hidden, size])
      if shape.mlpBias { layer.downBias = add(name + "mlp.down_proj.bias", [hidden]) }
      layers.append(layer)
    }
    finalNorm = add("model.norm.weight", [hidden])
    head = shape.tiedEmbeddings ? embedding : add("lm_head.weight", [shape.vocabulary, hidden])
  }

  private mutating func add(_ name: String, _ shape: [Int]) -> Int {
    let tensor = ParameterTensor(name: name, shape: shape, offset: count)
    tensors.append(tensor)
    count += tensor.count
    return tensor.offset
  }
}

/// The numbers.
public final class Parameters {
  /// Where each tensor lies.
  public let layout: ParameterLayout
  /// All numbers, fp32.
  public let values: FloatBuffer

  /// Zeros.
  public init(_ layout: ParameterLayout) {
    self.layout = layout
    values = FloatBuffer(layout.count)
  }

  static func bytes(_ layout: ParameterLayout) -> Int { MemoryLayout<Float>.stride * layout.count }

  /// A checkpoint's, widened. An adapter that the checkpoint was not taught with starts with W = 0 and a norm of ones, so that the offset
  /// alone decides (DMS, section 4).
  /// - Throws: `InputError` for a tensor that is missing, has the wrong shape or type, or holds numbers that are not finite.
  public convenience init(_ layout: ParameterLayout, from checkpoint: Checkpoint) throws {
    self.init(layout)
    if let blocks = checkpoint.configuration.blocks {
      throw InputError(
        "the weights are in \(blocks.format.rawValue) blocks, which cannot be trained", at: checkpoint.folder,
        remedy: "use the checkpoint that they were made of")
    }
    for tensor in layout.tensors {
      let out = values.base + tensor.offset
      if tensor.name.contains(".dms_proj_alpha"), checkpoint.configuration.dms?.separateAlpha != true {
        let isNorm = tensor.name.hasSuffix("alpha_norm.weight")
        out.update(repeating: isNorm ? 1 : 0, count: tensor.count)
        continue
      }
      let view = try checkpoint.tensor(tensor.name, shape: tensor.shape)
      guard FiniteScan.areFinite(view) else { throw Checkpoint.notFinite(tensor.name, at: checkpoint.folder) }
      if let base = view.bytes.baseAddress { widen(base, view.type, tensor.count, to: out) }
    }
  }

  /// A start for pretraining: normal numbers whose deviation keeps the size of what passes through, 1 / sqrt(inputs), smaller
  /// by sqrt(2 L) for what is added to the residual stream (Radford et al., 2019). An embedding of its own has a deviation of
  /// 0.3, so that a token is still itself after the first layers; one that is the head, too, 1 / sqrt(C). Norms are ones,
  /// biases zeros.
  public convenience init(_ layout: ParameterLayout, random seed: UInt64) {
    self.init(layout)
    let shape = layout.shape
    for (index, tensor) in layout.tensors.enumerated() {
      let out = values.base + tensor.offset
      if tensor.shape.count == 1 {
        out.update(repeating: tensor.name.hasSuffix("norm.weight") ? 1 : 0, count: tensor.count)
        continue
      }
      var deviation = 1 / Double(tensor.width).squareRoot()
      if tensor.offset == layout.embedding, !shape.tiedEmbeddings { deviation = 0.3 }
      if tensor.name.hasSuffix("o_proj.weight") || tensor.name.hasSuffix("down_proj.weight") {
        deviation /= Double(2 * shape.layers).squareRoot()
      }
      for place in 0..<tensor.count {
        out[place] = Float(deviation * RandomNumbers.normal(seed: seed, sequence: index, position: place))
      }
    }
  }

  /// The same numbers in memory of their own.
  public func copy() -> Parameters {
    let copy = Parameters(layout)
    copy.values.base.update(from: values.base, count: values.count)
    return copy
  }
}
