// What the machine's memory delivers to a number of threads that only read.

import CAllocations
import DMS

/// A buffer far larger than the caches, read in slices by a pool of threads.
final class MemoryReader {
  private let words: UnsafeMutablePointer<UInt64>
  private let count: Int
  private let pool: ThreadPool
  private let sums: UnsafeMutablePointer<UInt64>
  private static let slices = 256

  init(bytes: Int, threads: Int) throws {
    count = bytes / 8
    words = .allocate(capacity: count)
    words.initialize(repeating: 1, count: count)
    sums = .allocate(capacity: Self.slices)
    sums.initialize(repeating: 0, count: Self.slices)
    pool = try ThreadPool(threads: threads)
  }

  deinit {
    words.deallocate()
    sums.deallocate()
  }

  private struct Slice: ParallelWork {
    let words: UnsafePointer<UInt64>
    let perSlice: Int
    let sums: UnsafeMutablePointer<UInt64>
    func run(task: Int, worker: Int) { sums[task] = dms_sum(words + task * perSlice, UInt64(perSlice)) }
  }

  /// One pass, in GB/s.
  func measure() -> Double {
    let perSlice = count / Self.slices
    let time = seconds { pool.run(tasks: Self.slices, Slice(words: words, perSlice: perSlice, sums: sums)) }
    precondition(sums[0] == UInt64(perSlice / 8 * 8))
    return Double(perSlice * Self.slices * 8) / time / 1e9
  }
}
