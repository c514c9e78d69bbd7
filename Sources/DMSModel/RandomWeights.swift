// Weights of a shape without a checkpoint: speed depends on their form, not on their values.

import DMSCheckpoint
import DMSKernels
import DMSPlatform
import DMSTensor

/// Fills a BF16 matrix with small numbers of both signs. One task per 64 rows; the values depend on the place alone.
struct RandomFill: ParallelWork {
  static let rowsPerTask = 64
  let rows: Int
  let columns: Int
  let seed: UInt64
  let numbers: UnsafeMutablePointer<UInt16>

  var tasks: Int { (rows + Self.rowsPerTask - 1) / Self.rowsPerTask }

  func run(task: Int, worker: Int) {
    var state = (seed &+ UInt64(task)) &* 0x9E37_79B9_7F4A_7C15 | 1
    for index in task * Self.rowsPerTask * columns..<min(rows, (task + 1) * Self.rowsPerTask) * columns {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      // Sign, an exponent of 2⁻⁶ to 2⁻⁹, and a mantissa.
      numbers[index] = UInt16(truncatingIfNeeded: state >> 48) & 0x81FF | 0x3C00 &- UInt16(state >> 40 & 1) << 7
    }
  }
}

/// Fills a matrix in blocks with numbers up to 2⁻⁶ of both signs. One task per group of rows.
struct RandomBlocks: ParallelWork {
  let result: BlockMatrix

  func run(task group: Int, worker: Int) {
    let (blocks, rows) = (result.columnBlocks, BlockFormat.rowsPerGroup)
    let count = blocks * result.format.blockBytes
    let numbers = UnsafeMutableRawPointer(mutating: result.blocks + group * count)
    var state = UInt64(group) &* 0x9E37_79B9_7F4A_7C15 | 1
    for offset in stride(from: 0, to: count, by: 8) {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      // No byte is 0, which 8 bits do not use.
      numbers.storeBytes(of: (state ^ state >> 29) | 0x0101_0101_0101_0101, toByteOffset: offset, as: UInt64.self)
    }
    let scales = UnsafeMutableRawPointer(mutating: result.scales + group * blocks * rows * 2)
    let scale: UInt16 = result.format == .q8 ? 0x3900 : 0x3B00  // 2⁻¹³, 2⁻⁹
    for index in 0..<blocks * rows { scales.storeBytes(of: scale, toByteOffset: 2 * index, as: UInt16.self) }
  }
}

extension WeightConversion {
  /// A random matrix, in BF16 where no other form is asked for. Blocks are drawn as such, which takes no other memory.
  func random(_ rows: Int, _ columns: Int, converted: Bool) -> Weights {
    if converted, let blocks = format.blocks {
      let bytes = bytes(BlockMatrix.bytes(blocks, rows: rows, columns: columns))
      let result = BlockMatrix(blocks, rows: rows, columns: columns, bytes: UnsafeRawBufferPointer(bytes))
      pool.run(tasks: result.groups, RandomBlocks(result: result))
      return .blocks(result)
    }
    let bytes = OwnedBytes(rows * columns * 2)
    let numbers = bytes.buffer.bindMemory(to: UInt16.self)
    if let base = numbers.baseAddress {
      let fill = RandomFill(rows: rows, columns: columns, seed: UInt64(rows &* 31 &+ columns), numbers: base)
      pool.run(tasks: fill.tasks, fill)
    }
    let source = Matrix(
      TensorView(
        type: .bf16, shape: [rows, columns],
        bytes: UnsafeRawBufferPointer(rebasing: bytes.buffer[..<(rows * columns * 2)])))
    return withExtendedLifetime(bytes) {
      if converted, let (weights, owned) = self.converted(.stored(source)) {
        keep(owned)
        return weights
      }
      keep(bytes)
      return .stored(source)
    }
  }
}
