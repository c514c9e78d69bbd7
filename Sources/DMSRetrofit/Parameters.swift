// The numbers of a decoder in fp32, as training wants them: one buffer, in which tensors that are multiplied together lie
// together. Their order is here and nowhere else in this module; their names and shapes: DecoderTensors.swift.
//
// C hidden · H query heads · G KV heads · D head dim · F MLP size · V vocabulary

import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import DMSTensor

/// A tensor of the decoder and its place in the buffer.
public struct ParameterTensor: Sendable {
  let tensor: DecoderTensor
  /// Its first number in the buffer.
  public let offset: Int
  /// As in checkpoints.
  public var name: String { tensor.name }
  /// Of the tensor.
  public var shape: [Int] { tensor.shape }
  var role: DecoderTensor.Role { tensor.role }
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
    let table = DecoderTensors(shape)
    // What every decoder has.
    func add(_ roles: DecoderTensor.Role..., layer: Int? = nil) -> Int { addIfAny(roles, .weight, layer) ?? count }
    func addIfAny(
      _ roles: [DecoderTensor.Role], _ part: DecoderTensor.Part = .weight, _ layer: Int?
    ) -> Int? {
      let first = count
      for tensor in roles.compactMap({ table[$0, part, layer: layer] }) {
        tensors.append(ParameterTensor(tensor: tensor, offset: count))
        count += tensor.shape.reduce(1, *)
      }
      return count > first ? first : nil
    }
    embedding = add(.embedding)
    for index in 0..<shape.layers {
      var layer = Layer()
      layer.inputNorm = add(.inputNorm, layer: index)
      layer.projection = add(.query, .key, .value, layer: index)
      layer.projectionBias = addIfAny([.query, .key, .value], .bias, index)
      layer.queryNorm = addIfAny([.queryNorm], .weight, index)
      layer.keyNorm = addIfAny([.keyNorm], .weight, index)
      layer.alpha = addIfAny([.decision], .weight, index)
      layer.alphaBias = addIfAny([.decision], .bias, index)
      layer.alphaNorm = addIfAny([.decisionNorm], .weight, index)
      layer.output = add(.output, layer: index)
      layer.outputBias = addIfAny([.output], .bias, index)
      layer.mlpNorm = add(.mlpNorm, layer: index)
      layer.gateUp = add(.gate, .up, layer: index)
      layer.gateUpBias = addIfAny([.gate, .up], .bias, index)
      layer.down = add(.down, layer: index)
      layer.downBias = addIfAny([.down], .bias, index)
      layers.append(layer)
    }
    finalNorm = add(.finalNorm)
    head = shape.tiedEmbeddings ? embedding : add(.head)
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
      if [.decision, .decisionNorm].contains(tensor.role), checkpoint.configuration.dms?.separateAlpha != true {
        out.update(repeating: tensor.role.isNorm ? 1 : 0, count: tensor.count)
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
        out.update(repeating: tensor.role.isNorm ? 1 : 0, count: tensor.count)
        continue
      }
      var deviation = 1 / Double(tensor.width).squareRoot()
      if tensor.role == .embedding, !shape.tiedEmbeddings { deviation = 0.3 }
      if [.output, .down].contains(tensor.role) {
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
