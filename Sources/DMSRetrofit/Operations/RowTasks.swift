// How an operation is divided among threads: into fixed pieces, so that the result does not depend on how many there are.

import CKernels
import DMSPlatform

typealias Floats = UnsafeMutablePointer<Float>

/// A closure as the work of a fork. Training allocates a little for each; a decode step must not, and does not use this.
/// Gradients of what a model knows well are so small that products with them would be of subnormal numbers: these are zeros.
private struct ClosureWork: ParallelWork {
  let body: (_ task: Int, _ worker: Int) -> Void
  func run(task: Int, worker: Int) {
    let mode = dms_flush_subnormals()
    body(task, worker)
    dms_restore_subnormals(mode)
  }
}

extension ThreadPool {
  func forEach(_ tasks: Int, _ body: (_ task: Int, _ worker: Int) -> Void) {
    withoutActuallyEscaping(body) { run(tasks: tasks, ClosureWork(body: $0)) }
  }

  /// Runs `body` over pieces of `0..<count`, each `size` long but the last. `piece` numbers them.
  func forPieces(of count: Int, size: Int, _ body: (_ piece: Int, Range<Int>) -> Void) {
    forEach((count + size - 1) / size) { piece, _ in body(piece, piece * size..<min(count, (piece + 1) * size)) }
  }
}

/// Sums over rows that several tasks share out: each writes its part, and the parts are added in order.
struct PartialSums {
  static let rowsPerPart = 64
  let parts: Floats  // [parts, size]
  let size: Int

  static func count(rows: Int) -> Int { (rows + rowsPerPart - 1) / rowsPerPart }

  /// The zeroed sums of a part.
  func start(_ part: Int) -> Floats {
    let sums = parts + part * size
    sums.update(repeating: 0, count: size)
    return sums
  }

  /// Adds `columns` of all parts to `gradient`.
  func add(_ columns: Range<Int>, rows: Int, to gradient: Floats) {
    for part in 0..<Self.count(rows: rows) {
      let sums = parts + part * size + columns.lowerBound
      for index in 0..<columns.count { gradient[index] += sums[index] }
    }
  }
}
