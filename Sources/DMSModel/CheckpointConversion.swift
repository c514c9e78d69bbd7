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

  /// A conversion to a form, on a machine's threads.
  ///
  /// - Precondition: a format other than `asStored`.
  public init(to format: WeightFormat, on machine: Machine) {
    precondition(format != .asStored, "a form to write")
    self.format = format
    self.machine = machine
  }

  /// A tensor of the checkpoint, in the form that it has there.
  private struct Source {
    let tensor: DecoderTensor
    let view: TensorView
    var name: String { tensor.name }
    var isConverted: Bool { tensor.use == .converted }
  }

  /// Writes `folder`: weights, configuration, and copies of the tokenizer and its like. Takes the memory of one matrix.
  ///
  /// - Returns: bytes of the weights.
  /// - Throws: `InputError` if `folder` exists, for tensors that are missing or hold numbers that are not finite, and for a
  ///   disk without room;
  ///   `CancellationError`. Nothing is left behind then.
  public func write(_ checkpoint: Checkpoint, to folder: String) throws -> Int {
    let shape = checkpoint.configuration
    if let stored = shape.blocks {
      throw InputError(
        "the weights are in \(stored.format.rawValue) blocks already", at: checkpoint.folder,
        remedy: "use the checkpoint that they were made of")
    }
    // The rows that are kept apart lie in its memory.
    let asStored = WeightConversion(.asStored, pool: machine.pool, total: 0, progress: nil)
    defer { withExtendedLifetime(asStored) {} }
    let sources = try sources(of: checkpoint, asStored)
    let output = try CheckpointFolder(folder)
    try output.copyCompanions(of: checkpoint.folder)
    try output.writeConfiguration(
      of: checkpoint.folder, type: format.type,
      blocks: format.blocks.map { StoredBlocks($0, parameters: parameters(sources)) })
    let tensors = declarations(sources)
    let writer = try SafetensorsWriter(
      path: output.partial + "/model.safetensors", tensors: tensors, metadata: ["format": "pt"], order: .asDeclared)
    let total = sources.reduce(0) { $0 + ($1.isConverted ? $1.view.count : 0) }
    let conversion = WeightConversion(format, pool: machine.pool, total: total, progress: progress)
    for source in sources {
      if isCancelled() { throw CancellationError() }
      try write(source, conversion, of: checkpoint.folder, to: writer)
    }
    try writer.finish()
    try output.finish()
    return tensors.reduce(0) { $0 + $1.shape.reduce(1, *) * $1.type.size }
  }

  /// What a decoder takes, in its order.
  private func sources(of checkpoint: Checkpoint, _ asStored: WeightConversion) throws -> [Source] {
    let source = WeightSource(checkpoint.configuration, checkpoint, asStored, keepsBorrowed: format.blocks != nil)
    return try source.tensors.all.compactMap { tensor in
      let view =
        tensor.use == .borrowed
        ? try source.borrowedRows(tensor.layer) : try checkpoint.tensor(tensor.name, shape: tensor.shape)
      return view.map { Source(tensor: tensor, view: $0) }
    }
  }

  private func parameters(_ sources: [Source]) -> Int {
    sources.reduce(0) { $0 + ($1.tensor.use == .borrowed ? 0 : $1.view.count) }
  }

  /// Blocks first, then scales, then numbers by their size: every size is a multiple of the alignment of what follows.
  private func declarations(_ sources: [Source]) -> [SafetensorsWriter.Declaration] {
    var (blocks, scales): ([SafetensorsWriter.Declaration], [SafetensorsWriter.Declaration]) = ([], [])
    var numbers: [SafetensorsWriter.Declaration] = []
    for source in sources {
      if source.isConverted, let format = format.blocks {
        let pair = StoredBlocks.declarations(
          source.name, format, rows: source.view.shape[0], columns: source.view.shape[1])
        blocks.append(pair.blocks)
        scales.append(pair.scales)
      } else {
        let type = source.isConverted ? format.type : nil
        numbers.append(.init(source.name, type ?? source.view.type, source.view.shape))
      }
    }
    return blocks + scales + numbers.filter { $0.type.size == 4 } + numbers.filter { $0.type.size != 4 }
  }

  private func write(
    _ source: Source, _ conversion: WeightConversion, of folder: String, to writer: SafetensorsWriter
  ) throws {
    guard source.isConverted, let (weights, bytes) = try conversion.converted(source.view, source.name, of: folder)
    else {
      guard FiniteScan.areFinite(source.view, on: machine.pool) else {
        throw Checkpoint.notFinite(source.name, at: folder)
      }
      return try writer.write(source.view.bytes, to: source.name)
    }
    try withExtendedLifetime(bytes) {
      switch weights {
      case .stored(let matrix):
        try writer.write(UnsafeRawBufferPointer(start: matrix.base, count: matrix.bytes), to: source.name)
      case .blocks(let matrix): try StoredBlocks.write(matrix, source.name, to: writer)
      }
    }
  }
}
