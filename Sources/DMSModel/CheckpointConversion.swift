// A checkpoint written again with its weights in another form, once and for all: what loading would make in memory, the next
// loading maps. How blocks lie in files: StoredBlocks.swift.

import DMSCheckpoint
import DMSKernels
import DMSPlatform
import DMSTensor

/// Writes model folders. The same matrices change form as when a `Decoder` converts them, to the same bits; norms, biases and
/// what decides evictions are copied. Tensors that a decoder does not use are left out.
public struct CheckpointConversion {
  /// Receives the share of the weights that is written.
  public var progress: ((Double) -> Void)?
  /// Asked between matrices; `true` ends the writing with `CancellationError`.
  public var isCancelled: () -> Bool = { false }
  private let format: WeightFormat
  private let machine: Machine

  /// A conversion to a form, on a machine's threads. `asStored` copies the matrices of a folder, and widens the blocks of a
  /// GGUF file.
  public init(to format: WeightFormat, on machine: Machine) {
    self.format = format
    self.machine = machine
  }

  /// A tensor of the model, in the form that it has there.
  private struct Source {
    let tensor: DecoderTensor
    let weights: Weights
    var count: Int { weights.rows * weights.columns }
    var type: ElementType { if case .stored(let matrix) = weights { matrix.type } else { .f32 } }
  }

  /// Writes `folder`: weights, configuration, and copies of the tokenizer and its like. Takes the memory of one matrix.
  ///
  /// - Returns: bytes of the weights.
  /// - Throws: `InputError` if `folder` exists, for tensors that are missing or hold numbers that are not finite, and for a
  ///   disk without room;
  ///   `CancellationError`. Nothing is left behind then.
  public func write(_ model: ModelSource, to folder: String) throws -> Int {
    if let stored = model.configuration.blocks {
      throw InputError(
        "the weights are in \(stored.format.rawValue) blocks already", at: model.path,
        remedy: "use the checkpoint that they were made of")
    }
    // Rows that are kept apart or in another order lie in its memory.
    let asStored = WeightConversion(.asStored, pool: machine.pool, total: 0, progress: nil)
    defer { withExtendedLifetime(asStored) {} }
    let sources = try sources(of: model, asStored)
    let output = try CheckpointFolder(folder)
    try output.writeCompanions(of: model)
    try output.writeConfiguration(
      model.configurationKeys(), type: format.type,
      blocks: format.blocks.map { StoredBlocks($0, parameters: parameters(sources)) })
    let tensors = declarations(sources)
    let writer = try SafetensorsWriter(
      path: output.partial + "/model.safetensors", tensors: tensors, metadata: ["format": "pt"], order: .asDeclared)
    let total = sources.reduce(0) { $0 + ($1.tensor.use == .converted ? $1.count : 0) }
    let conversion = WeightConversion(format, pool: machine.pool, total: total, progress: progress)
    for source in sources {
      if isCancelled() { throw CancellationError() }
      try write(source, conversion, of: model.path, to: writer)
    }
    try writer.finish()
    try output.finish()
    return tensors.reduce(0) { $0 + $1.shape.reduce(1, *) * $1.type.size }
  }

  /// What a decoder takes, in its order.
  private func sources(of model: ModelSource, _ asStored: WeightConversion) throws -> [Source] {
    let source = WeightSource(model.configuration, model, asStored, keepsBorrowed: format.blocks != nil)
    return try source.tensors.all.compactMap { tensor in
      if tensor.use == .borrowed {
        return try source.borrowedRows(tensor.layer).map { Source(tensor: tensor, weights: $0) }
      }
      let (weights, owner) = try source.ordered(tensor, of: model)
      owner.map(asStored.keep)
      return Source(tensor: tensor, weights: weights)
    }
  }

  private func parameters(_ sources: [Source]) -> Int {
    sources.reduce(0) { $0 + ($1.tensor.use == .borrowed ? 0 : $1.count) }
  }

  /// Blocks first, then scales, then numbers by their size: every size is a multiple of the alignment of what follows.
  private func declarations(_ sources: [Source]) -> [SafetensorsWriter.Declaration] {
    var (blocks, scales): ([SafetensorsWriter.Declaration], [SafetensorsWriter.Declaration]) = ([], [])
    var numbers: [SafetensorsWriter.Declaration] = []
    for source in sources {
      if source.tensor.use == .converted, let format = format.blocks {
        let pair = StoredBlocks.declarations(
          source.tensor.name, format, rows: source.weights.rows, columns: source.weights.columns)
        blocks.append(pair.blocks)
        scales.append(pair.scales)
      } else {
        numbers.append(.init(source.tensor.name, self.format(of: source).type ?? source.type, source.tensor.shape))
      }
    }
    return blocks + scales + numbers.filter { $0.type.size == 4 } + numbers.filter { $0.type.size != 4 }
  }

  /// What keeps its form is written as numbers all the same.
  private func format(of source: Source) -> WeightFormat {
    if case .ggml = source.weights, source.tensor.use != .converted || format == .asStored { return .f32 }
    return source.tensor.use == .converted ? format : .asStored
  }

  private func write(
    _ source: Source, _ conversion: WeightConversion, of path: String, to writer: SafetensorsWriter
  ) throws {
    let name = source.tensor.name
    let format = format(of: source)
    let own = format == conversion.format ? conversion : .init(format, pool: machine.pool, total: 0, progress: nil)
    guard let (weights, bytes) = try own.converted(source.weights, name, of: path) else {
      guard FiniteScan.areFinite(source.weights, on: machine.pool) else { throw Checkpoint.notFinite(name, at: path) }
      return try writer.write(source.weights.allBytes, to: name)
    }
    try withExtendedLifetime(bytes) {
      if case .blocks(let matrix) = weights {
        try StoredBlocks.write(matrix, name, to: writer)
      } else {
        try writer.write(weights.allBytes, to: name)
      }
    }
  }
}
