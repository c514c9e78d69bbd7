// Decoding at short context is limited by reading the weights: its share of what the memory can deliver, measured in turn
// with it. Also: how often a decode step allocates.

import ArgumentParser
import CAllocations
import DMS
import Glibc

struct DecodeBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decode", abstract: "Share of the memory bandwidth that decoding reaches, and allocations per step.")

  @Option(help: "Weight types, as F32,BF16,F16.") var types = "F32,BF16,F16"
  @Option(help: "Worker threads; 0: one per usable processor.") var threads = 0
  @Option(help: "Repetitions of 8 tokens each.") var repetitions = 9

  func run() throws {
    let threads = threads > 0 ? threads : Topology.allowedProcessors().count
    printProvenance(threads: threads)
    let machine = try Machine(threads: threads)
    // Threads of its own: they sleep while the engine's work.
    let memory = try MemoryBandwidth(on: Machine(threads: threads))
    for name in types.split(separator: ",") {
      guard let type = ElementType(rawValue: String(name)) else { throw ValidationError("unknown type \(name)") }
      let folder = "/tmp/dms-benchmark-\(getpid())-\(name)"
      defer { _ = output(of: "rm -r '\(folder)'") }
      let random = try RandomCheckpoint(type: type, folder: folder)
      try measure(random, type, machine, memory)
    }
  }

  private func measure(_ random: RandomCheckpoint, _ type: ElementType, _ machine: Machine, _ memory: MemoryBandwidth)
    throws
  {
    var options = Engine.Options()
    options.context = 1024
    let engine = try Engine(Decoder(ModelSource(path: random.folder), on: machine), on: machine, options)
    let cache = try engine.makeCache()
    try engine.prefill(Array(1...16), into: cache)
    for id in 1...8 { try engine.decode(id, in: cache) }
    var (rates, limits, shares): ([Double], [Double], [Double]) = ([], [], [])
    var allocations: UInt64 = 0
    for _ in 0..<repetitions {
      let before = dms_allocations()
      let time = try seconds { for id in 1...8 { try engine.decode(id, in: cache) } }
      allocations += dms_allocations() - before
      let limit = memory.measure() / 1e9
      let rate = Double(8 * random.bytesPerToken) / time / 1e9
      rates.append(rate)
      limits.append(limit)
      shares.append(100 * rate / limit)
    }
    print(
      "\(type.rawValue): \(random.bytesPerToken >> 20) MiB a token · read \(Measurement(rates).text) GB/s · memory "
        + "\(Measurement(limits).text) GB/s · share \(Measurement(shares).text) % · "
        + "\(Double(allocations) / Double(8 * repetitions)) allocations a step")
  }
}
