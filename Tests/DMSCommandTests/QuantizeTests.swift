// `dms quantize` as its users see it.

import DMSCheckpoint
import Foundation
import Testing

struct QuantizeTests {
  private func entries(_ folder: String) throws -> Set<String> {
    Set(try FileManager.default.contentsOfDirectory(atPath: folder))
  }

  @Test func aWrittenFolderIsAModelAndIsNotReplaced() throws {
    try withFolder { folder in
      let (source, written) = (fixtures + "/qwen3-dms-neuron-head", folder + "/q8")
      let outcome = try dms("quantize", source, written, "--weights", "q8")
      #expect(outcome.code == 0 && outcome.output.isEmpty, "\(outcome.errors)")
      #expect(try entries(folder) == ["q8"])
      #expect(try entries(written) == ["config.json", "generation_config.json", "model.safetensors"])
      let shown = try dms("inspect", written)
      #expect(shown.code == 0)
      #expect(shown.output.contains("137760 parameters") && shown.output.contains("in q8 blocks"))
      #expect(shown.output.contains("borrowed neuron"))
      let out = folder + "/out.safetensors"
      for (model, weights) in [(source, ["--weights", "q8"]), (written, []), (written, ["--weights", "q8"])] {
        let arguments = [model, "--tokens", source + "/golden.safetensors", "-o", out] + weights
        #expect(try dms(["trace"] + arguments).code == 0)
        if model == source {
          try FileManager.default.moveItem(atPath: out, toPath: folder + "/expected.safetensors")
        } else {
          #expect(FileManager.default.contentsEqual(atPath: out, andPath: folder + "/expected.safetensors"))
        }
      }
      try expectFailure(dms("trace", written, "--tokens", "t.json", "-o", out, "--weights", "q4"), "other blocks")
      try expectFailure(dms("quantize", written, folder + "/q4", "--weights", "q4"), "blocks of blocks")
      try expectFailure(dms("quantize", source, written, "--weights", "q4"), "exists")
      try expectFailure(dms("quantize", source, folder + "/absent/q4", "--weights", "q4"), "no folder")
      try expectFailure(dms("quantize", folder, folder + "/q4", "--weights", "q4"), "no model")
      #expect(try entries(folder) == ["q8", "out.safetensors", "expected.safetensors"])
    }
  }

  @Test func damagedBlocksAreOneLine() throws {
    try withFolder { folder in
      let model = folder + "/model"
      #expect(try dms("quantize", fixtures + "/qwen3", model, "--weights", "q8").code == 0)
      let path = model + "/model.safetensors"
      let (weights, config) = (try Data(contentsOf: URL(filePath: path)), model + "/config.json")
      let settings = try String(contentsOfFile: config, encoding: .utf8)
      func expectRefusal(_ comment: Comment) throws {
        try expectFailure(
          dms("trace", model, "--tokens", fixtures + "/qwen3/golden.safetensors", "-o", folder + "/out"), comment)
      }
      let name = "model.layers.1.mlp.up_proj.weight"
      // A name, a type or a shape that is as long as before leaves the header's length as it is.
      for (from, to) in [
        (name + ".scales", name + ".scaled"), (name + ".blocks", name + ".blotch"),
        ("\"\(name).blocks\":{\"dtype\":\"U8\"", "\"\(name).blocks\":{\"dtype\":\"I8\""),
        ("\"\(name).scales\":{\"dtype\":\"BF16\",", "\"\(name).scales\":{\"dtype\":\"F16\", "),
        (
          "\"\(name).blocks\":{\"dtype\":\"U8\",\"shape\":[6,2,", "\"\(name).blocks\":{\"dtype\":\"U8\",\"shape\":[2,6,"
        ),
      ] {
        var damaged = weights
        let place = try #require(damaged.range(of: Data(from.utf8)), "\(from)")
        damaged.replaceSubrange(place, with: Data(to.utf8))
        try damaged.write(to: URL(filePath: path))
        try expectRefusal("\(to)")
      }
      try weights.dropLast(100).write(to: URL(filePath: path))
      try expectRefusal("cut off")
      try weights.write(to: URL(filePath: path))
      for (from, to) in [
        ("\"layout\": 1", "\"layout\": 2"), ("\"layout\": 1,", ""), ("\"format\": \"q8\"", "\"format\": \"q5\""),
        ("\"format\": \"q8\"", "\"format\": \"q4\""), ("\"format\": \"q8\"", "\"format\": 8"),
        ("\"parameters\": ", "\"parameters\": -"), ("\"intermediate_size\": 96", "\"intermediate_size\": 97"),
        ("\"hidden_size\": 48", "\"hidden_size\": 80"), ("\"vocab_size\": 160", "\"vocab_size\": 161"),
      ] {
        #expect(settings.contains(from), "\(from)")
        try write(settings.replacingOccurrences(of: from, with: to), config)
        try expectRefusal("\(to)")
      }
      try write(settings, config)
      #expect(
        try dms("trace", model, "--tokens", fixtures + "/qwen3/golden.safetensors", "-o", folder + "/out").code == 0)
    }
  }

  @Test(.enabled(if: hasShared, "needs ../shared/data"))
  func textGoesWithTheWeights() throws {
    try withFolder { folder in
      let (source, written) = (shared + "/stories260K", folder + "/q8/")
      #expect(try dms("quantize", source, written, "--weights", "q8").code == 0)
      let arguments = ["--raw", "Once upon a time", "--max-tokens", "60"]
      let expected = try dms(["run", source, "--weights", "q8"] + arguments)
      #expect(expected.code == 0 && expected.output.count > 100)
      #expect(try dms(["run", written] + arguments).output == expected.output)
    }
  }
}
