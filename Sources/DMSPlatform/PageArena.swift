// Pages of one size, from memory that lies on one NUMA node. What a page holds is not known here.
//
// Pages come from slabs of address space that the system backs as they are touched. References are counted, so that several
// owners can share a page. A slab of which no page is in use goes back to the system, but for one that stays at hand: a page
// that comes and goes at a slab's edge must not cost a system call each time.
//
// Not for several threads at once: the owner decides who may allocate when. Nothing moves, however: a page in use may be
// looked up on any thread meanwhile.

import CNUMA
import Glibc

package final class PageArena {
  /// Bytes of a page, rounded up to whole cache lines.
  package let pageBytes: Int
  private let node: Int?
  /// Pages of a slab, a power of two: an id is the slab's number and the page's number in it.
  @usableFromInline package let shift: UInt32
  /// Room for all slabs that there can be; the system backs the part that is used.
  @usableFromInline package let slabs: UnsafeMutablePointer<Slab>
  /// For each slab a bit: whether it has a free page. The lowest is taken, so that the slabs above run empty.
  private let roomy: UnsafeMutablePointer<UInt64>
  private var slabCount = 0
  /// No word of `roomy` below this one has a bit set.
  private var lowestWord = 0
  /// An empty slab whose memory was not handed back.
  private var spare: Int?
  package private(set) var pagesInUse = 0

  private static let leastSlabBytes = 1 << 20
  private static let mostSlabs = 1 << 20

  /// One mapping: the pages; then, from `tables` on, a count of references for each page and the stack of the free ones.
  @usableFromInline
  @frozen
  package struct Slab {
    @usableFromInline var base: UnsafeMutableRawPointer
    @usableFromInline var references: UnsafeMutablePointer<UInt32>
    var free: UnsafeMutablePointer<UInt32>
    var freeCount: UInt32 = 0
    /// Pages below this one were handed out since the slab was empty; the others are free and not on the stack.
    var fresh: UInt32 = 0
    var inUse: UInt32 = 0
  }

  /// - Parameter pageBytes: at least 1, at most 1 GiB.
  /// - Parameter node: the memory node to prefer; `nil` leaves the choice to the system.
  /// - Throws: `InputError` for sizes out of range, and without address space.
  package init(pageBytes: Int, node: Int?) throws {
    guard (1...(1 << 30)).contains(pageBytes) else {
      throw InputError("a cache page of \(pageBytes) bytes is out of range")
    }
    guard let directory = addressSpace(Self.directoryBytes) else {
      throw InputError(
        "no address space for a cache: its tables take \(byteCount(Self.directoryBytes))",
        remedy: "raise the limit (ulimit -v)")
    }
    self.pageBytes = (pageBytes + 63) / 64 * 64
    self.node = node
    var shift: UInt32 = 0
    while self.pageBytes << (shift + 1) <= Self.leastSlabBytes { shift += 1 }
    self.shift = shift
    slabs = directory.bindMemory(to: Slab.self, capacity: Self.mostSlabs)
    roomy = (directory + Self.mostSlabs * MemoryLayout<Slab>.stride).bindMemory(
      to: UInt64.self, capacity: Self.mostSlabs / 64)
  }

  deinit {
    for index in 0..<slabCount { munmap(slabs[index].base, slabBytes) }
    munmap(slabs, Self.directoryBytes)
  }

  private static var directoryBytes: Int { mostSlabs * MemoryLayout<Slab>.stride + mostSlabs / 8 }

  private static func outOfMemory(after bytes: Int) -> InputError {
    InputError("no memory for more of the cache after \(byteCount(bytes))", remedy: "use a smaller --context")
  }

  private var pagesPerSlab: UInt32 { 1 << shift }
  /// Where a slab's tables begin. Whole pages of the system lie before: handing them back leaves the tables alone.
  private var tables: Int { wholePages(pageBytes << Int(shift)) }
  private var slabBytes: Int { tables + wholePages(2 * MemoryLayout<UInt32>.stride << Int(shift)) }

  /// Bytes of the pages in use.
  package var bytesHeld: Int { pagesInUse * pageBytes }
  /// Bytes of address space taken from the system for slabs; never less than before. Resident are at most those of pages
  /// in use, of free pages that share their slab with one, and of one slab more.
  package var bytesReserved: Int { slabCount * slabBytes }

  /// A page with one reference and undefined contents. Calls the system only when all slabs are full.
  /// - Throws: `InputError` when the system has no more memory.
  package func allocate() throws -> UInt32 {
    let words = (slabCount + 63) / 64
    while lowestWord < words, roomy[lowestWord] == 0 { lowestWord += 1 }
    if lowestWord == words { try addSlab() }
    let index = lowestWord * 64 + roomy[lowestWord].trailingZeroBitCount
    let slab = slabs + index
    let place: UInt32
    if slab.pointee.freeCount > 0 {
      slab.pointee.freeCount -= 1
      place = slab.pointee.free[Int(slab.pointee.freeCount)]
    } else {
      place = slab.pointee.fresh
      slab.pointee.fresh += 1
    }
    slab.pointee.references[Int(place)] = 1
    slab.pointee.inUse += 1
    if slab.pointee.inUse == pagesPerSlab { roomy[lowestWord] &= ~(1 << UInt64(index % 64)) }
    if spare == index { spare = nil }
    pagesInUse += 1
    return UInt32(index) << shift | place
  }

  /// Makes sure that the next `pages` pages can be had without asking the system.
  /// - Throws: `InputError` when the system has no more memory.
  package func reserve(_ pages: Int) throws {
    while slabCount << Int(shift) - pagesInUse < pages { try addSlab() }
  }

  private func addSlab() throws {
    // Ids have 32 bits.
    guard slabCount < Self.mostSlabs, slabCount < 1 << (32 - Int(shift)), let base = addressSpace(slabBytes) else {
      throw Self.outOfMemory(after: bytesReserved)
    }
    do {
      try MemoryLimits.require(slabBytes, for: "another part of the cache", remedy: "use a smaller --context")
    } catch {
      munmap(base, slabBytes)
      throw error
    }
    if let node { prefer(node: node, for: base, bytes: slabBytes) }
    let references = (base + tables).bindMemory(to: UInt32.self, capacity: 2 << Int(shift))
    (slabs + slabCount).initialize(to: Slab(base: base, references: references, free: references + Int(pagesPerSlab)))
    roomy[slabCount / 64] |= 1 << UInt64(slabCount % 64)
    lowestWord = min(lowestWord, slabCount / 64)
    slabCount += 1
  }

  /// Where a page in use lies, on a cache line's border; the same until its last reference is released.
  @inlinable
  package func pointer(to page: UInt32) -> UnsafeMutableRawPointer {
    slabs[Int(page >> shift)].base + Int(page & ((1 << shift) - 1)) * pageBytes
  }

  @inlinable
  package func isShared(_ page: UInt32) -> Bool { references(page).pointee > 1 }

  package func retain(_ page: UInt32) {
    let references = references(page)
    precondition(references.pointee > 0, "a free page cannot be retained")
    references.pointee += 1
  }

  /// Gives up one reference; with the last one the page is free.
  package func release(_ page: UInt32) {
    let references = references(page)
    precondition(references.pointee > 0, "a free page cannot be released")
    references.pointee -= 1
    guard references.pointee == 0 else { return }
    let index = Int(page >> shift)
    let slab = slabs + index
    slab.pointee.free[Int(slab.pointee.freeCount)] = page & (pagesPerSlab - 1)
    slab.pointee.freeCount += 1
    slab.pointee.inUse -= 1
    roomy[index / 64] |= 1 << UInt64(index % 64)
    lowestWord = min(lowestWord, index / 64)
    pagesInUse -= 1
    if slab.pointee.inUse == 0 { emptied(index) }
  }

  @usableFromInline
  package func references(_ page: UInt32) -> UnsafeMutablePointer<UInt32> {
    slabs[Int(page >> shift)].references + Int(page & ((1 << shift) - 1))
  }

  /// The lower of two empty slabs is used first, so the upper one goes back; the last one as well.
  private func emptied(_ index: Int) {
    slabs[index].freeCount = 0
    slabs[index].fresh = 0
    if let other = spare { handBack(max(index, other)) }
    spare = min(index, spare ?? index)
    if pagesInUse == 0, let last = spare {
      handBack(last)
      spare = nil
    }
  }

  private func handBack(_ index: Int) { madvise(slabs[index].base, tables, MADV_DONTNEED) }
}

/// Address space that reads as zeros and is backed where it is touched; `nil` if there is none left.
private func addressSpace(_ bytes: Int) -> UnsafeMutableRawPointer? {
  let base = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
  return base == MAP_FAILED ? nil : base
}

private func wholePages(_ bytes: Int) -> Int {
  let page = max(1, Int(sysconf(Int32(_SC_PAGESIZE))))
  return (bytes + page - 1) / page * page
}

/// Asks for memory of a node, before any of it is touched. A node that is full or not there is no failure: other memory is
/// slower, not wrong. (`numa_tonode_memory` would insist on the node, and complain on stderr.)
private func prefer(node: Int, for base: UnsafeMutableRawPointer, bytes: Int) {
  guard (0..<1024).contains(node) else { return }
  var mask = [UInt](repeating: 0, count: 1024 / UInt.bitWidth)
  mask[node / UInt.bitWidth] = 1 << UInt(node % UInt.bitWidth)
  // The system counts one bit less than it is told.
  _ = mbind(base, UInt(bytes), MPOL_PREFERRED, mask, UInt(mask.count * UInt.bitWidth + 1), 0)
}
