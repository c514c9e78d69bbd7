// An adapter apart from its base computes what the whole model computes, and refuses every other model.

import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import DMSTensor
import Foundation
import Testing

struct AdapterTests {
  private let folder: String
  private var base: String { folder + "/base" }
  private var adapter: String { folder + "/adapter" }
  private let whole: Fixture

  /// The fixture with an adapter, as a dense model that never heard of it, and what it has more.
  init() throws {
    whole = try #require(Fixture.sparse.first { $0.name.contains("adapter") })
    folder = FileManager.default.temporaryDirectory.path + "/dms-adapter-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try Self.dense(whole.folder, to: folder + "/base")
    try DecisionAdapter.write(
      of: ModelSource(path: whole.folder), trainedOn: ModelSource(path: folder + "/base"), to: folder + "/adapter",
      replaces: false)
  }

  /// A copy without the DMS keys.
  private static func dense(_ model: String, to copy: String) throws {
    try FileManager.default.copyItem(atPath: model, toPath: copy)
    try edit(copy + "/config.json") { config in
      for key in config.keys where key.hasPrefix("dms_") { config[key] = nil }
    }
  }

  private static func edit(_ path: String, _ change: (inout [String: Any]) throws -> Void) throws {
    let data = try Data(contentsOf: URL(filePath: path))
    var object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    try change(&object)
    try JSONSerialization.data(withJSONObject: object).write(to: URL(filePath: path))
  }

  private func remove() { try? FileManager.default.removeItem(atPath: folder) }

  private func logits(_ source: ModelSource) throws -> [UInt32] {
    let run = try Run(Decoder(source, on: Machine(threads: 2)))
    let ids = try #require(whole.integers("input_ids"))
    try run.read(ids, split: [40, 7])
    return run.logits.map(\.bitPattern)
  }

  @Test func baseAndAdapterComputeWhatTheWholeModelComputes() throws {
    defer { remove() }
    let expected = try logits(ModelSource(path: whole.folder))
    let together = try ModelSource(path: base, adapter: adapter)
    #expect(try logits(together) == expected)
    #expect(try logits(ModelSource(path: base)) != expected)
    // And merged.
    let machine = try Machine(threads: 2)
    _ = try CheckpointConversion(to: .asStored, on: machine).write(together, to: folder + "/merged")
    let merged = try ModelSource(path: folder + "/merged")
    #expect(merged.configuration == together.configuration)
    #expect(try logits(merged) == expected)
    _ = try GGUFConversion(to: .f32, on: machine).write(together, to: folder + "/merged.gguf")
    #expect(try logits(ModelSource(path: folder + "/merged.gguf")) == expected)
  }

  @Test(arguments: [WeightFormat.bf16, .f16, .q8, .q4])
  func aQuantizationOfTheBaseIsTheBase(format: WeightFormat) throws {
    defer { remove() }
    let path = folder + "/other"
    _ = try CheckpointConversion(to: format, on: Machine(threads: 2)).write(ModelSource(path: base), to: path)
    let distance = try ModelSource(path: path, adapter: adapter).distanceFromBase()
    #expect(distance > 0 && distance < 0.12, "\(format): \(distance)")
    _ = try Decoder(ModelSource(path: path, adapter: adapter), on: Machine(threads: 2))
    _ = try GGUFConversion(to: format, on: Machine(threads: 2)).write(ModelSource(path: base), to: path + ".gguf")
    _ = try Decoder(ModelSource(path: path + ".gguf", adapter: adapter), on: Machine(threads: 2))
  }

  private func problem(base: String? = nil, adapter: String? = nil) -> String {
    do {
      _ = try Decoder(
        ModelSource(path: base ?? self.base, adapter: adapter ?? self.adapter), on: Machine(threads: 2))
      return ""
    } catch {
      return "\(error)"
    }
  }

  /// Changes a tensor's numbers in place.
  private func change(_ file: String, _ tensor: String, _ change: (inout Float) -> Void) throws {
    var data = try Data(contentsOf: URL(filePath: file))
    let size = data.prefix(8).withUnsafeBytes { Int($0.loadUnaligned(as: UInt64.self)) }
    let header = try #require(try JSONSerialization.jsonObject(with: data[8..<8 + size]) as? [String: Any])
    let range = try #require((header[tensor] as? [String: Any])?["data_offsets"] as? [Int])
    for place in stride(from: 8 + size + range[0], to: 8 + size + range[1], by: 4) {
      var value = data[place..<place + 4].withUnsafeBytes { $0.loadUnaligned(as: Float.self) }
      change(&value)
      withUnsafeBytes(of: value) { data.replaceSubrange(place..<place + 4, with: $0) }
    }
    try data.write(to: URL(filePath: file))
  }

  @Test(arguments: [4.0, 8])
  func aShippedAdapterIsWholeAndSmall(ratio: Double) throws {
    defer { remove() }
    let path =
      URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path + "/Models/smollm2-cr\(Int(ratio))-dms-adapter"
    let adapter = try DecisionAdapter(folder: path)
    #expect(adapter.settings.compressionRatio == ratio && adapter.base.samples.count == 64 + 5 * 30)
    let sizes = try FileManager.default.contentsOfDirectory(atPath: path).map {
      try FileManager.default.attributesOfItem(atPath: path + "/" + $0)[.size] as? Int ?? 0
    }
    #expect(sizes.reduce(0, +) < 1 << 19)
    #expect(problem(adapter: path).contains("another model: llama of 30 layers, 576 wide"))
  }

  @Test func anotherBaseIsRefused() throws {
    defer { remove() }
    let shape = try #require(Fixture.all.first { $0.name == "llama3-rope-scaling" })
    #expect(problem(base: shape.folder).contains("another model"))
    #expect(problem(base: whole.folder).contains("decides what to forget already"))
    let weights = base + "/model.safetensors"
    try change(weights, "model.embed_tokens.weight") { $0 = -$0 }
    #expect(problem().contains("other matrices"))
    try change(weights, "model.embed_tokens.weight") { $0 = -$0 }
    #expect(problem() == "")
    #expect(try ModelSource(path: base, adapter: adapter).distanceFromBase() == 0)
    // A model that was trained further, in one kind of its matrices.
    for layer in 0..<3 { try change(weights, "model.layers.\(layer).mlp.down_proj.weight") { $0 *= 1.25 } }
    #expect(try (0.005..<0.25).contains(ModelSource(path: base, adapter: adapter).distanceFromBase()))
    try change(weights, "model.layers.1.post_attention_layernorm.weight") { $0 += 0.001 }
    #expect(problem().contains("other norms"))
  }

  @Test func damagedAdaptersAreRefused() throws {
    defer { remove() }
    let files = FileManager.default
    func copy(_ change: (_ folder: String) throws -> Void) throws -> String {
      let copy = folder + "/damaged"
      try? files.removeItem(atPath: copy)
      try files.copyItem(atPath: adapter, toPath: copy)
      try change(copy)
      return problem(adapter: copy)
    }
    #expect(problem(adapter: folder + "/nowhere").contains("no adapter_config.json"))
    #expect(try copy { try files.removeItem(atPath: $0 + "/adapter.safetensors") }.contains("adapter.safetensors"))
    for (key, value, expected) in [
      ("base", NSNull(), "base"), ("dms_separate_alpha", false, "dms_separate_alpha"),
      ("dms_window_size", -1, "window"),
      ("base", ["shape": "x", "kept": "zz"], "hexadecimal"), ("base", ["shape": "x", "kept": "0"], "another model"),
    ] as [(String, Any, String)] {
      let found = try copy { try Self.edit($0 + "/adapter_config.json") { $0[key] = value } }
      #expect(found.contains(expected), "\(key) \(value): \(found)")
    }
    let name = "model.layers.0.self_attn.dms_proj_alpha.weight"
    let samples = try DecisionAdapter(folder: adapter).base.samples
    for (shape, hasSamples, expected) in [
      ([2, 32], true, "has the shape [2, 32]"), ([], true, "is missing"), ([2, 32], false, "no vector of F32"),
    ] {
      let found = try copy { folder in
        let numbers = [Float](repeating: 0, count: shape.reduce(1, *))
        let tensors =
          (hasSamples ? [("base.samples", [samples.count], samples)] : [])
          + (shape.isEmpty ? [] : [(name, shape, numbers)])
        let writer = try SafetensorsWriter(
          path: folder + "/adapter.safetensors", tensors: tensors.map { .init($0.0, .f32, $0.1) })
        for (name, _, numbers) in tensors { try numbers.withUnsafeBytes { try writer.write($0, to: name) } }
        try writer.finish()
      }
      #expect(found.contains(expected), "\(found)")
    }
  }
}
