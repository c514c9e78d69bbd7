// The weights of a decoder by their checkpoint names: the one place that knows these names.

import DMSCheckpoint
import DMSKernels
import DMSPlatform
import DMSTensor

/// A linear map in the form that was asked for, with its bias in fp32.
struct Linear {
  let weights: Weights
  let bias: FloatBuffer?
}

struct LayerWeights {
  let inputNorm: FloatBuffer  // [hidden]
  let query: Linear  // [H · D, hidden]
  let key: Linear  // [G · D, hidden]
  let value: Linear  // [G · D, hidden]
  let queryNorm: FloatBuffer?  // [D]
  let keyNorm: FloatBuffer?  // [D]
  let output: Linear  // [hidden, H · D]
  let mlpNorm: FloatBuffer  // [hidden]
  let gate: Linear  // [F, hidden]
  let up: Linear  // [F, hidden]
  let down: Linear  // [hidden, F]
  /// The rows of the query projection that decide, where the projection itself is in blocks.
  let borrowed: Linear?  // [G, hidden]
  /// The adapter's decision projection.
  let alpha: Linear?  // [G, hidden]
  let alphaNorm: FloatBuffer?  // [hidden]

  init(_ source: WeightSource, layer: Int) throws {
    let shape = source.shape
    let name = "model.layers.\(layer)."
    let (hidden, queries, keys) = (shape.hidden, shape.heads * shape.headDim, shape.kvHeads * shape.headDim)
    inputNorm = try source.vector(name + "input_layernorm.weight", hidden)
    query = try source.linear(name + "self_attn.q_proj", queries, hidden, bias: shape.attentionBias)
    borrowed = try source.borrowed(name + "self_attn.q_proj", bias: shape.attentionBias)
    key = try source.linear(name + "self_attn.k_proj", keys, hidden, bias: shape.attentionBias)
    value = try source.linear(name + "self_attn.v_proj", keys, hidden, bias: shape.attentionBias)
    queryNorm = shape.queryKeyNorm ? try source.vector(name + "self_attn.q_norm.weight", shape.headDim) : nil
    keyNorm = shape.queryKeyNorm ? try source.vector(name + "self_attn.k_norm.weight", shape.headDim) : nil
    output = try source.linear(name + "self_attn.o_proj", hidden, queries, bias: shape.outputBias)
    mlpNorm = try source.vector(name + "post_attention_layernorm.weight", hidden)
    gate = try source.linear(name + "mlp.gate_proj", shape.intermediate, hidden, bias: shape.mlpBias)
    up = try source.linear(name + "mlp.up_proj", shape.intermediate, hidden, bias: shape.mlpBias)
    down = try source.linear(name + "mlp.down_proj", hidden, shape.intermediate, bias: shape.mlpBias)
    if shape.dms?.separateAlpha ?? false {
      // The reference gives the projection a bias where the other attention projections have one by configuration.
      let bias = shape.outputBias
      alpha = try source.linear(
        name + "self_attn.dms_proj_alpha", shape.kvHeads, hidden, bias: bias, converted: false)
      alphaNorm = try source.vector(name + "self_attn.dms_proj_alpha_norm.weight", hidden)
    } else {
      alpha = nil
      alphaNorm = nil
    }
  }
}

struct DecoderWeights {
  let embedding: Weights  // [vocabulary, hidden]
  let layers: [LayerWeights]
  let finalNorm: FloatBuffer  // [hidden]
  let head: Weights  // [vocabulary, hidden]

  /// What was converted, and so is not in the checkpoint's files.
  private let owned: [OwnedBytes]
  private let isTied: Bool

  init(_ source: WeightSource, _ conversion: WeightConversion) throws {
    let shape = source.shape
    embedding = try source.matrix("model.embed_tokens.weight", shape.vocabulary, shape.hidden)
    layers = try (0..<shape.layers).map { try LayerWeights(source, layer: $0) }
    finalNorm = try source.vector("model.norm.weight", shape.hidden)
    // Checkpoints with tied embeddings may carry the head all the same; the tie wins, as in transformers.
    head = shape.tiedEmbeddings ? embedding : try source.matrix("lm_head.weight", shape.vocabulary, shape.hidden)
    owned = conversion.owned
    isTied = shape.tiedEmbeddings
  }
}

extension DecoderWeights {
  /// Bytes of all matrices.
  var bytes: Int { stepBytes + (isTied ? 0 : embedding.bytes) }

  /// Bytes that a decode step reads, whatever the number of its sequences.
  var stepBytes: Int {
    layers.reduce(head.bytes) { sum, layer in
      [layer.query, layer.key, layer.value, layer.output, layer.gate, layer.up, layer.down].reduce(sum) {
        $0 + $1.weights.bytes
      }
    }
  }
}

/// Takes tensors from a checkpoint, or from nowhere, in the forms that the decoder wants.
struct WeightSource {
  let shape: ModelConfiguration
  /// `nil`: the weights are random.
  let checkpoint: Checkpoint?
  let conversion: WeightConversion
  /// Whether linear maps are to be in blocks, and the rows that decide are kept apart from them.
  let keepsBorrowed: Bool
  /// Learns of every tensor that is taken out of a checkpoint of numbers.
  var onTensor: ((_ name: String, TensorView, Role) -> Void)?

  /// What a tensor is to a decoder.
  enum Role {
    /// Its form is a matter of choice.
    case map
    /// It stays as it is.
    case kept
    /// It repeats rows of a map.
    case borrowed
  }

  func matrix(_ name: String, _ rows: Int, _ columns: Int, converted: Bool = true) throws -> Weights {
    guard let checkpoint else { return conversion.random(rows, columns, converted: converted) }
    if converted, let stored = shape.blocks {
      return .blocks(try checkpoint.blocks(name, stored.format, rows: rows, columns: columns))
    }
    let view = try checkpoint.tensor(name, shape: [rows, columns])
    onTensor?(name, view, converted ? .map : .kept)
    guard converted else { return .stored(Matrix(view)) }
    let weights = try conversion.convert(view, name, of: checkpoint.folder)
    if case .stored(let matrix) = weights, matrix.base == view.bytes.baseAddress { return weights }
    // What has been converted is not read again: one form of it in memory is enough.
    MappedFile.letGo(of: view.bytes)
    return weights
  }

  /// The borrowed channels' rows of the query projection `name`, in their stored type; `nil` unless they are kept apart.
  /// An eviction cannot be taken back, and these few rows decide it: they are not worth rounding.
  func borrowed(_ name: String, bias: Bool) throws -> Linear? {
    guard let checkpoint, let dms = shape.dms, !dms.separateAlpha, keepsBorrowed else { return nil }
    let (matrix, size) = (name + ".weight", [shape.kvHeads, shape.hidden])
    if shape.blocks != nil {
      let view = try checkpoint.tensor(StoredBlocks.borrowedName(of: matrix), shape: size)
      return Linear(weights: .stored(Matrix(view)), bias: try borrowedBias(name, bias))
    }
    let source = Matrix(try checkpoint.tensor(matrix, shape: [shape.heads * shape.headDim, shape.hidden]))
    let width = shape.hidden * source.type.size
    let bytes = conversion.bytes(shape.kvHeads * width)
    for kvHead in 0..<shape.kvHeads {
      let row = UnsafeRawBufferPointer(start: source.row(shape.borrowedChannel(kvHead)), count: width)
      UnsafeMutableRawBufferPointer(rebasing: bytes[(kvHead * width)...]).copyMemory(from: row)
    }
    let view = TensorView(
      type: source.type, shape: size, bytes: UnsafeRawBufferPointer(rebasing: bytes[..<(shape.kvHeads * width)]))
    onTensor?(StoredBlocks.borrowedName(of: matrix), view, .borrowed)
    return Linear(weights: .stored(Matrix(view)), bias: try borrowedBias(name, bias))
  }

  private func borrowedBias(_ name: String, _ bias: Bool) throws -> FloatBuffer? {
    guard bias, let checkpoint else { return nil }
    let view = try checkpoint.tensor(name + ".bias", shape: [shape.heads * shape.headDim])
    let buffer = FloatBuffer(shape.kvHeads)
    guard let base = view.bytes.baseAddress else { return buffer }
    for kvHead in 0..<shape.kvHeads {
      widen(base + shape.borrowedChannel(kvHead) * view.type.size, view.type, 1, to: buffer.base + kvHead)
    }
    return buffer
  }

  /// A small tensor as an fp32 copy; ones, if the weights are random.
  func vector(_ name: String, _ count: Int) throws -> FloatBuffer {
    let buffer = FloatBuffer(count)
    guard let checkpoint else {
      buffer.base.update(repeating: 1, count: count)
      return buffer
    }
    let view = try checkpoint.tensor(name, shape: [count])
    onTensor?(name, view, .kept)
    if let base = view.bytes.baseAddress { widen(base, view.type, count, to: buffer.base) }
    guard FiniteScan.areFinite(view, on: conversion.pool) else {
      throw Checkpoint.notFinite(name, at: checkpoint.folder)
    }
    return buffer
  }

  func linear(_ name: String, _ rows: Int, _ columns: Int, bias: Bool, converted: Bool = true) throws -> Linear {
    Linear(
      weights: try matrix(name + ".weight", rows, columns, converted: converted),
      bias: bias ? try vector(name + ".bias", rows) : nil)
  }
}
