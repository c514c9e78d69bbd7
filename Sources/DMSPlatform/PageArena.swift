// Pages of one size, from memory that lies on one NUMA node. What a page holds is not known here.
//
// Pages come from slabs of address space that the system backs as they are touched. References are counted, so that several
// owners can share a page. A slab of which no page is in use goes back to the system.
//
// Not for several threads at once: the owner decides who may allocate when.

import CNUMA
import Glibc

package final class PageArena {
  /// Bytes of a page, rounded up to whole cache lines.
  package let pageBytes: Int
  private let node: Int?
  /// Pages of a slab, a power of two: an id is the slab's number and the page's number in it.
  private let shift: UInt32
  private var slabs: [Slab] = []
  /// Slabs that may have a free page, the one to look at first at the end.
  private var candidates: [Int] = []
  package private(set) var pagesInUse = 0

  private static let slabBytes = 1 << 20
  private static let mostPages = Int(UInt32.max)

  /// A slab's memory, the references of its pages, and its free pages as a stack.
  private struct Slab {
    var base: UnsafeMutableRawPointer
    var references: UnsafeMutablePointer<UInt32>
    var free: UnsafeMutablePointer<UInt32>
    var freeCount: Int
    /// Whether memory was handed back since it was last used: nothing to hand back twice.
    var isBacked = false
    var isCandidate = true
  }

  /// - Parameter pageBytes: at least 1, at most 1 GiB.
  /// - Parameter node: the memory node to bind to; `nil` leaves the choice to the system.
  /// - Throws: `InputError` for sizes out of range.
  package init(pageBytes: Int, node: Int?) throws {
    guard (1...(1 << 30)).contains(pageBytes) else {
      throw InputError("a cache page of \(pageBytes) bytes is out of range")
    }
    self.pageBytes = (pageBytes + 63) / 64 * 64
    self.node = node
    var shift: UInt32 = 0
    while self.pageBytes << (shift + 1) <= Self.slabBytes { shift += 1 }
    self.shift = shift
  }

  deinit {
    for slab in slabs {
      munmap(slab.base, pagesPerSlab * pageBytes)
      slab.references.deallocate()
      slab.free.deallocate()
    }
  }

  private var pagesPerSlab: Int { 1 << Int(shift) }

  /// Bytes of the pages in use.
  package var bytesHeld: Int { pagesInUse * pageBytes }
  /// Bytes of address space taken from the system.
  package var bytesReserved: Int { slabs.count * pagesPerSlab * pageBytes }

  /// A page with one reference and undefined contents. Calls the system only when all slabs are full.
  /// - Throws: `InputError` when the system has no more memory.
  package func allocate() throws -> UInt32 {
    while let index = candidates.last {
      if slabs[index].freeCount > 0 {
        slabs[index].freeCount -= 1
        slabs[index].isBacked = true
        let page = slabs[index].free[slabs[index].freeCount]
        slabs[index].references[Int(page)] = 1
        pagesInUse += 1
        return UInt32(index) << shift | page
      }
      slabs[index].isCandidate = false
      candidates.removeLast()
    }
    try addSlab()
    return try allocate()
  }

  private func addSlab() throws {
    let bytes = pagesPerSlab * pageBytes
    guard (slabs.count + 1) << Int(shift) <= Self.mostPages,
      let base = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
      base != MAP_FAILED
    else {
      throw InputError(
        "no memory for more of the cache after \(bytesReserved >> 20) MiB", remedy: "use a smaller --context")
    }
    if let node, numa_available() >= 0 { numa_tonode_memory(base, bytes, Int32(node)) }
    let references = UnsafeMutablePointer<UInt32>.allocate(capacity: pagesPerSlab)
    references.initialize(repeating: 0, count: pagesPerSlab)
    let free = UnsafeMutablePointer<UInt32>.allocate(capacity: pagesPerSlab)
    // The last entry is taken first: pages come in the order of their addresses.
    for page in 0..<pagesPerSlab { (free + page).initialize(to: UInt32(pagesPerSlab - 1 - page)) }
    slabs.append(Slab(base: base, references: references, free: free, freeCount: pagesPerSlab))
    candidates.append(slabs.count - 1)
    candidates.reserveCapacity(slabs.count)
  }

  package func pointer(to page: UInt32) -> UnsafeMutableRawPointer {
    slabs[Int(page >> shift)].base + Int(page & mask) * pageBytes
  }

  private var mask: UInt32 { (1 << shift) - 1 }

  package func isShared(_ page: UInt32) -> Bool { slabs[Int(page >> shift)].references[Int(page & mask)] > 1 }

  package func retain(_ page: UInt32) { slabs[Int(page >> shift)].references[Int(page & mask)] += 1 }

  /// Gives up one reference; with the last one the page is free.
  package func release(_ page: UInt32) {
    let (index, place) = (Int(page >> shift), Int(page & mask))
    precondition(slabs[index].references[place] > 0, "a free page cannot be released")
    slabs[index].references[place] -= 1
    guard slabs[index].references[place] == 0 else { return }
    pagesInUse -= 1
    slabs[index].free[slabs[index].freeCount] = page & mask
    slabs[index].freeCount += 1
    if !slabs[index].isCandidate {
      slabs[index].isCandidate = true
      candidates.append(index)
    }
    if slabs[index].freeCount == pagesPerSlab, slabs[index].isBacked {
      madvise(slabs[index].base, pagesPerSlab * pageBytes, MADV_DONTNEED)
      slabs[index].isBacked = false
    }
  }
}
