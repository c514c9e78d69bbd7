// Stored weights to blocks of 8 or 4 bits, and vectors to blocks of 8 bits. Weights are rounded once, so the 4-bit scale is
// searched; vectors are rounded at every product, so theirs is plain.

import CKernels
import DMSPlatform
import DMSTensor

/// Rounds a stored matrix into blocks. One task per group of sixteen rows.
public struct BlockQuantization: ParallelWork {
  let source: Weights
  /// The matrix in blocks, in the memory that was given; whole when all tasks have run.
  public let result: BlockMatrix
  private let bytes: UnsafeMutableRawPointer

  /// Prepares the rounding of a matrix.
  ///
  /// - Parameter bytes: memory of the result, at least `BlockMatrix.bytes` for the shape of `source`.
  public init(_ source: Weights, _ format: BlockFormat, to bytes: UnsafeMutableRawBufferPointer) {
    precondition(BlockFormat.own.contains(format), "a format that weights are rounded to")
    self.source = source
    let count = BlockMatrix.bytes(format, rows: source.rows, columns: source.columns)
    result = BlockMatrix(
      format, rows: source.rows, columns: source.columns, bytes: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
    self.bytes = UnsafeMutableRawPointer(mutating: result.blocks)
  }

  /// Groups of sixteen rows.
  public var tasks: Int { result.groups }

  /// Rounds a group.
  public func run(task group: Int, worker: Int) {
    let (rows, columns) = (BlockFormat.rowsPerGroup, source.columns)
    let room = rows * columns + BlockFormat.columnsPerBlock
    withUnsafeTemporaryAllocation(of: Float.self, capacity: room) { wide in
      guard let wide = wide.baseAddress else { return }
      let numbers = wide + rows * columns
      let first = group * rows
      widen(source, rows: first..<min(source.rows, first + rows), to: wide)
      for block in 0..<result.columnBlocks {
        let index = group * result.columnBlocks + block
        let scales = UnsafeMutableRawPointer(mutating: result.scales)
        let bytes = bytes + index * result.format.blockBytes
        bytes.initializeMemory(as: UInt8.self, repeating: 0, count: result.format.blockBytes)
        for row in 0..<rows {
          load(first + row < source.rows ? wide + row * columns : nil, block: block, to: numbers)
          let scale = result.format == .q8 ? eightBitScale(numbers) : fourBitScale(numbers)
          scales.storeBytes(
            of: bf16(scale), toByteOffset: 2 * (index * rows + row), as: UInt16.self)
          store(numbers, scale: scale, row: row, to: bytes.assumingMemoryBound(to: UInt8.self))
        }
      }
    }
  }

  /// A row's numbers of one block, zeros where the matrix has none.
  private func load(_ row: UnsafePointer<Float>?, block: Int, to numbers: UnsafeMutablePointer<Float>) {
    numbers.update(repeating: 0, count: BlockFormat.columnsPerBlock)
    let first = block * BlockFormat.columnsPerBlock
    guard let row else { return }
    numbers.update(from: row + first, count: min(BlockFormat.columnsPerBlock, source.columns - first))
  }

  private func store(
    _ numbers: UnsafePointer<Float>, scale: Float, row: Int, to bytes: UnsafeMutablePointer<UInt8>
  ) {
    let inverse = scale == 0 ? 0 : 1 / scale
    for column in 0..<BlockFormat.columnsPerBlock {
      let number = nearest(numbers[column] * inverse)
      let (quad, lane) = (column / 4, row * 4 + column % 4)
      if result.format == .q8 {
        bytes[quad * 64 + lane] = UInt8(max(-127, min(127, number)) + 128)
      } else {
        bytes[quad % 4 * 64 + lane] |= UInt8(max(-8, min(7, number)) + 8) << (quad < 4 ? 0 : 4)
      }
    }
  }
}

/// The BF16 number nearest to the scale that makes the largest magnitude 127. 0 for zeros, and for what is not finite.
private func eightBitScale(_ numbers: UnsafePointer<Float>) -> Float {
  var most: Float = 0
  for index in 0..<BlockFormat.columnsPerBlock { most = max(most, abs(numbers[index])) }
  let scale = float(bf16: bf16(most / 127))
  return scale.isFinite ? scale : 0
}

/// The nearest integer, ties to even, of a number below 2²²: without the library call of `rounded`.
@inline(__always)
func nearest(_ x: Float) -> Float { (x + 12_582_912) - 12_582_912 }

@inline(__always)
private func squaredError(_ numbers: SIMD16<Float>, _ scale: Float) -> SIMD16<Float> {
  let nearest = (numbers * (1 / scale) + 12_582_912) - 12_582_912
  let clamped = nearest.replacing(with: -8, where: nearest .< -8).replacing(with: 7, where: nearest .> 7)
  let difference = numbers - clamped * scale
  return difference * difference
}

/// Of the scales that map the number of largest magnitude near −8 (or 7), the one with the least squared error.
private func fourBitScale(_ numbers: UnsafePointer<Float>) -> Float {
  var extreme: Float = 0
  for index in 0..<BlockFormat.columnsPerBlock where abs(numbers[index]) > abs(extreme) { extreme = numbers[index] }
  guard extreme != 0, extreme.isFinite else { return 0 }
  var (best, least) = (Float(0), Float.infinity)
  let source = UnsafeRawPointer(numbers)
  let halves = (
    source.loadUnaligned(as: SIMD16<Float>.self), source.loadUnaligned(fromByteOffset: 64, as: SIMD16<Float>.self)
  )
  for step in 0..<9 {
    let scale = float(bf16: bf16(extreme / (-8.6 + 0.2 * Float(step))))
    guard scale != 0 else { continue }
    let error = squaredError(halves.0, scale) + squaredError(halves.1, scale)
    let total = fold(error)
    if total < least { (best, least) = (scale, total) }
  }
  return best
}

/// Vectors `[S, K]` in blocks of 8 bits: what block products multiply with.
public final class BlockVectors: @unchecked Sendable {
  let numbers: UnsafeMutablePointer<Int8>  // [S, columnBlocks, 32]
  let scales: UnsafeMutablePointer<Float>  // [S, columnBlocks]
  /// −8 times the sum of a block's numbers: what the weights' offset adds, for 4 bits; 16 times that for 8.
  let sums: UnsafeMutablePointer<Int32>  // [S, columnBlocks]
  /// The same of the block's first sixteen numbers.
  let firstSums: UnsafeMutablePointer<Int32>  // [S, columnBlocks]
  private let room: Int

  /// Room for `vectors` vectors of up to `columns` numbers.
  public init(vectors: Int, columns: Int) {
    room = vectors * ((columns + 31) / 32)
    numbers = .allocate(capacity: max(1, room * 32))
    scales = .allocate(capacity: max(1, room))
    sums = .allocate(capacity: max(1, room))
    firstSums = .allocate(capacity: max(1, room))
  }

  deinit {
    numbers.deallocate()
    scales.deallocate()
    sums.deallocate()
    firstSums.deallocate()
  }

  /// Rounds vector `index`. The numbers are the same on every instruction set.
  func quantize(_ x: UnsafePointer<Float>, columns: Int, index: Int, _ instructions: InstructionSet) {
    let blocks = (columns + 31) / 32
    precondition((index + 1) * blocks <= room, "more vectors than there is room for")
    let first = index * blocks
    if instructions.hasAVX2 {
      dms_quantize_vector_avx2(
        x, Int64(columns), numbers + first * 32, scales + first, sums + first, firstSums + first)
      return
    }
    for block in 0..<blocks {
      let count = min(32, columns - block * 32)
      let (x, out) = (x + block * 32, numbers + (first + block) * 32)
      var most: Float = 0
      for column in 0..<count { most = max(most, abs(x[column])) }
      let scale = most / 127
      let inverse = scale > 0 ? 1 / scale : 0
      var (sum, firstSum): (Int32, Int32) = (0, 0)
      for column in 0..<32 {
        let number = column < count ? nearest(x[column] * inverse) : 0
        out[column] = Int8(max(-127, min(127, number)))
        sum += Int32(out[column])
        if column < 16 { firstSum += Int32(out[column]) }
      }
      scales[first + block] = scale
      sums[first + block] = -8 * sum
      firstSums[first + block] = -8 * firstSum
    }
  }
}
