// Numbers that are none never become text: the tensor that holds them is named, or the layer that they came from.

import DMSCache
import DMSCheckpoint
import DMSKernels
import DMSPlatform
import DMSTensor
import Foundation
import Testing

@testable import DMSModel

struct FiniteTests {
  /// A fixture with one number of one tensor replaced, in a folder of its own.
  private func damaged(
    _ fixture: Fixture, _ tensor: String, at place: Int = 5, to value: Float, _ body: (String) throws -> Void
  ) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try FileManager.default.copyItem(atPath: fixture.folder + "/config.json", toPath: folder + "/config.json")
    let file = try SafetensorsFile(path: fixture.folder + "/model.safetensors")
    let writer = try SafetensorsWriter(
      path: folder + "/model.safetensors",
      tensors: file.names.compactMap { name in file.view(name).map { .init(name, $0.type, $0.shape) } })
    for name in file.names {
      guard let view = file.view(name) else { continue }
      try writer.write(view.bytes, to: name)
      guard name == tensor else { continue }
      try #require(view.type == .f32)
      try withUnsafeBytes(of: value) { try writer.write($0, to: name, atByte: 4 * place) }
    }
    try writer.finish()
    try body(folder)
  }

  private func fixture(_ name: String) throws -> Fixture {
    try #require(Fixture.all.first { $0.name == name })
  }

  /// What a run of a folder complains of; `nil` if it does not.
  private func complaint(_ folder: String, _ format: WeightFormat, decodes: Bool) -> String? {
    do {
      let machine = try Machine(threads: 2)
      var options = Decoder.Options()
      options.weights = format
      let decoder = try Decoder(ModelSource(path: folder), on: machine, options)
      let engine = try Engine(decoder, on: machine)
      let cache = try engine.makeCache()
      if decodes {
        for id in 1...8 { try engine.decode(id, in: cache) }
      } else {
        try engine.prefill(Array(1...8), into: cache)
      }
      return nil
    } catch {
      return "\(error)"
    }
  }

  @Test(arguments: [
    "model.embed_tokens.weight", "model.layers.0.input_layernorm.weight", "model.layers.1.self_attn.q_proj.weight",
    "model.layers.0.self_attn.k_proj.weight", "model.layers.1.self_attn.v_proj.weight",
    "model.layers.1.self_attn.o_proj.weight", "model.layers.0.self_attn.q_norm.weight",
    "model.layers.1.post_attention_layernorm.weight", "model.layers.0.mlp.gate_proj.weight",
    "model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.down_proj.weight", "model.norm.weight",
    "lm_head.weight",
  ])
  func aTensorWithNaNOrInfinityIsNamed(tensor: String) throws {
    let fixture = try fixture("qwen3-dms-neuron-head")
    for value in [Float.nan, .infinity, -.infinity] {
      // A token that the run reads: rows of the embedding that nothing looks at harm nobody.
      let width = try ModelConfiguration(folder: fixture.folder).hidden
      let place = tensor.contains("embed") ? 3 * width + 1 : 5
      try damaged(fixture, tensor, at: place, to: value) { folder in
        for format in [WeightFormat.asStored, .bf16, .q8, .q4] {
          for decodes in [false, true] {
            let complaint = complaint(folder, format, decodes: decodes)
            #expect(complaint?.contains("\"\(tensor)\"") == true, "\(format) \(decodes): \(complaint ?? "silence")")
          }
        }
      }
    }
  }

  /// The channel itself is zero for attention, so its NaN would change nothing but what is forgotten.
  @Test func aDecisionThatIsNoNumberIsNoDecision() throws {
    for name in ["qwen3-dms-neuron-head", "qwen3-dms-neuron-layer", "qwen3-dms-adapter-head"] {
      let fixture = try fixture(name)
      let shape = try ModelConfiguration(folder: fixture.folder)
      let isAdapter = shape.dms?.separateAlpha == true
      let tensor = "model.layers.1.self_attn." + (isAdapter ? "dms_proj_alpha.weight" : "q_proj.weight")
      let place = isAdapter ? 2 : shape.borrowedChannel(0) * shape.hidden + 2
      try damaged(fixture, tensor, at: place, to: .nan) { folder in
        for format in [WeightFormat.asStored, .q8] {
          #expect(complaint(folder, format, decodes: false)?.contains(tensor) == true, "\(name) \(format)")
        }
      }
    }
  }

  /// Finite weights whose products are not: the layer is named, by whichever kernel the numbers go through.
  @Test(arguments: [WeightFormat.asStored, .q8])
  func activationsThatOverflowNameTheirLayer(format: WeightFormat) throws {
    let fixture = try fixture("qwen3-dms-neuron-head")
    for (tensor, layer) in [
      ("model.layers.1.mlp.down_proj.weight", 1), ("model.layers.0.self_attn.o_proj.weight", 0),
      ("model.layers.1.self_attn.v_proj.weight", 1),
    ] {
      let config = try ModelConfiguration(folder: fixture.folder)
      let columns = tensor.contains("down") ? config.intermediate : config.hidden
      try damaged(fixture, tensor, at: columns + 1, to: 3e38) { folder in
        for decodes in [false, true] {
          let complaint = complaint(folder, format, decodes: decodes)
          #expect(complaint?.contains("layer \(layer) gives") == true, "\(tensor): \(complaint ?? "silence")")
        }
      }
    }
  }

  @Test func whatABrokenCallLeavesIsRefused() throws {
    try damaged(try fixture("qwen3-dms-neuron-head"), "model.layers.1.mlp.up_proj.weight", to: .nan) { folder in
      let machine = try Machine(threads: 2)
      let engine = try Engine(Decoder(ModelSource(path: folder), on: machine), on: machine)
      let cache = try engine.makeCache()
      #expect(throws: InputError.self) { try engine.prefill([1, 2, 3], into: cache) }
      #expect { try engine.decode(1, in: cache) } throws: { "\($0)".contains("broke off") }
      // Another sequence is not concerned by what the first one noted.
      let other = try engine.makeCache()
      #expect { try engine.decode(1, in: other) } throws: { "\($0)".contains("up_proj") }
    }
  }

  @Test func quantizingNamesTheTensorAndWritesNothing() throws {
    for tensor in ["model.layers.0.mlp.up_proj.weight", "model.layers.1.self_attn.k_norm.weight"] {
      try damaged(try fixture("qwen3-dms-neuron-head"), tensor, to: .nan) { folder in
        for format in [WeightFormat.q8, .q4, .bf16, .f16, .f32] {
          let conversion = try CheckpointConversion(to: format, on: Machine(threads: 2))
          #expect { try conversion.write(ModelSource(path: folder), to: folder + "/out") } throws: {
            "\($0)".contains(tensor)
          }
          #expect(!FileManager.default.fileExists(atPath: folder + "/out"))
        }
      }
    }
  }

  @Test func whatSixteenBitsCannotHoldIsSaid() throws {
    let tensor = "model.layers.0.mlp.up_proj.weight"
    try damaged(try fixture("qwen3-dms-neuron-head"), tensor, to: 70_000) { folder in
      #expect(complaint(folder, .f16, decodes: false)?.contains("too large for f16") == true)
      #expect(complaint(folder, .bf16, decodes: false) == nil)
    }
  }

  /// Rows that are bad are found wherever they are, and only they are.
  @Test func aRowIsBadWithOneBadNumber() {
    let faults = RowFaults(rows: 40)
    for size in [1, 7, 8, 9, 31, 64] {
      for place in [0, size / 2, size - 1] {
        var numbers = [Float](repeating: 1e30, count: size)
        numbers[place] = place % 2 == 0 ? .nan : .infinity
        let good = [Float](repeating: -3e38, count: size)
        faults.stage(7).check(good, size, row: 3)
        faults.stage(8).check(numbers, size, row: 5)
        faults.stage(9).check(numbers, size, row: 5)
        let found = faults.take(rows: 40)
        #expect(found?.row == 5 && found?.stage == 8)
        #expect(faults.take(rows: 40) == nil)
      }
    }
  }
}
