// What families assume of their layers where config.json is silent, as transformers does; and what is not these families.

import DMSCheckpoint
import DMSText
import Testing

@Suite struct LayerAttentionTests {
  private func parse(_ keys: String, layers: Int = 4, context: Int = 8192) throws -> ModelConfiguration {
    let text = """
      {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": \(layers),
       "vocab_size": 8, "intermediate_size": 8, "max_position_embeddings": \(context), \(keys)}
      """
    return try ModelConfiguration(json: JSON(parsing: text, source: "config.json"), source: "config.json")
  }

  private func windows(_ keys: String, context: Int = 8192) throws -> [Int?] {
    try parse(keys, context: context).layerAttention.map(\.window)
  }

  private func rotations(_ keys: String, layers: Int = 4) throws -> [Bool] {
    try parse(#""model_type": "smollm3""# + keys, layers: layers).layerAttention.map(\.rotates)
  }

  @Test func allOfMistralsLayersSlide() throws {
    let mistral = #""model_type": "mistral""#
    #expect(try windows(mistral + #", "sliding_window": 100"#) == [100, 100, 100, 100])
    #expect(try windows(mistral) == [4096, 4096, 4096, 4096])
    #expect(try windows(mistral + #", "sliding_window": null"#) == [nil, nil, nil, nil])
    // A window of the whole context hides nothing.
    #expect(try windows(mistral, context: 4096) == [nil, nil, nil, nil])
    let same = #""sliding_attention", "sliding_attention", "sliding_attention""#
    #expect(try windows(mistral + #", "layer_types": [\#(same), "sliding_attention"]"#).allSatisfy { $0 == 4096 })
    #expect(
      complaint { try windows(mistral + #", "layer_types": [\#(same), "full_attention"]"#) }?
        .contains("layers of different types are not Mistral's") == true)
    #expect(try windows(#""model_type": "llama", "sliding_window": 100"#) == [nil, nil, nil, nil])
  }

  @Test(arguments: ["qwen2", "qwen3"])
  func qwensLayersSlideWhereTheyAreSaidTo(family: String) throws {
    let used = "\"model_type\": \"\(family)\", \"use_sliding_window\": true, "
    #expect(try windows(used + #""sliding_window": 100, "max_window_layers": 3"#) == [nil, nil, nil, 100])
    #expect(try windows(used + #""max_window_layers": 0"#) == [4096, 4096, 4096, 4096])
    #expect(try windows(used + #""sliding_window": 100"#) == [nil, nil, nil, nil], "28 layers are full")
    #expect(try windows(used + #""sliding_window": null, "max_window_layers": 0"#) == [nil, nil, nil, nil])
    let types = #""layer_types": ["full_attention", "sliding_attention", "full_attention", "full_attention"]"#
    #expect(try windows(used + #""sliding_window": 9, "max_window_layers": 0, "# + types) == [nil, 9, nil, nil])
    let off = "\"model_type\": \"\(family)\", \"sliding_window\": 100, \"max_window_layers\": 0"
    #expect(try windows(off) == [nil, nil, nil, nil])
    #expect(complaint { try windows(off + ", " + types) }?.contains("sliding layers without a window") == true)
    for (keys, words) in [
      (#""sliding_window": 0"#, "sliding_window: an integer from 1"),
      (#""layer_types": ["full_attention"]"#, "4 types expected, one for each layer, found 1"),
      (#""layer_types": ["full_attention", "full_attention", "full_attention", 4]"#, "a list of strings"),
      (#""layer_types": ["linear_attention"]"#, "neither full_attention nor sliding_attention"),
    ] { #expect(complaint { try windows(used + keys) }?.contains(words) == true, "\(keys)") }
  }

  @Test func everyFourthLayerOfSmolLM3HasNoPositions() throws {
    #expect(try rotations("", layers: 9) == [true, true, true, false, true, true, true, false, true])
    #expect(try rotations(#", "no_rope_layer_interval": 2"#) == [true, false, true, false])
    #expect(try rotations(#", "no_rope_layers": [0, 1, 1, 1, 0]"#) == [false, true, true, true])
    for wrong in ["[0, 1, 1]", "[0, 1, 1, 2]", "[]", "3", "[true, true, true, true]"] {
      let said = complaint { try rotations(#", "no_rope_layers": \#(wrong)"#) }
      #expect(said?.contains("a list of 0 or 1 for each of the 4 layers") == true, "\(said ?? wrong)")
    }
    #expect(complaint { try rotations(#", "no_rope_layer_interval": 0"#) } != nil)
    let shape = try parse(#""model_type": "smollm3", "use_sliding_window": true, "sliding_window": 7"#)
    #expect(shape.layerAttention.map(\.window) == [nil, nil, nil, 7])
    #expect(shape.tiedEmbeddings && shape.rope.theta == 2e6 && !shape.attentionBias)
    #expect(try windows(#""model_type": "smollm3", "use_sliding_window": true"#) == [nil, nil, nil, nil])
  }

  @Test func evictionsBesideWindowsAreRefused() throws {
    let dms = #""model_type": "mistral", "dms_cr": 8"#
    #expect(complaint { try parse(dms) }?.contains("DMS beside sliding windows is not supported") == true)
    #expect(try parse(dms + #", "sliding_window": null"#).dms != nil)
  }

  @Test(arguments: [
    ("gemma2", "GELU"), ("gemma3_text", "GELU"), ("phi3", "stored as one"), ("mixtral", "mixture of experts"),
    ("qwen3_moe", "mixture of experts"), ("deepseek_v3", "mixture of experts"), ("gpt_oss", "mixture of experts"),
    ("qwen3_5", "recurrent"), ("gpt2", "LayerNorm"), ("olmo2", "norms after"), ("granite", "scaled"),
  ])
  func otherFamiliesAreRefusedByNameWithWhatIsMissing(name: String, need: String) throws {
    let said = try #require(complaint { try parse("\"model_type\": \"\(name)\"") })
    #expect(said.hasPrefix("config.json: model_type: the architecture \"\(name)\" is not supported: it needs "))
    #expect(said.contains(need) && said.contains("supported are qwen2, qwen3, llama, mistral, smollm3"), "\(said)")
  }

  @Test func architecturesMustBeThoseOfTheType() throws {
    func said(_ architectures: String) -> String? {
      complaint { try parse(#""model_type": "smollm3", "architectures": \#(architectures)"#) }
    }
    for fine in [
      "null", "[]", #"["SmolLM3ForCausalLM"]"#, #"["SmolLM3ForCausalLMDMS"]"#, #"["Other", "SmolLM3ForCausalLM"]"#,
    ] { #expect(said(fine) == nil) }
    for wrong in [#"["LlamaForCausalLM"]"#, #"["SmolLM3ForSequenceClassification"]"#, "3", "[3]"] {
      #expect(said(wrong)?.hasPrefix("config.json: architectures: ") == true)
    }
  }
}
