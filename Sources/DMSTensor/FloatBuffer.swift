// Owned scratch memory.

/// An owned array of floats at a fixed, 64-byte aligned address: workspaces, activations, tables.
///
/// A class, so that its address is stable and several views may share it; it is never resized.
public final class FloatBuffer: @unchecked Sendable {
  /// The first number, 64-byte aligned; valid as long as the buffer lives.
  public let base: UnsafeMutablePointer<Float>
  /// How many numbers there are.
  public let count: Int

  /// A buffer of `count` zeros.
  public init(_ count: Int) {
    self.count = count
    let raw = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * MemoryLayout<Float>.stride, alignment: 64)
    base = raw.bindMemory(to: Float.self, capacity: max(count, 1))
    base.initialize(repeating: 0, count: count)
  }

  deinit { base.deallocate() }

  /// Size in bytes.
  public var bytes: Int { count * MemoryLayout<Float>.stride }
}
