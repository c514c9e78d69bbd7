// The store under release and forks: which token is in which slot, what its floats are, and what memory is held, beside a plain
// list of tokens.

import DMSKernels
import DMSPlatform
import Testing

@testable import DMSCache

struct SlotStoreTests {
  private static let layout = KVLayout(headDim: 4, type: .f32)
  private static let needs = PolicyNeeds(sees: .stored, slotFloats: 2, pageFloats: 3)

  /// A store of one layer and two heads, and what should be in it: for each head the tokens in the order of their slots.
  private struct Tokens {
    var store: SlotStore
    var lists: [[Float]] = [[], []]

    func fork() throws -> Tokens { Tokens(store: try store.fork(), lists: lists) }

    mutating func append(_ token: Float, head: Int) throws {
      let slot = store.slots[head]
      store.slots[head] += 1
      let place = try store.placeForWriting(head: head, slot: slot)
      let (key, value) = ([Float](repeating: token, count: 4), [Float](repeating: -token, count: 4))
      SlotStoreTests.layout.store(key: key, value: value, page: place.base, index: Int(place.index))
      for field in 0..<2 { store.floats?.field(SlotField(field), head: head)[slot] = token + Float(field) / 4 }
      lists[head].append(token)
    }

    mutating func release(_ slot: Int, head: Int) throws {
      let moved = try store.release(head: head, slot: slot)
      #expect(moved == (slot == lists[head].count - 1 ? nil : lists[head].count - 1))
      let last = lists[head].removeLast()
      if moved != nil { lists[head][slot] = last }
    }

    func check() {
      for head in 0..<2 {
        #expect(store.slots[head] == lists[head].count)
        for (slot, token) in lists[head].enumerated() {
          let place = store.place(head: head, slot: slot)
          var (key, value) = ([Float](repeating: 0, count: 4), [Float](repeating: 0, count: 4))
          SlotStoreTests.layout.load(page: place.base, index: Int(place.index), key: &key, value: &value)
          #expect(key == Array(repeating: token, count: 4) && value == Array(repeating: -token, count: 4))
          for field in 0..<2 {
            #expect(store.floats?.field(SlotField(field), head: head)[slot] == token + Float(field) / 4)
          }
        }
      }
    }
  }

  private func tokens() throws -> Tokens {
    Tokens(store: try SlotStore(pool: History.pool(), layers: 1, capacity: 1000, needs: Self.needs))
  }

  @Test(arguments: 0..<8 as Range<UInt64>)
  func releasedSlotsAreFilledByTheLast(seed: UInt64) throws {
    var random = RandomStream(seed: seed)
    var all = [try tokens()]
    for step in 0..<600 {
      let which = Int.random(in: 0..<all.count, using: &random)
      let head = Int.random(in: 0..<2, using: &random)
      let live = all[which].lists[head].count
      if live > 0, Int.random(in: 0..<100, using: &random) < (step % 200 < 100 ? 35 : 65) {
        try all[which].release(Int.random(in: 0..<live, using: &random), head: head)
      } else {
        try all[which].append(Float(step + 1), head: head)
      }
      if step % 90 == 89, all.count < 4 { all.append(try all[which].fork()) }
      if step % 130 == 129, all.count > 1 {
        all.remove(at: Int.random(in: 0..<all.count, using: &random))
        for tokens in all { tokens.store.consolidate() }
      }
      if step % 10 == 0 { for tokens in all { tokens.check() } }
    }
    for tokens in all { tokens.check() }
  }

  @Test func emptyPagesGoBack() throws {
    var tokens = try tokens()
    for token in 0..<100 { try tokens.append(Float(token), head: 0) }
    #expect(tokens.store.referencedPages == 7)
    let before = tokens.store.tableBytes
    for _ in 0..<68 { try tokens.release(5, head: 0) }
    #expect(tokens.store.referencedPages == 2 && tokens.store.pool.bytesHeld == 2 * Self.layout.pageBytes)
    // A slot has two floats, a page three and its entry.
    #expect(before - tokens.store.tableBytes == 4 * (68 * 2 + 5 * 3) + 5 * MemoryLayout<KVPage>.stride)
    for _ in 0..<32 { try tokens.release(0, head: 0) }
    #expect(tokens.store.referencedPages == 0 && tokens.store.pool.bytesHeld == 0 && tokens.store.tableBytes == 0)
  }

  /// What a call reserves beforehand is enough for all that it appends and gives up, in forks too.
  @Test func reservedPagesSufficeForMoves() throws {
    var tokens = try tokens()
    for token in 0..<200 { try tokens.append(Float(token), head: 0) }
    var fork = try tokens.fork()
    let needed = fork.store.pagesNeeded(head: 0, tokens: 10)
    let before = fork.store.referencedPages
    for token in 0..<10 { try fork.append(Float(1000 + token), head: 0) }
    var most = fork.store.referencedPages - before
    while fork.lists[0].count > 20 {
      try fork.release(0, head: 0)
      most = max(most, fork.store.pool.bytesHeld / Self.layout.pageBytes - before)
    }
    #expect(most <= needed)
    fork.check()
    tokens.check()
  }

  @Test func savedFloatsComeBackOrAreRefused() throws {
    var tokens = try tokens()
    // The first field is a position: whole numbers.
    for token in 0..<40 {
      try tokens.append(Float(token), head: token % 2)
    }
    let words = tokens.store.floatWords
    #expect(words.count == tokens.store.floatCount)
    #expect(tokens.store.restore(floatWords: words[...], tokensSeen: 40))
    #expect(tokens.store.floatWords == words)
    #expect(!tokens.store.restore(floatWords: words[...], tokensSeen: 39))
    #expect(!tokens.store.restore(floatWords: words.dropLast(), tokensSeen: 40))
    for bad in [Float.nan, .infinity, -1, 0.5] {
      var damaged = words
      damaged[3] = bad.bitPattern
      #expect(!tokens.store.restore(floatWords: damaged[...], tokensSeen: 40))
    }
    #expect(tokens.store.restore(floatWords: words[...], tokensSeen: 40))
    tokens.check()
  }
}
