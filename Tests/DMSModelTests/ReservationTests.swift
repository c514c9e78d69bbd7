// Memory is reserved before a call's first layer: however sequences fork and forget, a call takes no more pages than that.

import DMSCheckpoint
import DMSKernels
import DMSPlatform
import Testing

@testable import DMSCache
@testable import DMSModel

struct ReservationTests {
  @Test(arguments: Fixture.all) func aCallTakesNoMorePagesThanItReserved(fixture: Fixture) throws {
    let decoder = try fixture.decoder()
    var options = Engine.Options()
    (options.context, options.chunk, options.batch) = (900, 48, 3)
    let engine = try Engine(decoder, on: Machine(threads: 2), options)
    var random = SplitMix(seed: 11)
    func draw(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
    var caches = [try engine.makeCache()]
    for _ in 0..<120 {
      let cache = caches[draw(caches.count)]
      switch draw(6) {
      case 0 where caches.count < 6: caches.append(try cache.fork())
      case 1 where caches.count > 1: caches.remove(at: draw(caches.count))
      case 2: cache.consolidate()
      case 3:
        let count = 1 + draw(48)
        guard cache.tokensSeen + count <= 900 else { continue }
        try bounded(engine, [cache], tokens: count) {
          try engine.prefill((0..<count).map { _ in draw(decoder.configuration.vocabulary) }, into: cache)
        }
      default:
        let batch = Array(caches.shuffled(using: &random).prefix(1 + draw(3)).filter { $0.tokensSeen < 900 })
        guard !batch.isEmpty else { continue }
        try bounded(engine, batch, tokens: 1) {
          try engine.decode(batch.map { _ in draw(decoder.configuration.vocabulary) }, in: batch)
        }
      }
    }
  }

  private func bounded(_ engine: Engine, _ caches: [SequenceCache], tokens: Int, _ call: () throws -> Void) throws {
    let size = engine.cachePool.layout.pageBytes
    let needed = caches.reduce(0) { sum, cache in
      sum + (0..<cache.slots.heads).reduce(0) { $0 + cache.slots.pagesNeeded(head: $1, tokens: tokens) }
    }
    let before = engine.cacheBytesHeld / size
    try call()
    #expect(engine.cacheBytesHeld / size - before <= needed)
    for cache in caches { #expect(cache.isWhole) }
  }
}
