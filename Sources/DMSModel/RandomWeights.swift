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
