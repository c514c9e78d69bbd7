// Owned scratch memory.

/// An owned array of floats at a fixed, 64-byte aligned address: workspaces, activations, tables.
///
/// A class, so that its address is stable and several views may share it; it is never resized.
public final class FloatBuffer: @unchecked Sendable {
  public let base: UnsafeMutablePointer<Float>
  public let count: Int

  /// `count` zeros.
  public init(_ count: Int) {
    self.count = count
    let raw = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * MemoryLayout<Float>.stride, alignment: 64)
    base = raw.bindMemory(to: Float.self, capacity: max(count, 1))
    base.initialize(repeating: 0, count: count)
  }

  deinit { base.deallocate() }

  public var bytes: Int { count * MemoryLayout<Float>.stride }
}
