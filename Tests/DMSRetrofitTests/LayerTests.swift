// Layers that are not like the others: those without RoPE train as they run, those with a window do not train.

import DMSKernels
import DMSPlatform
import Foundation
import Testing

@testable import DMSRetrofit

@Suite struct LayerTests {
  /// A checkpoint of the repository with other keys in its configuration.
  private func withModel(_ name: String, _ keys: [String: Any], _ body: (String) throws -> Void) throws {
    let place = try RunPlace()
    try withExtendedLifetime(place) {
      let source = "\(TrainingFixture.fixtures)/\(name)"
      let data = try Data(contentsOf: URL(filePath: source + "/config.json"))
      var config = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
      config.merge(keys) { $1 }
      try JSONSerialization.data(withJSONObject: config).write(to: URL(filePath: place.root + "/config.json"))
      try FileManager.default.createSymbolicLink(
        atPath: place.root + "/model.safetensors", withDestinationPath: source + "/model.safetensors")
      try body(place.root)
    }
  }

  @Test(arguments: [true, false])
  func layersWithoutRoPETrainAsTheyRun(evicts: Bool) throws {
    let keys: [String: Any] = [
      "model_type": "smollm3", "architectures": ["SmolLM3ForCausalLM"], "no_rope_layers": [0, 1],
    ]
    try withModel("train-neuron", keys) { folder in
      try LawTests().theForwardIsTheModels(folder: folder, evicts: evicts)
      try LawTests().expectSlope(folder: folder, evicts: evicts)
    }
  }

  @Test func modelsWithSlidingWindowsAreNotTrained() throws {
    let keys: [String: Any] = [
      "use_sliding_window": true, "sliding_window": 8, "layer_types": ["full_attention", "sliding_attention"],
    ]
    try withModel("qwen3", keys) { folder in
      let recipe = try Recipe(named: "tiny-pretrain")
      let machine = try Machine(threads: 1)
      for attempt in [
        { _ = try TrainingEstimate(recipe, model: folder, on: machine) },
        { _ = try TrainingRun(recipe, model: folder, folder: RunFolder(new: folder + "/run"), on: machine) },
      ] {
        let error = #expect(throws: InputError.self) { try attempt() }
        #expect(error?.problem == "sliding windows cannot be trained" && error?.location == folder)
      }
    }
  }
}
