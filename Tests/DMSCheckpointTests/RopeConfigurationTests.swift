// RoPE in its old and new form, and the values that transformers fills in.

import DMSCheckpoint
import DMSText
import Testing

@Suite struct RopeConfigurationTests {
  private func rope(_ keys: String) throws -> RopeConfiguration {
    let text = """
      {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 8,
       "intermediate_size": 8, "max_position_embeddings": 4096\(keys.isEmpty ? "" : ",") \(keys)}
      """
    return try ModelConfiguration(json: JSON(parsing: text, source: "config.json"), source: "config.json").rope
  }

  @Test func oldAndNewFormSayTheSame() throws {
    for (old, new) in [
      (#""rope_theta": 5e5"#, #""rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}"#),
      (#""rope_theta": 5e5, "rope_scaling": null"#, #""rope_theta": 5e5, "rope_parameters": {"rope_type": "default"}"#),
      (
        #""rope_theta": 1e6, "rope_scaling": {"type": "linear", "factor": 2}"#,
        #""rope_parameters": {"rope_theta": 1e6, "rope_type": "linear", "factor": 2}"#
      ),
      (
        #""rope_theta": 1e6, "rope_scaling": {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 1024}"#,
        #""rope_parameters": {"full_attention": {"rope_theta": 1e6, "type": "yarn", "factor": 4, "original_max_position_embeddings": 1024}}"#
      ),
    ] {
      #expect(try rope(old) == rope(new))
    }
  }

  /// People add `rope_scaling` to a file that already has `rope_parameters`.
  @Test func ropeScalingWinsOverRopeParameters() throws {
    let both =
      #""rope_parameters": {"rope_theta": 5, "rope_type": "default"}, "rope_scaling": {"type": "linear", "factor": 2}"#
    #expect(try rope(both).scaling == .linear(factor: 2))
    let empty = #""rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}, "rope_scaling": {}"#
    #expect(try rope(empty).theta == 5e5)
  }

  @Test func yarnFillsInWhatIsMissing() throws {
    let base = 0.1 * 1.3862943611198906 + 1
    guard
      case .yarn(let factor, let original, let fast, let slow, let attention, let truncate) =
        try rope(#""rope_scaling": {"type": "yarn", "factor": 4}"#).scaling
    else { throw Failure() }
    #expect(factor == 4 && original == 4096 && fast == 32 && slow == 1 && truncate)
    #expect(abs(attention - base) < 1e-12)
    // The factor is that of the contexts where none is given.
    let implied = try rope(#""rope_scaling": {"type": "yarn", "original_max_position_embeddings": 1024}"#)
    let given = try rope(#""rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 1024}"#)
    #expect(implied == given)
    #expect(try rope(#""rope_scaling": {"type": "yarn", "factor": 4, "attention_factor": 0.5}"#).attentionFactor == 0.5)
    let equal = try rope(#""rope_scaling": {"type": "yarn", "factor": 4, "mscale": 0.707, "mscale_all_dim": 0.707}"#)
    #expect(equal.attentionFactor == 1)
    // (0.1 · 1 · ln 4 + 1) / (0.1 · 0.5 · ln 4 + 1); one of the two alone has no effect.
    let unequal = try rope(#""rope_scaling": {"type": "yarn", "factor": 4, "mscale": 1, "mscale_all_dim": 0.5}"#)
    #expect(unequal.attentionFactor == Float(base / (0.05 * 1.3862943611198906 + 1)))
    for alone in [#""mscale": 2"#, #""mscale_all_dim": 2"#, #""mscale": 2, "mscale_all_dim": 0"#] {
      let keys = #""rope_scaling": {"type": "yarn", "factor": 4, \#(alone)}"#
      #expect(try rope(keys).attentionFactor == Float(base))
    }
    #expect(try rope(#""rope_scaling": {"type": "yarn", "factor": 0.5}"#).attentionFactor == 1)
  }

  @Test func frequenciesFallFromOneByPowersOfTheBase() throws {
    let plain = try rope("").frequencies(headDim: 4)
    #expect(plain == [1, 0.01])
    #expect(try rope(#""rope_scaling": {"type": "linear", "factor": 2}"#).frequencies(headDim: 4) == [0.5, 0.005])
  }

  private struct Failure: Error {}
}
