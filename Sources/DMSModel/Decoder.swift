// A loaded model: its shape and its weights. It is only read, so engines can share one.

import DMSCheckpoint
import DMSKernels
import DMSPlatform
import DMSTensor

/// The decoder of a model, ready to run. Weights stay mapped in their stored types unless another form is asked for.
public final class Decoder: @unchecked Sendable {
  /// How a model is loaded.
  public struct Options {
    /// F32, or BF16 to compute what a reference model does whose rotary frequencies were rounded with its weights
    /// (`model.to(torch.bfloat16)` in PyTorch; `from_pretrained` does not round them).
    public var rotaryType = ElementType.f32
    /// The form of the linear maps' weights. Any but the stored one is made in memory, on all threads. Weights that are
    /// stored in blocks cannot have another.
    public var weights = WeightFormat.asStored
    /// How weights in blocks are multiplied.
    public var arithmetic = Arithmetic.fast
    /// Receives the share of the weights that is converted.
    public var progress: ((Double) -> Void)?

    /// Weights as they are stored, rotary frequencies in F32.
    public init() {}
  }

  /// The model's shape and its DMS settings.
  public let configuration: ModelConfiguration
  /// The form of the linear maps' weights: q8 or q4 where they are stored so, too.
  public let weightFormat: WeightFormat
  let weights: DecoderWeights
  /// Radians per position of each channel pair, `[D / 2]`.
  let frequencies: [Float]
  /// `nil`: its weights are random.
  let model: ModelSource?
  /// How far the weights are from those that the adapter was trained on, in parts of their size.
  let distanceFromBase: Float
  /// How weights are multiplied; `exact` if none of them are in blocks.
  public let arithmetic: Arithmetic

  /// Loads a model. Weights that keep their form stay mapped and take no memory of their own.
  ///
  /// - Parameter machine: whose threads convert weights.
  /// - Throws: `InputError` for a tensor that is missing, has the wrong shape or type, or is converted and holds numbers that
  ///   are not finite. Those that stay mapped are not read here.
  public convenience init(_ model: ModelSource, on machine: Machine, _ options: Options = Options()) throws {
    let distance = try model.distanceFromBase()
    try self.init(model.configuration, model, machine, options, distanceFromBase: distance)
  }

  /// A decoder of this shape with random weights (BF16 where they are to be as stored), for measuring speed.
  ///
  /// - Parameter machine: whose threads make the weights.
  /// - Throws: `InputError` for lack of memory.
  public convenience init(random shape: ModelConfiguration, on machine: Machine, _ options: Options = Options()) throws
  {
    try self.init(shape, nil, machine, options)
  }

  private init(
    _ shape: ModelConfiguration, _ model: ModelSource?, _ machine: Machine, _ options: Options,
    distanceFromBase: Float = 0
  ) throws {
    self.model = model
    self.distanceFromBase = distanceFromBase
    configuration = shape
    weightFormat = try options.weights.resolved(for: shape, storedIn: model?.path)
    var repacks = false
    if case .file? = model?.container { repacks = weightFormat == .asStored && options.arithmetic == .fast }
    if repacks {
      try MemoryLimits.require(
        model?.weightBytes ?? 0, for: "memory for weights in the order that fast products read",
        remedy: "use --arithmetic exact, which maps them")
    }
    let bits = weightFormat.bits ?? (model == nil ? 16 : nil)
    if let bits, model == nil || (weightFormat.type != shape.storedType && shape.blocks == nil) {
      try MemoryLimits.require(
        Int(Double(shape.parameters) * bits / 8), for: "memory for weights in \(weightFormat.rawValue)",
        remedy: "use --weights q4, or write them once with dms quantize")
    }
    let conversion = WeightConversion(
      weightFormat, repacks: repacks, pool: machine.pool,
      total: model?.parameters ?? shape.parameters, progress: options.progress)
    weights = try DecoderWeights(
      WeightSource(shape, model, conversion, keepsBorrowed: weightFormat.blocks != nil || repacks))
    arithmetic = weights.hasBlocks ? options.arithmetic : .exact
    // Norms and biases are counted in the total, and not converted.
    if weightFormat != .asStored, shape.blocks == nil { options.progress?(1) }
    var frequencies = configuration.rope.frequencies(headDim: configuration.headDim)
    frequencies.withUnsafeMutableBufferPointer { buffer in
      if let base = buffer.baseAddress { round(base, buffer.count, to: options.rotaryType) }
    }
    self.frequencies = frequencies
  }

  /// Bytes of weights that a decode step reads, whatever the number of its sequences.
  public var stepBytes: Int { weights.stepBytes }

  /// Bytes of all matrices, the embedding too.
  public var weightBytes: Int { weights.bytes }

  var computesInF32: Bool {
    if case .stored(let matrix) = weights.embedding { return matrix.type == .f32 }
    return false
  }

  /// A number that tells checkpoints of equal shape apart: a hash of samples of the weights. Cost: reads a thousand
  /// places of each of them.
  public var fingerprint: UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325  // FNV-1a
    func add(_ weights: Weights) {
      for offset in stride(from: 0, to: weights.bytes, by: max(1, weights.bytes / 997)) {
        hash = (hash ^ UInt64(weights.byte(at: offset))) &* 0x100_0000_01B3
      }
    }
    add(weights.embedding)
    for layer in weights.layers {
      add(layer.query.weights)
      add(layer.down.weights)
    }
    return hash
  }
}
