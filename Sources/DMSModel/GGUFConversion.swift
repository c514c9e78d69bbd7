// A model written as a GGUF file, for llama.cpp's readers and for this program. Which keys say what: GGUFKeys.swift.

import DMSCheckpoint
import DMSKernels
import DMSPlatform
import DMSTensor
import DMSText
import Glibc

/// Writes GGUF files. Linear maps are rounded; norms, biases and what decides evictions are not.
public struct GGUFConversion {
  /// Receives the share of the weights that is written.
  public var progress: ((Double) -> Void)?
  /// Asked between tensors; `true` ends the writing with `CancellationError`.
  public var isCancelled: () -> Bool = { false }
  private let type: GGMLType
  private let machine: Machine

  /// A conversion to a form, on a machine's threads.
  ///
  /// - Precondition: a format other than `asStored`. q8 is llama.cpp's Q8_0, and q4 its Q4_0.
  public init(to format: WeightFormat, on machine: Machine) {
    switch format {
    case .f32: type = .f32
    case .f16: type = .f16
    case .bf16: type = .bf16
    case .q8: type = .q8_0
    case .q4: type = .q4_0
    case .asStored: preconditionFailure("a form to write")
    }
    self.machine = machine
  }

  /// Writes a file. Takes the memory of one matrix.
  ///
  /// - Returns: bytes of the weights.
  /// - Throws: `InputError` if `path` exists, for a model that GGUF has no words for, for tensors that are missing or hold
  ///   numbers that are not finite, and for a disk without room; `CancellationError`. Nothing is left behind then.
  public func write(_ model: ModelSource, to path: String) throws -> Int {
    var status = stat()
    guard lstat(path, &status) != 0 else {
      throw InputError("exists already", at: path, remedy: "give a new name, or remove it first")
    }
    let conversion = WeightConversion(.asStored, pool: machine.pool, total: 0, progress: nil)
    let source = WeightSource(model.configuration, model, conversion, keepsBorrowed: true)
    let factors = model.configuration.frequencyFactors()
    let types = try source.tensors.all.map { try type(of: $0, in: source) }
    var tensors = zip(source.tensors.all, types).map { GGUFWriter.Declaration($0.ggufName, $1, $0.shape) }
    if let factors { tensors.insert(.init("rope_freqs.weight", .f32, [factors.count]), at: 1) }
    let keys = try model.ggufKeys(type)
    let writer = try GGUFWriter(path: path, keys: keys, tensors: tensors)
    try factors?.withUnsafeBytes { try writer.write($0, to: "rope_freqs.weight") }
    let total = source.tensors.all.reduce(0) { $0 + $1.shape.reduce(1, *) }
    var done = 0
    for (tensor, type) in zip(source.tensors.all, types) {
      if isCancelled() { throw CancellationError() }
      try write(tensor, type, source, model, to: writer)
      done += tensor.shape.reduce(1, *)
      progress?(Double(done) / Double(max(1, total)))
    }
    try writer.finish()
    return tensors.reduce(0) { $0 + $1.bytes }
  }

  /// The head decides between tokens that differ by little: it keeps 8 bits. Rows that are not whole blocks are written in F16.
  private func type(of tensor: DecoderTensor, in source: WeightSource) throws -> GGMLType {
    switch tensor.use {
    case .kept: return .f32
    case .borrowed:
      if case .stored(let matrix)? = try source.borrowedRows(tensor.layer), matrix.type != .f32 {
        return matrix.type == .f16 ? .f16 : .bf16
      }
      return .f32
    case .converted:
      let isHead = tensor.role == .head || (tensor.role == .embedding && source.shape.tiedEmbeddings)
      let wanted = type == .q4_0 && isHead ? .q8_0 : type
      return tensor.shape[1] % wanted.block.elements == 0 ? wanted : .f16
    }
  }

  private func write(
    _ tensor: DecoderTensor, _ type: GGMLType, _ source: WeightSource, _ model: ModelSource, to writer: GGUFWriter
  ) throws {
    let (weights, owner): (Weights, OwnedBytes?)
    if tensor.use == .borrowed {
      guard let rows = try source.borrowedRows(tensor.layer) else { return }
      (weights, owner) = (rows, nil)
    } else {
      (weights, owner) = try source.ordered(tensor, of: model)
    }
    try withExtendedLifetime((owner, source.conversion)) {
      guard FiniteScan.areFinite(weights, on: machine.pool) else {
        throw Checkpoint.notFinite(model.name(of: tensor), at: model.path)
      }
      let bytes = OwnedBytes(weights.rows * weights.columns / type.block.elements * type.block.bytes)
      let order = model.configuration.interleavedHeads(tensor).map { heads in
        let headDim = weights.rows / heads
        return { @Sendable row in row / headDim * headDim + Self.interleaved(row % headDim, headDim) }
      }
      let work = GGMLQuantization(weights, type, order: order, to: bytes.buffer)
      machine.pool.run(tasks: work.tasks, work)
      let stored = Weights(
        type, rows: weights.rows, columns: weights.columns, bytes: UnsafeRawBufferPointer(bytes.buffer))
      guard FiniteScan.areFinite(stored, on: machine.pool) else {
        throw InputError(
          "tensor \(quoted(model.name(of: tensor))) holds numbers too large for \(type.name)", at: model.path,
          remedy: "use bf16")
      }
      try writer.write(UnsafeRawBufferPointer(bytes.buffer), to: tensor.ggufName)
    }
  }

  /// Where llama.cpp has row h · D / 2 + j of a head: at 2j + h.
  private static func interleaved(_ row: Int, _ headDim: Int) -> Int { row % (headDim / 2) * 2 + row / (headDim / 2) }
}
