// An adapter from its training to its use: what a retrofit leaves is laid over the base by every command, and merged with it.

import Foundation
import Testing

struct AdapterCommandTests {
  private let base = models + "/tiny-dense"

  /// Two steps of an adapter's training at a rate that changes decisions.
  private func train(in folder: String) throws -> (model: String, adapter: String) {
    let settings = [
      "stages.0.steps=2", "stages.0.sequences=1", "stages.0.length=256", "stages.0.size=[20,60]",
      "evaluation_sequences=1", "eviction.window=8", "eviction.exports=[]", "checkpoint_every=1",
      "eviction.adapter=true", "eviction.trains=adapter", "eviction.alpha_offset=0", "rate.peak=0.1",
    ]
    let outcome = try dms(
      ["retrofit", base, folder + "/run", "--recipe", "tiny", "--threads", "1"]
        + settings.flatMap { ["--set", $0] })
    #expect(outcome.code == 0, "\(outcome.errors)")
    return (folder + "/run/model", folder + "/run/model-dms-adapter")
  }

  @Test func whatARetrofitLeavesForgetsOverTheBase() throws {
    try withFolder { folder in
      let (model, adapter) = try train(in: folder)
      let size = try FileManager.default.contentsOfDirectory(atPath: adapter)
      #expect(size.sorted() == ["adapter.safetensors", "adapter_config.json"])

      func run(_ model: String, _ more: [String] = []) throws -> String {
        let outcome = try dms(
          ["run", model, "--prompt-file", models + "/problem.txt", "--max-tokens", "40", "--json"] + more)
        #expect(outcome.code == 0, "\(outcome.errors)")
        var answer = try #require(
          JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any], "\(outcome.output)")
        let cache = try #require(answer["live_tokens"] as? Double)
        answer = ["text": answer["text"] ?? "", "live": cache]
        return "\(answer["text"] ?? "") \(cache)"
      }
      let taught = try run(model)
      #expect(try run(base, ["--adapter", adapter]) == taught)
      #expect(try run(base) != taught)
      let merged = try dms("merge", base, adapter, folder + "/merged")
      #expect(merged.code == 0, "\(merged.errors)")
      #expect(try run(folder + "/merged") == taught)

      let inspected = try dms("inspect", base, "--adapter", adapter)
      #expect(inspected.output.contains("adapter       trained on these very weights"), "\(inspected.output)")
      #expect(inspected.output.contains("one decision per head, window 8"))
      // Rounded weights are the base's still, and it is said.
      #expect(try dms("quantize", base, folder + "/small", "--weights", "q8").code == 0)
      let rounded = try dms("inspect", folder + "/small", "--adapter", adapter)
      #expect(rounded.output.contains("% from those that the adapter was trained on"), "\(rounded.output)")
      let noted = try dms("run", folder + "/small", "x", "--max-tokens", "1", "--adapter", adapter)
      #expect(noted.code == 0 && noted.errors.contains("dms: warning: the weights differ by"), "\(noted.errors)")
    }
  }

  @Test func whereAnAdapterCannotBeIsSaid() throws {
    try withFolder { folder in
      let nowhere = folder + "/nowhere"
      expectFailure(try dms("run", base, "x", "--adapter", nowhere), "no adapter")
      expectFailure(try dms("run", models + "/tiny-cr8", "x", "--adapter", nowhere), "a DMS model")
      expectFailure(try dms("merge", base, nowhere, folder + "/merged"), "no adapter")
      #expect(!FileManager.default.fileExists(atPath: folder + "/merged"))
      let shape = try dms("bench", "--shape", base, "--adapter", nowhere)
      #expect(shape.code == 64 || shape.code == 2)
      #expect(shape.errors.contains("--adapter needs a model"))
    }
  }
}
