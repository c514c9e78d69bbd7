import Testing

@testable import DMSPlatform

struct ArenaTests {
  /// xorshift64, seeded.
  private struct Random {
    var state: UInt64
    mutating func next(below bound: Int) -> Int {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return Int(state % UInt64(bound))
    }
  }

  private func fill(_ arena: PageArena, _ page: UInt32, _ value: UInt8) {
    arena.pointer(to: page).initializeMemory(as: UInt8.self, repeating: value, count: arena.pageBytes)
  }

  private func holds(_ arena: PageArena, _ page: UInt32, _ value: UInt8) -> Bool {
    UnsafeRawBufferPointer(start: arena.pointer(to: page), count: arena.pageBytes).allSatisfy { $0 == value }
  }

  @Test(arguments: [1, 64, 100, 4096, 5000, 600_000, 1 << 20, 4 << 20])
  func pagesDoNotOverlap(bytes: Int) throws {
    let arena = try PageArena(pageBytes: bytes, node: nil)
    #expect(arena.pageBytes >= bytes)
    // A few slabs of large pages; small ones come many to a slab.
    let pages = try (0..<9).map { _ in try arena.allocate() }
    let addresses = pages.map { UInt(bitPattern: arena.pointer(to: $0)) }.sorted()
    for (low, high) in zip(addresses, addresses.dropFirst()) { #expect(high - low >= UInt(arena.pageBytes)) }
    #expect(addresses.allSatisfy { $0 % 64 == 0 }, "pages start on a cache line")
    #expect(Set(pages).count == pages.count)
  }

  @Test(arguments: [(64, 40_000), (4096, 700), (200_000, 40), (1 << 20, 8)])
  func contentsSurviveWhatOtherPagesDo(bytes: Int, most: Int) throws {
    let arena = try PageArena(pageBytes: bytes, node: nil)
    var random = Random(state: 42)
    var live: [(page: UInt32, value: UInt8)] = []
    for step in 0..<3 * most {
      if live.count < most, live.isEmpty || random.next(below: 3) > 0 {
        let page = try arena.allocate()
        let value = UInt8(truncatingIfNeeded: step)
        fill(arena, page, value)
        live.append((page, value))
      } else {
        let gone = live.remove(at: random.next(below: live.count))
        #expect(holds(arena, gone.page, gone.value))
        arena.release(gone.page)
      }
      #expect(arena.pagesInUse == live.count)
    }
    #expect(live.allSatisfy { holds(arena, $0.page, $0.value) })
  }

  @Test func aPageLivesUntilItsLastReference() throws {
    let arena = try PageArena(pageBytes: 256, node: nil)
    let page = try arena.allocate()
    #expect(!arena.isShared(page))
    arena.retain(page)
    arena.retain(page)
    #expect(arena.isShared(page))
    fill(arena, page, 7)
    arena.release(page)
    #expect(arena.isShared(page))
    arena.release(page)
    #expect(!arena.isShared(page) && arena.pagesInUse == 1)
    #expect(try arena.allocate() != page)
    #expect(holds(arena, page, 7))
    arena.release(page)
    #expect(arena.pagesInUse == 1)
  }

  @Test func freePagesAreUsedBeforeNewMemory() throws {
    let arena = try PageArena(pageBytes: 8192, node: nil)
    var pages = try (0..<1000).map { _ in try arena.allocate() }
    let reserved = arena.bytesReserved
    var random = Random(state: 7)
    for _ in 0..<5000 {
      let index = random.next(below: pages.count)
      arena.release(pages[index])
      pages[index] = try arena.allocate()
    }
    for page in pages { arena.release(page) }
    pages = try (0..<1000).map { _ in try arena.allocate() }
    #expect(arena.bytesReserved == reserved)
    #expect(Set(pages).count == 1000)
  }

  @Test func bytesAreThoseOfThePagesInUse() throws {
    let arena = try PageArena(pageBytes: 5000, node: nil)
    #expect(arena.bytesHeld == 0 && arena.bytesReserved == 0)
    let pages = try (0..<300).map { _ in try arena.allocate() }
    #expect(arena.pagesInUse == 300 && arena.bytesHeld == 300 * arena.pageBytes)
    #expect(arena.bytesReserved >= arena.bytesHeld && arena.bytesReserved < arena.bytesHeld + (2 << 20))
    arena.retain(pages[0])
    #expect(arena.bytesHeld == 300 * arena.pageBytes, "a shared page counts once")
    arena.release(pages[0])
    for page in pages { arena.release(page) }
    #expect(arena.pagesInUse == 0 && arena.bytesHeld == 0)
  }

  @Test(arguments: [4096, 300_000, 4 << 20])
  func emptySlabsGoBackToTheSystem(bytes: Int) throws {
    let arena = try PageArena(pageBytes: bytes, node: nil)
    let count = (16 << 20) / arena.pageBytes
    let pages = try (0..<count).map { _ in try arena.allocate() }
    for page in pages { fill(arena, page, 1) }
    for page in pages { arena.release(page) }
    // Memory that went back reads as zeros when it is used again.
    let again = try (0..<count).map { _ in try arena.allocate() }
    #expect(again.allSatisfy { holds(arena, $0, 0) })
  }

  @Test func aSlabWithAPageInUseKeepsIt() throws {
    let arena = try PageArena(pageBytes: 4096, node: nil)
    let pages = try (0..<2000).map { _ in try arena.allocate() }
    for page in pages { fill(arena, page, 9) }
    let kept = pages.enumerated().filter { $0.offset % 97 == 0 }.map(\.element)
    for page in pages where !kept.contains(page) { arena.release(page) }
    #expect(kept.allSatisfy { holds(arena, $0, 9) })
    #expect(arena.pagesInUse == kept.count)
  }

  @Test func theSameCallsGiveTheSamePages() throws {
    func run() throws -> [UInt32] {
      let arena = try PageArena(pageBytes: 70_000, node: nil)
      var random = Random(state: 11)
      var live: [UInt32] = []
      var given: [UInt32] = []
      for _ in 0..<2000 {
        if live.isEmpty || random.next(below: 5) > 1 {
          given.append(try arena.allocate())
          live.append(given[given.count - 1])
        } else {
          arena.release(live.remove(at: random.next(below: live.count)))
        }
      }
      return given
    }
    #expect(try run() == run())
  }

  @Test(arguments: [0, -1, Int.min, (1 << 30) + 1, Int.max])
  func sizesOutOfRangeAreRefused(bytes: Int) {
    #expect(throws: InputError.self) { try PageArena(pageBytes: bytes, node: nil) }
  }

  @Test(arguments: [0, 1, 63, 900, 5000])
  func aNodeThatIsNotThereStillGivesMemory(node: Int) throws {
    let arena = try PageArena(pageBytes: 4096, node: node)
    let page = try arena.allocate()
    fill(arena, page, 3)
    #expect(holds(arena, page, 3))
  }

  @Test func residentMemoryIsCounted() {
    let bytes = MemoryAccounting.residentBytes()
    #expect(bytes > 1 << 20 && bytes <= MemoryAccounting.peakResidentBytes() + (64 << 20))
  }
}
