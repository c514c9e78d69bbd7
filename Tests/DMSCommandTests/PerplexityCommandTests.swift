// `dms perplexity` as its users see it.

import Foundation
import Testing

struct PerplexityCommandTests {
  private func members(_ outcome: Outcome) throws -> [String: Any] {
    #expect(outcome.code == 0, "\(outcome.errors)")
    return try #require(JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
  }

  @Test func aModelIsComparedWithItself() throws {
    let model = fixtures + "/qwen3-dms-neuron-head"
    let arguments = [model, "--tokens", model + "/golden.safetensors", "--context", "50"]
    let own = try members(dms(["perplexity"] + arguments + ["--against", model, "--json"]))
    let against = try #require(own["against"] as? [String: Any])
    #expect(own["tokens"] as? Int == 94 && own["policy"] as? String == "dms")
    #expect(against["mean_kl"] as? Double == 0 && against["largest_kl"] as? Double == 0)
    #expect(against["same_top_share"] as? Double == 1 && against["flips"] as? Int == 0)
    #expect(against["perplexity_ratio"] as? Double == 1)
    #expect(against["perplexity"] as? Double == own["perplexity"] as? Double)
    let rounded = try dms(
      ["perplexity"] + arguments + ["--weights", "q8", "--against", model, "--against-weights", "as-stored"])
    #expect(rounded.code == 0)
    for line in ["perplexity ", "tokens      94 scored", "reference ", "KL ", "top token ", "decisions "] {
      #expect(rounded.output.contains(line), "\(line)")
    }
    let dense = try members(
      dms(["perplexity"] + arguments + ["--against", model, "--against-no-eviction", "--json"]))
    let denseReference = try #require(dense["against"] as? [String: Any])
    #expect(denseReference["policy"] as? String == "dense" && denseReference["mean_kl"] as? Double ?? 0 > 0)
  }

  @Test(.enabled(if: hasShared, "needs ../shared/data"))
  func aTextIsReadInWindows() throws {
    try withFolder { folder in
      let model = shared + "/stories260K"
      let story = try dms("run", model, "--raw", "Once upon a time", "--max-tokens", "300").output
      try write(story, folder + "/story.txt")
      let result = try members(
        dms("perplexity", model, "--text", folder + "/story.txt", "--context", "128", "--json"))
      // Its own greedy words surprise it little.
      let value = try #require(result["perplexity"] as? Double)
      #expect((1...4).contains(value))
      try expectFailure(
        dms("perplexity", model, "--text", folder + "/story.txt", "--against", fixtures + "/qwen3"), "vocabularies")
      try write("", folder + "/empty.txt")
      try expectFailure(dms("perplexity", model, "--text", folder + "/empty.txt"), "no text")
      try expectFailure(dms("perplexity", model, "--text", folder + "/absent.txt"), "no file")
    }
  }

  @Test(arguments: [
    ["perplexity", "m"], ["perplexity", "m", "--text", "a", "--tokens", "b"],
    ["perplexity", "m", "--text", "a", "--against-weights", "q8"],
    ["perplexity", "m", "--text", "a", "--against-no-eviction"], ["perplexity", "m", "--text", "a", "--context", "1"],
  ])
  func wrongUsageIsExitCodeTwo(arguments: [String]) throws { #expect(try dms(arguments).code == 2) }
}
