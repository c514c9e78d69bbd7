// Small models with the exact numbers of the reference implementations, and how to run ours over them.

import DMSCache
import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSTensor
import Foundation
import Testing

/// A checkpoint folder with a `golden.safetensors`.
struct Fixture: CustomTestStringConvertible {
  let name: String
  let folder: String
  let golden: SafetensorsFile

  /// All fixtures that are not training steps, from `DMS_FIXTURES` or this repository.
  static let all: [Fixture] = load { !$0.hasPrefix("train-") }
  /// Those with eviction decisions.
  static let sparse: [Fixture] = all.filter { $0.golden.view("decisions") != nil }

  private static func load(where wanted: (String) -> Bool) -> [Fixture] {
    let root =
      ProcessInfo.processInfo.environment["DMS_FIXTURES"]
      ?? URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path + "/Fixtures"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
    return names.sorted().filter(wanted).compactMap { name in
      guard let golden = try? SafetensorsFile(path: "\(root)/\(name)/golden.safetensors") else { return nil }
      return Fixture(name: name, folder: "\(root)/\(name)", golden: golden)
    }
  }

  /// The reference of the BF16 fixture was cast as a whole, its rotary frequencies with it.
  func decoder(_ weights: WeightFormat = .asStored) throws -> Decoder {
    let checkpoint = try Checkpoint(folder: folder)
    var options = Decoder.Options()
    options.weights = weights
    options.rotaryType = checkpoint.configuration.storedType == .bf16 ? .bf16 : .f32
    return try Decoder(ModelSource(checkpoint), on: Machine(threads: 2), options)
  }

  func floats(_ name: String) -> [Float]? {
    golden.view(name).map { Array($0.bytes.bindMemory(to: Float.self)) }
  }

  /// An integer tensor, whether it is stored in 32 or 64 bits.
  func integers(_ name: String) -> [Int]? {
    guard let view = golden.view(name) else { return nil }
    return view.type == .i64
      ? view.bytes.bindMemory(to: Int64.self).map(Int.init) : view.bytes.bindMemory(to: Int32.self).map(Int.init)
  }

  var testDescription: String { name }
}

/// Everything that a run over a sequence shows.
final class Run: ForwardObserver {
  var logits: [Float] = []
  /// Per layer, `[T, G]`.
  var decisionLogits: [[Float]] = []
  let engine: Engine
  let cache: SequenceCache

  init(
    _ decoder: Decoder, threads: Int = 2, eviction: Bool = true, kvType: KVType = .f32, context: Int? = nil,
    chunk: Int = 512, instructions: InstructionSet? = nil, budget: CacheBudget? = nil
  ) throws {
    var options = Engine.Options()
    options.eviction = eviction
    options.kvType = kvType
    options.context = context
    options.chunk = chunk
    options.budget = budget
    engine = try Engine(decoder, on: Machine(threads: threads, instructions: instructions), options)
    cache = try engine.makeCache()
    decisionLogits = Array(repeating: [], count: decoder.configuration.layers)
    engine.observer = self
  }

  func wants(_ quantity: Observed) -> Bool { quantity == .decisionLogits }

  func observe(_ quantity: Observed, layer: Int, rows: Int, values: UnsafeBufferPointer<Float>) {
    decisionLogits[layer].append(contentsOf: values)
  }

  /// Reads the ids in calls of the given sizes; what is left goes token by token.
  func read(_ ids: [Int], split: [Int]) throws {
    var first = 0
    for size in split where first < ids.count {
      let end = min(ids.count, first + size)
      try engine.prefill(Array(ids[first..<end]), into: cache) { _, rows in self.logits.append(contentsOf: rows) }
      first = end
    }
    for id in ids[first...] {
      try engine.decode(id, in: cache)
      logits.append(contentsOf: engine.logits())
    }
  }

  var retained: [Int] {
    let shape = engine.decoder.configuration
    return (0..<shape.layers).flatMap { layer in
      (0..<shape.kvHeads).map { cache.liveTokens(layer: layer, kvHead: $0) }
    }
  }
}

func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
  zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) }
}

func largest(_ values: [Float]) -> Float { values.reduce(0) { max($0, abs($1)) } }

func argmax(_ values: UnsafeBufferPointer<Float>) -> Int {
  var best = 0
  for index in values.indices where values[index] > values[best] { best = index }
  return best
}
