// Numbers that are none: where a call's values stop being finite, and whether stored weights hold such values. Finding out
// costs little, because every row is read anyway; what is done about it is not known here.

import DMSPlatform
import DMSTensor
import Synchronization

/// Whether all of `count` numbers are finite: Σ 0 · x is 0 then, and NaN otherwise.
func areFinite(_ x: UnsafePointer<Float>, _ count: Int) -> Bool {
  var sums = SIMD8<Float>()
  var index = 0
  while index + 8 <= count {
    sums += UnsafeRawPointer(x + index).loadUnaligned(as: SIMD8<Float>.self) * 0
    index += 8
  }
  var sum = sums == SIMD8<Float>() ? Float(0) : .nan
  while index < count {
    sum += x[index] * 0
    index += 1
  }
  return sum == 0
}

/// For each row of a call the stage after which its numbers were not finite any more. A row belongs to one task at a
/// time, so noting needs no lock; stages come in order, so the first one stays.
public final class RowFaults: @unchecked Sendable {
  private static let none = Int32.max
  private let stages: UnsafeMutablePointer<Int32>  // [rows]
  private let capacity: Int

  /// Room for the rows of a call, none noted.
  public init(rows: Int) {
    capacity = max(1, rows)
    stages = .allocate(capacity: capacity)
    stages.initialize(repeating: Self.none, count: capacity)
  }

  deinit { stages.deallocate() }

  /// Where tasks of a stage note their rows.
  @frozen
  public struct Stage {
    let stages: UnsafeMutablePointer<Int32>
    let number: Int32

    /// Notes a row whose numbers are not finite.
    @inline(__always)
    package func note(row: Int) { if stages[row] == RowFaults.none { stages[row] = number } }

    /// Notes the row unless its numbers are finite.
    package func check(_ x: UnsafePointer<Float>, _ count: Int, row: Int) {
      if !areFinite(x, count) { note(row: row) }
    }
  }

  /// Where the tasks of stage `number` note their rows; stages are numbered as they run.
  public func stage(_ number: Int) -> Stage { Stage(stages: stages, number: Int32(number)) }

  /// The first row that was noted, and its stage; forgets all of them.
  public func take(rows: Int) -> (row: Int, stage: Int)? {
    var found: (row: Int, stage: Int)?
    for row in 0..<min(rows, capacity) where stages[row] != Self.none {
      found = found ?? (row, Int(stages[row]))
      stages[row] = Self.none
    }
    return found
  }
}

/// Looks for numbers that are not finite in stored numbers of F32, BF16 or F16. One task per 64 KiB.
public struct FiniteScan: ParallelWork {
  private static let bytesPerTask = 1 << 16
  private let bytes: UnsafeRawBufferPointer
  private let type: ElementType
  private let found: UnsafeMutablePointer<Atomic<Bool>>

  private init(_ bytes: UnsafeRawBufferPointer, _ type: ElementType, _ found: UnsafeMutablePointer<Atomic<Bool>>) {
    self.bytes = bytes
    self.type = type
    self.found = found
  }

  /// Whether all numbers of a tensor are finite; those of other types always are. Reads it once.
  /// - Parameter pool: `nil` leaves it to the calling thread.
  public static func areFinite(_ view: TensorView, on pool: ThreadPool? = nil) -> Bool {
    guard [.f32, .bf16, .f16].contains(view.type) else { return true }
    let found = UnsafeMutablePointer<Atomic<Bool>>.allocate(capacity: 1)
    defer { found.deallocate() }
    found.initialize(to: Atomic(false))
    let tasks = (view.bytes.count + bytesPerTask - 1) / bytesPerTask
    let scan = FiniteScan(view.bytes, view.type, found)
    if let pool { pool.run(tasks: tasks, scan) } else { for task in 0..<tasks { scan.run(task: task, worker: 0) } }
    return !found.pointee.load(ordering: .relaxed)
  }

  /// Whether all numbers of a matrix in any form are finite.
  public static func areFinite(_ weights: Weights, on pool: ThreadPool) -> Bool {
    if case .stored(let matrix) = weights { return areFinite(matrix.view, on: pool) }
    let found = UnsafeMutablePointer<Atomic<Bool>>.allocate(capacity: 1)
    defer { found.deallocate() }
    found.initialize(to: Atomic(false))
    pool.run(tasks: weights.rows, RowScan(weights: weights, found: found))
    return !found.pointee.load(ordering: .relaxed)
  }

  /// Looks at what the blocks of a row stand for.
  private struct RowScan: ParallelWork {
    let weights: Weights
    let found: UnsafeMutablePointer<Atomic<Bool>>

    func run(task row: Int, worker: Int) {
      withUnsafeTemporaryAllocation(of: Float.self, capacity: weights.columns) { numbers in
        guard let base = numbers.baseAddress else { return }
        widen(weights, rows: row..<row + 1, to: base)
        if !DMSKernels.areFinite(base, weights.columns) { found.pointee.store(true, ordering: .relaxed) }
      }
    }
  }

  /// Scans 64 KiB.
  public func run(task: Int, worker: Int) {
    let part = UnsafeRawBufferPointer(
      rebasing: bytes[task * Self.bytesPerTask..<min(bytes.count, (task + 1) * Self.bytesPerTask)])
    // All bits of the exponent are set in what is not finite.
    let isBad =
      switch type {
      case .f32: part.bindMemory(to: UInt32.self).contains { $0 & 0x7F80_0000 == 0x7F80_0000 }
      case .bf16: part.bindMemory(to: UInt16.self).contains { $0 & 0x7F80 == 0x7F80 }
      default: part.bindMemory(to: UInt16.self).contains { $0 & 0x7C00 == 0x7C00 }
      }
    if isBad { found.pointee.store(true, ordering: .relaxed) }
  }
}
