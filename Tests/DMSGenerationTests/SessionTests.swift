import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import DMSTensor
import DMSText
import Foundation
import Testing

@testable import DMSGeneration

private let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent()
private let stories = repository.deletingLastPathComponent().appending(path: "shared/data/stories260K").path
private let hasStories = FileManager.default.fileExists(atPath: stories)

struct SessionTests {
  private func engine(_ fixture: String, threads: Int = 2, context: Int? = nil, kvType: KVType? = nil)
    throws -> Engine
  {
    var options = Engine.Options()
    options.context = context
    options.kvType = kvType
    let folder = repository.appending(path: "Tests/Fixtures/\(fixture)").path
    let machine = try Machine(threads: threads)
    return try Engine(Decoder(ModelSource(path: folder), on: machine), on: machine, options)
  }

  private func ids(_ count: Int, seed: UInt64) -> [Int] {
    var random = SplitMix(seed: seed)
    return (0..<count).map { _ in Int(random.next() % 160) }
  }

  private func generate(_ session: Session, _ count: Int, temperature: Double = 0) throws -> Generation {
    var options = SamplingOptions()
    options.temperature = temperature
    options.seed = 3
    var sampler = Sampler(options, vocabulary: 160)
    return try session.generate(&sampler, eosIDs: [], maxTokens: count) { _ in true }
  }

  @Test(arguments: ["qwen3", "qwen3-dms-neuron-high-cr"])
  func aRewrittenHistoryResumesFromTheLastForkPoint(fixture: String) throws {
    let engine = try engine(fixture)
    let session = try Session(engine)
    let system = ids(60, seed: 1)
    // A first turn: 60 stable tokens, then 5 that the next turn will not repeat.
    #expect(try session.resume(system + ids(5, seed: 2), stable: 60) == 65)
    _ = try generate(session, 20)
    // The second begins with the stable part only: what came after is given up.
    let second = system + ids(30, seed: 3)
    #expect(try session.resume(second, stable: 85) == 30)
    let continued = try generate(session, 15)
    let fresh = try Session(engine)
    #expect(try fresh.resume(second) == 90)
    #expect(try generate(fresh, 15).ids == continued.ids)
    // A continuation of what is in the cache reads only what is new, and the token that was generated last.
    let third = session.ids + ids(4, seed: 4)
    #expect(try session.resume(third) == 5)
    // Nothing in common: from the beginning.
    #expect(try session.resume(ids(10, seed: 9)) == 10)
    #expect(session.ids.count == 10)
  }

  @Test func theSamePromptTwiceIsReadAgainWhereItMust() throws {
    let session = try Session(engine("qwen3"))
    let prompt = ids(20, seed: 1)
    try session.resume(prompt)
    let first = try generate(session, 10)
    try session.resume(prompt)
    #expect(try generate(session, 10).ids == first.ids)
  }

  @Test(arguments: [0.0, 0.9])
  func threadsDoNotChangeTheTokens(temperature: Double) throws {
    let runs = try [1, 2, 3].map { threads in
      let session = try Session(engine("qwen3-dms-neuron-head", threads: threads))
      try session.resume(ids(50, seed: 7))
      return try generate(session, 40, temperature: temperature).ids
    }
    #expect(runs[0].count == 40)
    #expect(runs[0] == runs[1])
    #expect(runs[0] == runs[2])
  }

  @Test func generationEndsForAReason() throws {
    let session = try Session(engine("qwen3", context: 30))
    try session.resume(ids(20, seed: 1))
    let full = try generate(session, 100)
    #expect(full.reason == .context)
    #expect(full.ids.count == 11, "ten fit, and the last one is chosen but not read")
    #expect(throws: InputError.self) { try session.resume(ids(31, seed: 1)) }
    #expect(throws: InputError.self) { try session.resume([]) }
    try session.resume(ids(5, seed: 2))
    #expect(try generate(session, 3).reason == .length)
    var sampler = Sampler(SamplingOptions(), vocabulary: 160)
    let cancelled = try session.generate(&sampler, eosIDs: [], maxTokens: 9, isCancelled: { true }) { _ in true }
    #expect(cancelled.reason == .cancelled)
    let eos = Set(0..<160)
    #expect(try session.generate(&sampler, eosIDs: eos, maxTokens: 9) { _ in true }.reason == .stop)
  }

  @Test(arguments: ["qwen3", "qwen3-dms-neuron-high-cr", "qwen3-dms-adapter-head"], [KVType.f32, .q8])
  func aSavedSessionGoesOnBitForBit(fixture: String, kvType: KVType) throws {
    let engine = try engine(fixture, kvType: kvType)
    let path = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString).session").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let session = try Session(engine)
    try session.resume(ids(100, seed: 1))
    _ = try generate(session, 20)
    try SessionFile.save(session, note: "a \"note\"\n", to: path)
    let (restored, note) = try SessionFile.load(path, on: self.engine(fixture, kvType: kvType))
    #expect(note == "a \"note\"\n")
    #expect(restored.ids == session.ids)
    for id in ids(30, seed: 5) {
      try engine.decode(id, in: session.cache)
      let expected = engine.logits().map(\.bitPattern)
      try restored.engine.decode(id, in: restored.cache)
      #expect(restored.engine.logits().map(\.bitPattern) == expected)
    }
    #expect(throws: InputError.self) { try SessionFile.load(path, on: self.engine("qwen2-r1-style")) }
  }

  /// What has left a window is in no file.
  @Test func aSessionWithAWindowGoesOnBitForBit() throws {
    let source = repository.appending(path: "Tests/Fixtures/qwen3").path
    let folder = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try FileManager.default.createSymbolicLink(
      atPath: folder + "/model.safetensors", withDestinationPath: source + "/model.safetensors")
    let published = try String(contentsOfFile: source + "/config.json", encoding: .utf8)
    func engine(window: Int) throws -> Engine {
      let config = published.replacing("\"use_sliding_window\": false", with: "\"use_sliding_window\": true")
        .replacing("\"sliding_window\": null", with: "\"sliding_window\": \(window)")
        .replacing("\"max_window_layers\": 28", with: "\"max_window_layers\": 1")
        .replacing("\"layer_types\"", with: "\"was\"")
      try config.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
      let machine = try Machine(threads: 2)
      return try Engine(Decoder(ModelSource(path: folder), on: machine), on: machine)
    }
    let session = try Session(engine(window: 7))
    try session.resume(ids(50, seed: 1))
    _ = try generate(session, 11)
    #expect(session.cache.liveTokens(layer: 0, kvHead: 0) == 60 && session.cache.liveTokens(layer: 1, kvHead: 1) == 7)
    try SessionFile.save(session, note: "", to: folder + "/session")
    let (restored, _) = try SessionFile.load(folder + "/session", on: engine(window: 7))
    for id in ids(20, seed: 5) {
      try session.engine.decode(id, in: session.cache)
      try restored.engine.decode(id, in: restored.cache)
      #expect(session.engine.logits().map(\.bitPattern) == restored.engine.logits().map(\.bitPattern))
    }
    #expect(throws: InputError.self) { try SessionFile.load(folder + "/session", on: engine(window: 8)) }
  }

  @Test func damagedSessionFilesAreRefused() throws {
    let engine = try engine("qwen3-dms-neuron-high-cr")
    let path = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString).session").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let session = try Session(engine)
    try session.resume(ids(60, seed: 1))
    try SessionFile.save(session, note: "", to: path)
    let whole = try Data(contentsOf: URL(filePath: path))
    var random = SplitMix(seed: 1)
    var refused = 0
    for _ in 0..<300 {
      var data = whole
      // The header and the small tables are what can mislead; keys and values are numbers like any other.
      for _ in 0..<1 + random.next() % 3 { data[Int(random.next() % 4000)] = UInt8(truncatingIfNeeded: random.next()) }
      try data.write(to: URL(filePath: path))
      do {
        let (loaded, _) = try SessionFile.load(path, on: engine)
        try loaded.resume(loaded.ids + [1])
      } catch let error as InputError {
        refused += 1
        #expect(!error.description.contains("\n"))
      }
    }
    #expect(refused > 100)
  }

  @Test(.enabled(if: hasStories, "needs ../shared/data"), arguments: [ElementType.f32, .bf16])
  func storiesTellsItsStory(type: ElementType) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for name in ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"] {
      try FileManager.default.createSymbolicLink(
        atPath: "\(folder)/\(name)", withDestinationPath: "\(stories)/\(name)")
    }
    let weights = try SafetensorsFile(path: stories + "/model.safetensors")
    let writer = try SafetensorsWriter(
      path: folder + "/model.safetensors",
      tensors: weights.names.compactMap { name in weights.view(name).map { .init(name, type, $0.shape) } })
    for name in weights.names {
      guard let view = weights.view(name) else { continue }
      if type == .f32 {
        try writer.write(view.bytes, to: name)
      } else {
        let narrow = view.bytes.bindMemory(to: UInt32.self).map { UInt16(($0 + 0x7FFF + ($0 >> 16 & 1)) >> 16) }
        try narrow.withUnsafeBytes { try writer.write($0, to: name) }
      }
    }
    try writer.finish()
    let machine = try Machine()
    let model = try LanguageModel(path: folder, on: machine)
    let session = try Session(Engine(model.decoder, on: machine))
    try session.resume(model.ids(raw: ""))
    var sampler = Sampler(SamplingOptions(model.generation), vocabulary: 512)
    var (stream, text) = (TextStream(model.tokenizer, stops: []), "")
    _ = try session.generate(&sampler, eosIDs: model.eosIDs, maxTokens: 60) { id in
      text += stream.append(id)
      return true
    }
    #expect(
      text.hasPrefix("Once upon a time, there was a little girl named Lily. She loved to play outside in the park."))
  }
}
