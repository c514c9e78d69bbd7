// In which form the weights of linear maps are computed with: as the checkpoint stores them, or converted when it is loaded.

import DMSCheckpoint
import DMSKernels
import DMSPlatform
import DMSTensor

/// The form that the weights of linear maps have in memory. Norms, biases and the adapter's decision projection always
/// stay as they are; so do, beside the blocks of a query projection, its rows that are borrowed for decisions.
public enum WeightFormat: String, Sendable, CaseIterable {
  /// What the checkpoint has: numbers, or blocks.
  case asStored = "as-stored"
  /// Numbers of 32 or 16 bits.
  case f32, bf16, f16
  /// Blocks of 32 with a scale: 8.5 and 4.5 bits per weight.
  case q8, q4

  /// `nil` where nothing is to be converted into blocks.
  var blocks: BlockFormat? {
    switch self {
    case .q8: .q8
    case .q4: .q4
    default: nil
    }
  }

  package var type: ElementType? {
    switch self {
    case .f32: .f32
    case .bf16: .bf16
    case .f16: .f16
    default: nil
    }
  }

  /// Bits of a weight in memory; `nil` for those that stay as they are.
  var bits: Double? {
    switch self {
    case .asStored: nil
    case .q8: 8.5
    case .q4: 4.5
    case .f32, .bf16, .f16: Double(type?.bits ?? 0)
    }
  }

  /// - Parameter blocks: one of the own formats.
  init(_ blocks: BlockFormat) { self = blocks == .q8 ? .q8 : .q4 }

  /// What it means for a model of this shape: weights stored in blocks are in these blocks.
  ///
  /// - Parameter folder: where the weights are; `nil` if there are none, and any form can be drawn.
  func resolved(for shape: ModelConfiguration, storedIn folder: String?) throws -> WeightFormat {
    guard let stored = shape.blocks else { return self }
    if self == .asStored || self == WeightFormat(stored.format) { return WeightFormat(stored.format) }
    guard let folder else { return self }
    throw InputError(
      "the weights are stored in \(stored.format.rawValue) blocks and cannot become \(rawValue)", at: folder,
      remedy: "leave --weights out, or use the checkpoint that it was made of")
  }
}

/// How weights in blocks are multiplied; plain numbers always are as they are.
public enum Arithmetic: String, Sendable, CaseIterable {
  /// As what they stand for, with vectors in fp32.
  case exact
  /// With vectors rounded to 8 bits, in integers.
  case fast
}

/// Converts matrices as they are loaded, on all threads, and keeps what it made.
final class WeightConversion {
  let format: WeightFormat
  /// Whether blocks of GGUF files that keep their numbers are put in the order that products read.
  let repacks: Bool
  private(set) var owned: [OwnedBytes] = []
  let pool: ThreadPool
  private let total: Int
  private var done = 0
  private let progress: ((Double) -> Void)?

  /// - Parameters:
  ///   - total: numbers of all matrices, for the progress.
  ///   - progress: receives the share that is done, after every matrix.
  init(
    _ format: WeightFormat, repacks: Bool = false, pool: ThreadPool, total: Int, progress: ((Double) -> Void)?
  ) {
    self.format = format
    self.repacks = repacks
    self.pool = pool
    self.total = total
    self.progress = progress
  }

  /// A matrix in the form that is asked for, and the memory that it lies in. `nil` if it has that form.
  /// - Throws: `InputError` naming the tensor if it holds numbers that are not finite, or none of the form.
  func converted(_ source: Weights, _ name: String, of path: String) throws -> (weights: Weights, bytes: OwnedBytes)? {
    switch source {
    case .blocks: return nil
    case .ggml(let matrix) where format == .asStored && repacks: return repacked(matrix)
    default: break
    }
    guard changes(source) else { return converted(source) }
    guard FiniteScan.areFinite(source, on: pool) else { throw Checkpoint.notFinite(name, at: path) }
    let result = converted(source)
    if case .stored? = result?.weights, let weights = result?.weights, !FiniteScan.areFinite(weights, on: pool) {
      throw InputError(
        "tensor \"\(name)\" holds numbers too large for \(format.rawValue)", at: path, remedy: "use bf16, q8 or q4")
    }
    return result
  }

  /// `nil` for a type that the layout does not hold.
  private func repacked(_ source: GGMLMatrix) -> (weights: Weights, bytes: OwnedBytes)? {
    guard let format = BlockFormat(holding: source.type) else { return nil }
    let bytes = OwnedBytes(BlockMatrix.bytes(format, rows: source.rows, columns: source.columns))
    let work = BlockRepacking(source, format, to: bytes.buffer)
    pool.run(tasks: work.tasks, work)
    return (.blocks(work.result), bytes)
  }

  private func changes(_ source: Weights) -> Bool {
    switch (source, format.type) {
    case (.stored(let matrix), let type?): type != matrix.type
    default: format != .asStored
    }
  }

  /// Memory that lives as long as what was converted.
  func bytes(_ count: Int) -> UnsafeMutableRawBufferPointer {
    let bytes = OwnedBytes(count)
    keep(bytes)
    return bytes.buffer
  }

  func keep(_ bytes: OwnedBytes) { owned.append(bytes) }

  /// As above, of numbers that are finite.
  func converted(_ source: Weights) -> (weights: Weights, bytes: OwnedBytes)? {
    defer {
      done += source.rows * source.columns
      progress?(Double(done) / Double(max(1, total)))
    }
    if let blocks = format.blocks {
      let bytes = OwnedBytes(BlockMatrix.bytes(blocks, rows: source.rows, columns: source.columns))
      let work = BlockQuantization(source, blocks, to: bytes.buffer)
      pool.run(tasks: work.tasks, work)
      return (.blocks(work.result), bytes)
    }
    guard changes(source), let type = format.type else { return nil }
    let bytes = OwnedBytes(source.rows * source.columns * type.size)
    let view = TensorView(
      type: type, shape: [source.rows, source.columns],
      bytes: UnsafeRawBufferPointer(rebasing: bytes.buffer[..<(source.rows * source.columns * type.size)]))
    let work = TypeConversion(source, to: Matrix(view))
    pool.run(tasks: work.tasks, work)
    return (.stored(Matrix(view)), bytes)
  }
}

/// Rows from one stored type to another, rounded to nearest even.
private struct TypeConversion: ParallelWork {
  static let rowsPerTask = 64
  let source: Weights
  let result: Matrix

  init(_ source: Weights, to result: Matrix) {
    self.source = source
    self.result = result
  }

  var tasks: Int { (source.rows + Self.rowsPerTask - 1) / Self.rowsPerTask }

  func run(task: Int, worker: Int) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: max(1, source.columns)) { numbers in
      guard let numbers = numbers.baseAddress else { return }
      for row in task * Self.rowsPerTask..<min(source.rows, (task + 1) * Self.rowsPerTask) {
        widen(source, rows: row..<row + 1, to: numbers)
        narrow(numbers, source.columns, to: UnsafeMutableRawPointer(mutating: result.row(row)), result.type)
      }
    }
  }
}
