// The memory that the sequences of one engine share: an arena of pages on each NUMA node.
//
// Not for several threads at once: an engine's sequences are changed by the thread that runs its calls.

import DMSKernels
import DMSPlatform

package final class KVPool {
  package let layout: KVLayout
  private let arenas: [PageArena]
  /// For each KV head the arena of its node.
  private let arenaOfHead: [Int]
  /// Bytes that the pages of all sequences may take together; `nil`: as many as the system gives.
  package let limit: Int?

  /// - Parameter memoryNodes: for each arena the node that its pages are bound to; `nil` leaves it to the system.
  /// - Parameter arenaOfHead: for each KV head an index into `memoryNodes`.
  package init(layout: KVLayout, memoryNodes: [Int?], arenaOfHead: [Int], limit: Int? = nil) throws {
    precondition(arenaOfHead.allSatisfy(memoryNodes.indices.contains), "each head lives in some arena")
    self.layout = layout
    self.arenaOfHead = arenaOfHead
    self.limit = limit
    arenas = try memoryNodes.map { try PageArena(pageBytes: layout.pageBytes, node: $0) }
  }

  package var kvHeads: Int { arenaOfHead.count }
  package func arena(kvHead: Int) -> PageArena { arenas[arenaOfHead[kvHead]] }

  /// Makes sure that `tokens` more tokens of every head of these sequences find their pages, whatever is evicted: lack of
  /// memory shows before a call has begun, and leaves every cache as it was.
  /// - Throws: `InputError` when the limit is reached or the system has no more memory.
  package func reserve(tokens: Int, in caches: UnsafeBufferPointer<SequenceCache>) throws {
    if let limit, shortage(tokens: tokens, in: caches) > 0 {
      throw InputError(
        "the caches may take \(byteCount(limit)), of which \(byteCount(bytesHeld)) are in use, and more is needed",
        remedy: "let other sequences end, or raise the limit")
    }
    for index in arenas.indices {
      var pages = 0
      for cache in caches {
        for head in 0..<cache.slots.heads where arenaOfHead[head % kvHeads] == index {
          pages += cache.slots.pagesNeeded(head: head, tokens: tokens)
        }
      }
      try arenas[index].reserve(pages)
    }
  }

  /// Bytes that are missing under the limit for `tokens` more tokens of every head of these sequences, whatever is evicted;
  /// 0: they fit.
  package func shortage(tokens: Int, in caches: some Sequence<SequenceCache>) -> Int {
    guard let limit else { return 0 }
    var pages = 0
    for cache in caches {
      for head in 0..<cache.slots.heads { pages += cache.slots.pagesNeeded(head: head, tokens: tokens) }
    }
    return max(0, bytesHeld + pages * pageBytes - limit)
  }

  /// Bytes of a page as memory has them.
  package var pageBytes: Int { arenas[0].pageBytes }

  /// Bytes of pages in use, each counted once however many sequences share it.
  package var bytesHeld: Int { arenas.reduce(0) { $0 + $1.bytesHeld } }
  /// Bytes of address space taken from the system for pages.
  package var bytesReserved: Int { arenas.reduce(0) { $0 + $1.bytesReserved } }
}
