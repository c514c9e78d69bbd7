// Memory that a sequence may need some day, and costs nothing before.

import DMSPlatform
import Glibc

/// A table as large as it may ever be, of which the system gives only what is touched: no growth, no copy, no allocation
/// while decoding.
final class LazyTable<Entry> {
  let base: UnsafeMutablePointer<Entry>
  private let bytes: Int

  init(_ count: Int) throws {
    bytes = max(count, 1) * MemoryLayout<Entry>.stride
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let raw = mmap(nil, bytes, PROT_READ | PROT_WRITE, flags, -1, 0), raw != MAP_FAILED else {
      throw InputError(
        "no memory for the tables of a cache of \(count) entries: \(systemMessage(errno))",
        remedy: "use a smaller --context")
    }
    base = raw.bindMemory(to: Entry.self, capacity: max(count, 1))
  }

  deinit { munmap(base, bytes) }
}
