// A long sequence through a model that forgets: what the cache holds, and what the process does.

import ArgumentParser
import CAllocations
import DMS

struct SparseBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sparse", abstract: "Memory of a long sequence in a sparse cache.")

  @Option(help: "A DMS model.") var model = "../Tests/Fixtures/qwen3-dms-neuron-high-cr"
  @Option(help: "Random tokens to read.") var tokens = 100_000
  @Option(help: "Seed of the tokens.") var seed: UInt64 = 1

  func run() throws {
    let machine = try Machine()
    let decoder = try Decoder(ModelSource(path: model), on: machine)
    var options = Engine.Options()
    options.context = tokens + 1000
    options.kvType = .f32
    let engine = try Engine(decoder, on: machine, options)
    printProvenance(threads: machine.threads)
    let cache = try engine.makeCache()
    var state = seed
    let ids = (0..<tokens).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(decoder.configuration.vocabulary))
    }
    try engine.prefill(Array(ids[..<1000]), into: cache)
    let resident = MemoryAccounting.residentBytes()
    let time = try seconds { try engine.prefill(Array(ids[1000...]), into: cache) }
    let growth = MemoryAccounting.residentBytes() - resident
    let ledger = cache.ledger
    print("tokens \(ledger.tokensSeen), live \(ledger.liveTokens), ratio \(ledger.compressionRatio)")
    print("held \(ledger.bytesHeld) bytes, dense / 6 \(ledger.bytesDense / 6)")
    print(
      "resident memory grew by \(growth) bytes after the first 1,000 tokens; held + 8 MB is \(ledger.bytesHeld + 8_000_000)"
    )
    print("\(Int(Double(tokens - 1000) / time)) tokens/s")
    for id in ids[..<64] { try engine.decode(id, in: cache) }
    let before = dms_allocations()
    for id in ids[64..<264] { try engine.decode(id, in: cache) }
    let allocations = dms_allocations() - before
    print("\(allocations) allocations in 200 decode steps")
  }
}
