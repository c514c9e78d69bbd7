// Rows of weights as GGUF files store them: plain numbers, or blocks of 8 or 4 bits rounded as llama.cpp's reference rounds, to
// the same bytes.

import DMSPlatform
import DMSTensor

/// Writes a matrix in a type of GGUF files. One task per sixteen rows.
public struct GGMLQuantization: ParallelWork {
  private static let rowsPerTask = 16
  let source: Weights
  let type: GGMLType
  let order: (@Sendable (Int) -> Int)?
  let out: UnsafeMutableRawPointer

  /// The types that weights can be written in.
  public static let types: [GGMLType] = [.f32, .f16, .bf16, .q8_0, .q4_0]

  /// Prepares the writing of a matrix.
  ///
  /// - Parameters:
  ///   - type: one of `types`; rows are whole blocks.
  ///   - order: where a row goes; `nil` keeps the order.
  ///   - bytes: memory of the result, row after row.
  public init(
    _ source: Weights, _ type: GGMLType, order: (@Sendable (Int) -> Int)?, to bytes: UnsafeMutableRawBufferPointer
  ) {
    precondition(Self.types.contains(type) && source.columns % type.block.elements == 0, "rows of whole blocks")
    precondition(
      bytes.count >= source.rows * source.columns / type.block.elements * type.block.bytes, "room for all rows")
    (self.source, self.type, self.order) = (source, type, order)
    out = bytes.baseAddress ?? UnsafeMutableRawPointer(bitPattern: 64).unsafelyUnwrapped
  }

  /// Runs of sixteen rows.
  public var tasks: Int { (source.rows + Self.rowsPerTask - 1) / Self.rowsPerTask }

  /// Rounds a run of rows.
  public func run(task: Int, worker: Int) {
    let (columns, width) = (source.columns, source.columns / type.block.elements * type.block.bytes)
    withUnsafeTemporaryAllocation(of: Float.self, capacity: max(1, columns)) { numbers in
      guard let numbers = numbers.baseAddress else { return }
      for row in task * Self.rowsPerTask..<min(source.rows, (task + 1) * Self.rowsPerTask) {
        widen(source, rows: row..<row + 1, to: numbers)
        let out = out + (order?(row) ?? row) * width
        switch type {
        case .q8_0: for block in 0..<columns / 32 { eightBits(numbers + block * 32, to: out + block * 34) }
        case .q4_0: for block in 0..<columns / 32 { fourBits(numbers + block * 32, to: out + block * 18) }
        case .f16: narrow(numbers, columns, to: out, .f16)
        case .bf16: narrow(numbers, columns, to: out, .bf16)
        default: out.copyMemory(from: numbers, byteCount: width)
        }
      }
    }
  }

  private func eightBits(_ numbers: UnsafePointer<Float>, to out: UnsafeMutableRawPointer) {
    var most: Float = 0
    for index in 0..<32 { most = max(most, abs(numbers[index])) }
    let d = most / 127
    let inverse = d == 0 ? 0 : 1 / d
    store(d, to: out)
    for index in 0..<32 {
      let number = (numbers[index] * inverse).rounded(.toNearestOrAwayFromZero)
      out.storeBytes(of: Int8(max(-127, min(127, number))), toByteOffset: 2 + index, as: Int8.self)
    }
  }

  private func fourBits(_ numbers: UnsafePointer<Float>, to out: UnsafeMutableRawPointer) {
    var extreme: Float = 0
    for index in 0..<32 where abs(numbers[index]) > abs(extreme) { extreme = numbers[index] }
    let d = extreme / -8
    let inverse = d == 0 ? 0 : 1 / d
    store(d, to: out)
    func number(_ index: Int) -> UInt8 { UInt8(max(0, min(15, (numbers[index] * inverse + 8.5).rounded(.towardZero)))) }
    for index in 0..<16 {
      out.storeBytes(of: number(index) | number(index + 16) << 4, toByteOffset: 2 + index, as: UInt8.self)
    }
  }

  private func store(_ scale: Float, to out: UnsafeMutableRawPointer) {
    withUnsafePointer(to: scale) { narrow($0, 1, to: out, .f16) }
  }
}
