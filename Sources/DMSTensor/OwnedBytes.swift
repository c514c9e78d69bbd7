// Owned memory for what is neither mapped nor fp32 scratch.

/// Bytes at a fixed, 64-byte aligned address, not initialised: the thread that writes a page first decides where it lies.
public final class OwnedBytes: @unchecked Sendable {
  public let buffer: UnsafeMutableRawBufferPointer

  public init(_ count: Int) { buffer = .allocate(byteCount: max(1, count), alignment: 64) }

  deinit { buffer.deallocate() }
}
