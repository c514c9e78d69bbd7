// Mistral, SmolLM3 and Qwen with sliding windows against transformers 5.24 in fp32, eager attention over the whole text; the
// weights are FormulaModel's. (Its cache does not forget with a window of 1; the mask is what counts.)

import DMSCache
import DMSCheckpoint
import DMSKernels
import DMSModel
import Testing

struct FamilyTests {
  struct Model: CustomTestStringConvertible {
    let testDescription: String
    let keys: String
    let windows: [Int?]
    /// Logits 3, 64 and 127 after each of `places`.
    let logits: [Float]
  }

  private static let ids = (0..<40).map { ($0 * $0 * 7 + $0 * 13 + 5) % 128 }
  private static let places = [0, 1, 3, 7, 8, 19, 30, 39]

  private static func types(_ initials: String) -> String {
    let names = initials.map { $0 == "s" ? "\"sliding_attention\"" : "\"full_attention\"" }
    return "\"layer_types\": [\(names.joined(separator: ", "))]"
  }

  static let models = [
    Model(
      testDescription: "mistral, window 8",
      keys: #""model_type": "mistral", "sliding_window": 8"#,
      windows: [8, 8, 8, 8],
      logits: [
        0.93220, -2.70502, -4.02241, 0.32878, -4.26270, -3.53193, 3.50019, -0.83947, -1.51773, 1.07860,
        -1.70025, -2.12377, -2.26950, 1.45999, 2.45892, 2.22685, 1.72768, -2.14226, 0.67896, -2.33767, -1.38077,
        1.96179, -2.26072, -1.89985,
      ]),
    Model(
      testDescription: "mistral, no window, tied",
      keys: #""model_type": "mistral", "sliding_window": null, "tie_word_embeddings": true, "rope_theta": 1e6"#,
      windows: [nil, nil, nil, nil],
      logits: [
        1.45993, -5.21073, 1.58255, -0.33240, -4.22688, 0.90185, 1.53927, -0.87606, -0.98345, 1.38227, -0.73450,
        -0.81373, -0.13244, 0.22709, 1.40101, -1.15426, 0.64464, -1.00076, 1.25637, -1.01406, -0.79444,
        -2.11501, -0.94560, -2.39462,
      ]),
    Model(
      testDescription: "mistral, window 1",
      keys: #""model_type": "mistral", "sliding_window": 1"#,
      windows: [1, 1, 1, 1],
      logits: [
        0.93220, -2.70502, -4.02241, 1.12686, 1.30154, 2.47212, 1.31529, 2.83293, 3.87739, -3.06376, 2.44527,
        -1.68127, -1.75321, 0.21609, -2.37269, -2.57427, 1.52437, -3.65780, 1.97854, -0.52661, -1.36029,
        1.71714, -0.06046, -1.27054,
      ]),
    Model(
      testDescription: "mistral, window beyond the text",
      keys: #""model_type": "mistral", "sliding_window": 41"#,
      windows: [41, 41, 41, 41],
      logits: [
        0.93220, -2.70502, -4.02241, 0.32878, -4.26270, -3.53193, 3.50019, -0.83947, -1.51773, 1.07860,
        -1.70025, -2.12377, -2.18173, -0.58693, 0.04595, 1.07034, -2.00742, -0.02303, 0.48629, 0.17447,
        -0.36656, -0.18732, -2.17681, 0.00467,
      ]),
    Model(
      testDescription: "qwen2, the last two layers slide",
      keys: #""model_type": "qwen2", "use_sliding_window": true, "sliding_window": 8, "max_window_layers": 2"#,
      windows: [nil, nil, 8, 8],
      logits: [
        1.00010, -2.67678, -4.15893, 0.78802, -3.61678, -4.74751, 3.08862, -0.42960, -1.19446, 3.79605,
        -0.85788, -2.19039, 0.03927, -0.00797, -1.55170, 0.63310, 0.29400, -0.46422, 1.27586, 0.88260, -1.16328,
        -0.04253, -1.54578, 0.46959,
      ]),
    Model(
      testDescription: "qwen3, every other layer slides",
      keys: #""model_type": "qwen3", "use_sliding_window": true, "sliding_window": 5, "# + types("sfsf"),
      windows: [5, nil, 5, nil],
      logits: [
        0.93220, -2.70502, -4.02241, 2.76628, -4.69404, -3.28364, -0.06320, -1.07996, -1.76845, 1.10878,
        0.56384, -0.11691, 0.77159, 2.20216, -2.53122, 0.70656, -1.85376, 0.17691, -0.21733, 2.17410, 2.28985,
        0.20146, -0.11114, 2.46818,
      ]),
    Model(
      testDescription: "smollm3 as it is",
      keys: #""model_type": "smollm3""#,
      windows: [nil, nil, nil, nil],
      logits: [
        1.45993, -5.21073, 1.58255, -0.31864, -4.26710, 0.91898, 1.69107, -0.81931, -1.24917, 1.52433, -0.87458,
        -0.94036, -0.38240, -0.83210, 1.34059, -1.01938, 1.22072, -0.56655, 1.76066, -1.59527, -1.69351,
        -1.09961, -0.40863, 0.88609,
      ]),
    Model(
      testDescription: "smollm3, layers without RoPE slide",
      keys: #"""
        "model_type": "smollm3", "use_sliding_window": true, "sliding_window": 8, "no_rope_layers": [1, 0, 1, 0],
        "attention_bias": true, "mlp_bias": true, "tie_word_embeddings": false, "rope_theta": 5e6
        """#,
      windows: [nil, 8, nil, 8],
      logits: [
        0.20005, -3.23167, -3.53742, 1.54383, -2.38932, -1.96385, 0.84486, -0.21258, 1.41469, 3.38215, 0.65463,
        -0.87548, -0.14614, 1.35981, 1.95315, 3.20668, 0.34987, 2.16837, 2.48789, 0.96744, -0.42326, 0.39076,
        0.93776, 1.27025,
      ]),
    Model(
      testDescription: "smollm3, types by name",
      keys: #""model_type": "smollm3", "use_sliding_window": true, "sliding_window": 3, "no_rope_layer_interval": 2, "#
        + types("sffs"),
      windows: [3, nil, nil, 3],
      logits: [
        1.45993, -5.21073, 1.58255, -0.34733, -4.29415, 0.98221, -0.33889, -0.07604, -2.73579, 1.68477,
        -0.67074, -2.77343, -0.51821, 0.05566, -2.42847, 0.57648, -2.61021, 2.24129, -0.25027, 1.73853, 1.03539,
        1.08694, -0.38527, -1.42191,
      ]),
  ]

  /// All logits, `[40, 128]`.
  private func logits(_ decoder: Decoder, split: [Int], eviction: Bool = true) throws -> (Run, [Float]) {
    let run = try Run(decoder, eviction: eviction)
    try run.read(Self.ids, split: split)
    return (run, run.logits)
  }

  @Test(arguments: models, GoldenTests.Split.allCases)
  func logitsAreThoseOfTheReference(model: Model, split: GoldenTests.Split) throws {
    let decoder = try FormulaModel.decoder(model.keys)
    let (run, logits) = try logits(decoder, split: split.sizes(Self.ids.count))
    let sample = Self.places.flatMap { place in [3, 64, 127].map { logits[place * 128 + $0] } }
    #expect(largestDifference(sample, model.logits) <= 1e-4 * largest(model.logits))
    // Between the places the calls agree among themselves.
    let whole = try self.logits(decoder, split: [40], eviction: false).1
    #expect(logits.count == whole.count && largestDifference(logits, whole) <= 1e-4 * largest(whole))
    // What has left a window takes no memory.
    let live = model.windows.flatMap { window in [Int](repeating: min(40, window ?? 40), count: 2) }
    #expect(run.retained == live)
    #expect(run.cache.ledger.liveTokens == Double(live.reduce(0, +)) / 8 && run.cache.ledger.tokensSeen == 40)
  }

  @Test(arguments: models, InstructionSet.available)
  func everyInstructionSetHasTheNumbersOfTheReference(model: Model, instructions: InstructionSet) throws {
    let run = try Run(FormulaModel.decoder(model.keys), instructions: instructions)
    try run.read(Self.ids, split: [13, 20])
    let sample = Self.places.flatMap { place in [3, 64, 127].map { run.logits[place * 128 + $0] } }
    #expect(largestDifference(sample, model.logits) <= 1e-4 * largest(model.logits))
  }

  /// Over many blocks of queries and keys, and calls that are longer than the window.
  @Test(arguments: [1, 15, 16, 100, 300])
  func longTextsDoNotDependOnTheirSplit(window: Int) throws {
    let decoder = try FormulaModel.decoder(
      "\"model_type\": \"qwen3\", \"use_sliding_window\": true, \"sliding_window\": \(window), " + Self.types("sffs"),
      context: 2048)
    let ids = (0..<900).map { ($0 * $0 * 11 + $0 * 3) % 128 }
    let stepwise = try Run(decoder)
    try stepwise.read(ids, split: [])
    for (chunk, split) in [(1024, [900]), (512, [900]), (64, [7, 500, 1, 200, 192])] {
      let other = try Run(decoder, chunk: chunk)
      try other.read(ids, split: split)
      #expect(largestDifference(other.logits, stepwise.logits) <= 1e-4 * largest(stepwise.logits), "\(split)")
      #expect(
        other.retained == stepwise.retained && other.retained == [window, window, 900, 900, 900, 900, window, window])
    }
    // Pages of 16 slots; the tables are small beside them.
    let ledger = stepwise.cache.ledger
    let pages = 4 * ((window + 15) / 16) + 4 * ((900 + 15) / 16)
    #expect(ledger.bytesHeld < pages * 16 * stepwise.cache.layout.slotBytes * 11 / 10)
  }

  @Test func forksAndRestoredCachesGoOnAlike() throws {
    let run = try Run(FormulaModel.decoder(Self.models[5].keys))
    let engine = run.engine
    try engine.prefill(Array(Self.ids[..<23]), into: run.cache)
    let fork = try run.cache.fork()
    let restored = try engine.makeCache()
    #expect(run.cache.evictionState.isEmpty)
    try restore(run.cache, into: restored) { $0 }
    // The original goes another way first; the fork does not feel it.
    for id in Self.ids[..<12] { try engine.decode(id, in: run.cache) }
    let alone = try engine.makeCache()
    try engine.prefill(Array(Self.ids[..<23]), into: alone)
    for id in Self.ids[23...] {
      try engine.decode(id, in: alone)
      let expected = Array(engine.logits())
      for cache in [fork, restored] {
        try engine.decode(id, in: cache)
        #expect(Array(engine.logits()) == expected)
      }
    }
    // A window has all of its slots.
    #expect(throws: (any Error).self) { try restore(run.cache, into: engine.makeCache()) { $0.dropLast(64) } }
  }

  private func restore(_ cache: SequenceCache, into other: SequenceCache, _ change: ([UInt8]) -> [UInt8]) throws {
    var copies: [UnsafeMutableRawBufferPointer] = []
    defer { for copy in copies { copy.deallocate() } }
    func copied(_ bytes: [UInt8]) -> UnsafeRawBufferPointer {
      let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 64)
      copy.copyBytes(from: bytes)
      copies.append(copy)
      return UnsafeRawBufferPointer(copy)
    }
    try other.restore(tokensSeen: cache.tokensSeen, evictionState: cache.evictionState) { layer, kvHead in
      let (keys, values) = cache.exportHead(layer: layer, kvHead: kvHead)
      return (copied(change(keys)), copied(change(values)))
    }
  }

  @Test func evictionsAreNotDrawnBesideWindows() throws {
    var options = Engine.Options()
    options.drawn = DrawnDecisions(ratio: 4)
    let decoder = try FormulaModel.decoder(Self.models[0].keys)
    #expect(throws: (any Error).self) { try Engine(decoder, on: Machine(threads: 1), options) }
  }
}
