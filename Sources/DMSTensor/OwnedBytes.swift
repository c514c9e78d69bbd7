// Owned memory for what is neither mapped nor fp32 scratch.

import Glibc

/// Bytes at a fixed, 64-byte aligned address, not initialised: the thread that writes a page first decides where it lies.
/// Large ones ask for huge pages, which streaming through them repays.
public final class OwnedBytes: @unchecked Sendable {
  private static let hugePage = 2 << 20
  /// The bytes; valid as long as the object lives.
  public let buffer: UnsafeMutableRawBufferPointer

  /// Memory for `count` bytes, at least one.
  public init(_ count: Int) {
    let isLarge = count >= 2 * Self.hugePage
    buffer = .allocate(byteCount: max(1, count), alignment: isLarge ? Self.hugePage : 64)
    // A hint: where the system has none, nothing changes.
    if isLarge { madvise(buffer.baseAddress, buffer.count, MADV_HUGEPAGE) }
  }

  deinit { buffer.deallocate() }
}
