// The weights of a decoder in the forms that its kernels want. Their names and shapes: DecoderTensors.swift.

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
    inputNorm = try source.vector(.inputNorm, layer)
    query = try source.linear(.query, layer)
    borrowed = try source.borrowed(layer)
    key = try source.linear(.key, layer)
    value = try source.linear(.value, layer)
    queryNorm = try source.ifAny(.queryNorm, layer, source.vector)
    keyNorm = try source.ifAny(.keyNorm, layer, source.vector)
    output = try source.linear(.output, layer)
    mlpNorm = try source.vector(.mlpNorm, layer)
    gate = try source.linear(.gate, layer)
    up = try source.linear(.up, layer)
    down = try source.linear(.down, layer)
    alpha = try source.ifAny(.decision, layer, source.linear)
    alphaNorm = try source.ifAny(.decisionNorm, layer, source.vector)
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

  init(_ source: WeightSource) throws {
    embedding = try source.matrix(.embedding)
    layers = try (0..<source.shape.layers).map { try LayerWeights(source, layer: $0) }
    finalNorm = try source.vector(.finalNorm)
    head = try source.ifAny(.head, nil, source.matrix) ?? embedding
    owned = source.conversion.owned
    isTied = source.shape.tiedEmbeddings
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
  let tensors: DecoderTensors
  /// `nil`: the weights are random.
  let checkpoint: Checkpoint?
  let conversion: WeightConversion
  /// Whether linear maps are to be in blocks, and the rows that decide are kept apart from them.
  let keepsBorrowed: Bool

  init(_ shape: ModelConfiguration, _ checkpoint: Checkpoint?, _ conversion: WeightConversion, keepsBorrowed: Bool) {
    self.shape = shape
    self.checkpoint = checkpoint
    self.conversion = conversion
    self.keepsBorrowed = keepsBorrowed
    tensors = DecoderTensors(shape)
  }

  /// What only some decoders have.
  func ifAny<Form>(
    _ role: DecoderTensor.Role, _ layer: Int?, _ take: (DecoderTensor.Role, Int?) throws -> Form
  ) rethrows -> Form? { tensors[role, layer: layer] == nil ? nil : try take(role, layer) }

  private func tensor(_ role: DecoderTensor.Role, _ layer: Int?) -> DecoderTensor {
    guard let tensor = tensors[role, layer: layer] else { preconditionFailure("a tensor of this decoder") }
    return tensor
  }

  func matrix(_ role: DecoderTensor.Role, _ layer: Int? = nil) throws -> Weights {
    let tensor = tensor(role, layer)
    let (rows, columns, isConverted) = (tensor.shape[0], tensor.shape[1], tensor.use == .converted)
    guard let checkpoint else { return conversion.random(rows, columns, converted: isConverted) }
    if isConverted, let stored = shape.blocks {
      return .blocks(try checkpoint.blocks(tensor.name, stored.format, rows: rows, columns: columns))
    }
    let view = try checkpoint.tensor(tensor.name, shape: tensor.shape)
    guard isConverted else { return .stored(Matrix(view)) }
    let weights = try conversion.convert(view, tensor.name, of: checkpoint.folder)
    if case .stored(let matrix) = weights, matrix.base == view.bytes.baseAddress { return weights }
    // What has been converted is not read again: one form of it in memory is enough.
    MappedFile.letGo(of: view.bytes)
    return weights
  }

  /// A small tensor as an fp32 copy; ones, if the weights are random.
  func vector(_ role: DecoderTensor.Role, _ layer: Int? = nil) throws -> FloatBuffer {
    try vector(tensor(role, layer))
  }

  private func vector(_ tensor: DecoderTensor) throws -> FloatBuffer {
    let count = tensor.shape[0]
    let buffer = FloatBuffer(count)
    guard let checkpoint else {
      buffer.base.update(repeating: 1, count: count)
      return buffer
    }
    let view = try checkpoint.tensor(tensor.name, shape: tensor.shape)
    if let base = view.bytes.baseAddress { widen(base, view.type, count, to: buffer.base) }
    guard FiniteScan.areFinite(view, on: conversion.pool) else {
      throw Checkpoint.notFinite(tensor.name, at: checkpoint.folder)
    }
    return buffer
  }

  func linear(_ role: DecoderTensor.Role, _ layer: Int?) throws -> Linear {
    Linear(weights: try matrix(role, layer), bias: try tensors[role, .bias, layer: layer].map(vector))
  }

  /// The borrowed channels' rows of a query projection, in their stored type; `nil` unless they are kept apart.
  func borrowed(_ layer: Int) throws -> Linear? {
    guard let checkpoint, let rows = try borrowedRows(layer) else { return nil }
    guard let bias = tensors[.query, .bias, layer: layer] else {
      return Linear(weights: .stored(Matrix(rows)), bias: nil)
    }
    let view = try checkpoint.tensor(bias.name, shape: bias.shape)
    let buffer = FloatBuffer(shape.kvHeads)
    if let base = view.bytes.baseAddress {
      for kvHead in 0..<shape.kvHeads {
        widen(base + shape.borrowedChannel(kvHead) * view.type.size, view.type, 1, to: buffer.base + kvHead)
      }
    }
    return Linear(weights: .stored(Matrix(rows)), bias: buffer)
  }

  /// `[G, hidden]`. An eviction cannot be taken back, and these few rows decide it: they are not worth rounding.
  func borrowedRows(_ layer: Int?) throws -> TensorView? {
    guard let checkpoint, keepsBorrowed, let borrowed = tensors[.query, .borrowed, layer: layer] else { return nil }
    if shape.blocks != nil { return try checkpoint.tensor(borrowed.name, shape: borrowed.shape) }
    let query = tensor(.query, layer)
    let source = Matrix(try checkpoint.tensor(query.name, shape: query.shape))
    let width = shape.hidden * source.type.size
    let bytes = conversion.bytes(shape.kvHeads * width)
    for kvHead in 0..<shape.kvHeads {
      let row = UnsafeRawBufferPointer(start: source.row(shape.borrowedChannel(kvHead)), count: width)
      UnsafeMutableRawBufferPointer(rebasing: bytes[(kvHead * width)...]).copyMemory(from: row)
    }
    return TensorView(
      type: source.type, shape: borrowed.shape,
      bytes: UnsafeRawBufferPointer(rebasing: bytes[..<(shape.kvHeads * width)]))
  }
}
