// Memory, as an option.

import ArgumentParser
import DMSCache

/// Bytes as they are written: 512MiB, 4GB.
struct ByteSize: ExpressibleByArgument {
  let bytes: Int

  /// Reads a number with its unit.
  init?(argument: String) {
    guard case .bytes(let bytes)? = CacheBudget(argument) else { return nil }
    self.bytes = bytes
  }
}
