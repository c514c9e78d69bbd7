// What the machine's memory delivers to a number of threads that only read: the ceiling of decoding.

/// What the machine's memory delivers to threads that only read: the ceiling of decoding. Holds a buffer far larger
/// than the caches.
public final class MemoryBandwidth {
  private static let slices = 256
  private let bytes: UnsafeMutableRawBufferPointer
  /// Bytes of the buffer.
  public var size: Int { bytes.count }
  private let sums: UnsafeMutablePointer<UInt32>
  private let pool: ThreadPool

  /// Allocates the buffer and writes it once.
  ///
  /// - Parameters:
  ///   - bytes: rounded down to whole slices of 256 · 256 bytes.
  ///   - pool: the readers.
  /// - Throws: `InputError` if there is no memory for the buffer.
  public init(bytes: Int = 512 << 20, on pool: ThreadPool) throws {
    let size = max(1, bytes / (Self.slices * 256)) * Self.slices * 256
    try MemoryLimits.require(size, for: "what is read to measure the memory's speed", remedy: "end other programs")
    self.bytes = .allocate(byteCount: size, alignment: 64)
    self.bytes.initializeMemory(as: UInt8.self, repeating: 1)
    sums = .allocate(capacity: Self.slices)
    sums.initialize(repeating: 0, count: Self.slices)
    self.pool = pool
  }

  deinit {
    bytes.deallocate()
    sums.deallocate()
  }

  /// Bytes per second of one pass over the buffer.
  public func measure() -> Double {
    guard let base = bytes.baseAddress else { return 0 }
    let work = Slice(base: base, bytes: bytes.count / Self.slices, sums: sums)
    let time = ContinuousClock().measure { pool.run(tasks: Self.slices, work) }
    return Double(bytes.count) / (time / .seconds(1))
  }

  /// Bytes per second of the best of several passes: other processes only ever take away.
  public func best(of passes: Int) -> Double { (0..<max(1, passes)).reduce(0) { best, _ in max(best, measure()) } }

  private struct Slice: ParallelWork {
    let base: UnsafeMutableRawPointer
    let bytes: Int
    let sums: UnsafeMutablePointer<UInt32>

    func run(task: Int, worker: Int) {
      let start = UnsafeRawPointer(base + task * bytes)
      var (a, b, c, d) = (SIMD16<UInt32>(), SIMD16<UInt32>(), SIMD16<UInt32>(), SIMD16<UInt32>())
      for offset in stride(from: 0, to: bytes, by: 256) {
        a ^= start.load(fromByteOffset: offset, as: SIMD16<UInt32>.self)
        b ^= start.load(fromByteOffset: offset + 64, as: SIMD16<UInt32>.self)
        c ^= start.load(fromByteOffset: offset + 128, as: SIMD16<UInt32>.self)
        d ^= start.load(fromByteOffset: offset + 192, as: SIMD16<UInt32>.self)
      }
      // Kept, so that the loads are not optimised away.
      sums[task] = (a ^ b ^ c ^ d)[0]
    }
  }
}
