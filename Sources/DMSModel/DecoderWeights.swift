// The weights of a decoder in the forms that its kernels want. Their names and shapes: DecoderTensors.swift.

import DMSCheckpoint
import DMSKernels
import DMSPlatform
import DMSTensor

/// A linear map in the form that was asked for, with its bias in fp32.
struct Linear {
  let weights: Weights
  let bias: FloatBuffer?

  var isInBlocks: Bool { if case .blocks = weights { true } else { false } }
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
  /// Whether any of query, key and value is in blocks; whether gate or up is.
  let projectsInBlocks: Bool
  let feedsInBlocks: Bool

  init(_ source: WeightSource, layer: Int) throws {
    inputNorm = try source.vector(.inputNorm, layer)
    query = try source.linear(.query, layer)
    borrowed = query.isInBlocks ? try source.borrowed(layer) : nil
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
    projectsInBlocks = query.isInBlocks || key.isInBlocks || value.isInBlocks
    feedsInBlocks = gate.isInBlocks || up.isInBlocks
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
    embedding = try source.embedding()
    layers = try (0..<source.shape.layers).map { try LayerWeights(source, layer: $0) }
    finalNorm = try source.vector(.finalNorm)
    head = try source.ifAny(.head, nil, source.matrix) ?? source.tiedHead(embedding)
    owned = source.conversion.owned
    isTied = source.shape.tiedEmbeddings
  }
}

extension DecoderWeights {
  /// Bytes of all matrices.
  var bytes: Int { stepBytes + (isTied ? 0 : embedding.bytes) }

  /// Whether products with any of them round vectors, where that is wanted.
  var hasBlocks: Bool {
    if case .blocks = head { return true }
    return layers.contains { $0.projectsInBlocks || $0.output.isInBlocks || $0.feedsInBlocks || $0.down.isInBlocks }
  }

  /// Bytes that a decode step reads, whatever the number of its sequences.
  var stepBytes: Int {
    layers.reduce(head.bytes) { sum, layer in
      [layer.query, layer.key, layer.value, layer.output, layer.gate, layer.up, layer.down].reduce(sum) {
        $0 + $1.weights.bytes
      }
    }
  }
}

/// Takes tensors from a model, or from nowhere, in the forms that the decoder wants.
struct WeightSource {
  let shape: ModelConfiguration
  let tensors: DecoderTensors
  /// `nil`: the weights are random.
  let model: ModelSource?
  let conversion: WeightConversion
  /// Whether linear maps are to be in blocks, and the rows that decide are kept apart from them.
  let keepsBorrowed: Bool

  init(_ shape: ModelConfiguration, _ model: ModelSource?, _ conversion: WeightConversion, keepsBorrowed: Bool) {
    self.shape = shape
    self.model = model
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
    guard let model else {
      return conversion.random(tensor.shape[0], tensor.shape[1], converted: tensor.use == .converted)
    }
    let (weights, bytes) = try ordered(tensor, of: model)
    // A copy is read until the conversion has ended.
    defer { withExtendedLifetime(bytes) {} }
    if tensor.use == .converted,
      let (result, owned) = try conversion.converted(weights, model.name(of: tensor), of: model.path)
    {
      conversion.keep(owned)
      // What has been converted is not read again: one form of it in memory is enough.
      MappedFile.letGo(of: try model.weights(tensor).allBytes)
      return result
    }
    bytes.map(conversion.keep)
    return weights
  }

  /// `[vocabulary, hidden]`, to look up rows in: repacking would not help that.
  func embedding() throws -> Weights {
    guard let model, conversion.repacks, let tensor = tensors[.embedding] else { return try matrix(.embedding) }
    return try model.weights(tensor)
  }

  /// The embedding as a linear map.
  func tiedHead(_ embedding: Weights) throws -> Weights { conversion.repacks ? try matrix(.embedding) : embedding }

  /// A tensor as it is stored, its rows in the order of Hugging Face's: a copy where the container has another.
  func ordered(_ tensor: DecoderTensor, of model: ModelSource) throws -> (weights: Weights, bytes: OwnedBytes?) {
    let stored = try model.weights(tensor)
    guard let heads = model.interleavedHeads(tensor) else { return (stored, nil) }
    let (source, width) = (stored.allBytes, stored.bytes / max(1, stored.rows))
    let bytes = OwnedBytes(stored.bytes)
    for row in 0..<stored.rows {
      let place = deinterleaved(row, headDim: stored.rows / heads)
      UnsafeMutableRawBufferPointer(rebasing: bytes.buffer[(place * width)...])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[row * width..<(row + 1) * width]))
    }
    return (stored.moved(to: UnsafeRawBufferPointer(rebasing: bytes.buffer[..<stored.bytes])), bytes)
  }

  /// Where Hugging Face has a row of a container that interleaves the halves of every head.
  private func deinterleaved(_ row: Int, headDim: Int) -> Int {
    let (head, place) = (row / headDim, row % headDim)
    return head * headDim + place % 2 * (headDim / 2) + place / 2
  }

  /// A small tensor as an fp32 copy; ones, if the weights are random.
  func vector(_ role: DecoderTensor.Role, _ layer: Int? = nil) throws -> FloatBuffer {
    try vector(tensor(role, layer))
  }

  private func vector(_ tensor: DecoderTensor) throws -> FloatBuffer {
    let count = tensor.shape[0]
    let buffer = FloatBuffer(count)
    guard let model else {
      buffer.base.update(repeating: 1, count: count)
      return buffer
    }
    let (stored, owner) = try ordered(tensor, of: model)
    return try withExtendedLifetime(owner) {
      widen(stored, rows: 0..<count, to: buffer.base)
      guard FiniteScan.areFinite(stored, on: conversion.pool) else {
        throw Checkpoint.notFinite(model.name(of: tensor), at: model.path)
      }
      return buffer
    }
  }

  func linear(_ role: DecoderTensor.Role, _ layer: Int?) throws -> Linear {
    Linear(weights: try matrix(role, layer), bias: try tensors[role, .bias, layer: layer].map(vector))
  }

  /// The borrowed channels' rows of a query projection, in their stored type; `nil` unless they are kept apart.
  func borrowed(_ layer: Int) throws -> Linear? {
    guard let rows = try borrowedRows(layer) else { return nil }
    guard let bias = tensors[.query, .bias, layer: layer] else { return Linear(weights: rows, bias: nil) }
    let (all, buffer) = (try vector(bias), FloatBuffer(shape.kvHeads))
    for kvHead in 0..<shape.kvHeads { buffer.base[kvHead] = all.base[shape.borrowedChannel(kvHead)] }
    return Linear(weights: rows, bias: buffer)
  }

  /// `[G, hidden]`. An eviction cannot be taken back, and these few rows decide it: they are not worth rounding.
  func borrowedRows(_ layer: Int?) throws -> Weights? {
    guard let model, keepsBorrowed, let borrowed = tensors[.query, .borrowed, layer: layer] else { return nil }
    if shape.blocks != nil || model.has(borrowed) { return try model.weights(borrowed) }
    let (query, owner) = try ordered(tensor(.query, layer), of: model)
    return withExtendedLifetime(owner) {
      let (source, width) = (query.allBytes, query.bytes / max(1, query.rows))
      let bytes = conversion.bytes(shape.kvHeads * width)
      for kvHead in 0..<shape.kvHeads {
        let row = shape.borrowedChannel(kvHead)
        UnsafeMutableRawBufferPointer(rebasing: bytes[(kvHead * width)...])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[row * width..<(row + 1) * width]))
      }
      return query.moved(to: UnsafeRawBufferPointer(rebasing: bytes[..<(shape.kvHeads * width)]), rows: shape.kvHeads)
    }
  }
}

extension Weights {
  /// All bytes of plain numbers or of a GGUF file's blocks.
  /// - Precondition: not in this program's own blocks, whose scales lie apart.
  var allBytes: UnsafeRawBufferPointer {
    switch self {
    case .stored(let matrix): UnsafeRawBufferPointer(start: matrix.base, count: matrix.bytes)
    case .ggml(let matrix): UnsafeRawBufferPointer(start: matrix.base, count: matrix.bytes)
    case .blocks: preconditionFailure("numbers, or rows of blocks")
    }
  }

  /// The same kind of rows in other memory.
  fileprivate func moved(to bytes: UnsafeRawBufferPointer, rows: Int? = nil) -> Weights {
    switch self {
    case .stored(let matrix):
      .stored(Matrix(TensorView(type: matrix.type, shape: [rows ?? matrix.rows, matrix.columns], bytes: bytes)))
    case .ggml(let matrix):
      .ggml(GGMLMatrix(matrix.type, rows: rows ?? matrix.rows, columns: matrix.columns, bytes: bytes))
    case .blocks: preconditionFailure("numbers, or rows of blocks")
    }
  }
}
