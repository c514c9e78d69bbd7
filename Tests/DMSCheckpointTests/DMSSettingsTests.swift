// The `dms_*` keys and FastDMS' metadata: what makes a checkpoint sparse, and what absent keys mean.

import DMSText
import Testing

@testable import DMSCheckpoint

@Suite struct DMSSettingsTests {
  private func settings(_ keys: String = "", metadata: String? = nil) throws -> DMSSettings? {
    let text = """
      {"model_type": "qwen3", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
       "num_hidden_layers": 2, "vocab_size": 8, "intermediate_size": 8\(keys.isEmpty ? "" : ",") \(keys)}
      """
    return try ModelConfiguration(
      json: JSON(parsing: text, source: "config.json"), source: "config.json",
      dmsMetadata: metadata.map { try JSON(parsing: $0, source: "dms_metadata.json") }
    ).dms
  }

  @Test func onlyADMSKeyOrTheMetadataMakesACheckpointSparse() throws {
    #expect(try settings() == nil)
    #expect(try settings(#""architectures": ["Qwen3ForCausalLMDMS"]"#) == nil)
    #expect(try settings(#""dms_anything": {}"#) == DMSSettings())
  }

  @Test func absentKeysHaveTheValuesOfTheReference() throws {
    let settings = try #require(try settings(#""dms_cr": null"#))
    #expect(!settings.separateAlpha && settings.alphaPer == .head && settings.alphaScale == 100)
    #expect(settings.alphaOffset == 5 && settings.window == 512 && settings.tau == 0.1 && settings.shift == 1)
    #expect(settings.zeroAfterRope && !settings.evictionDisabled && settings.compressionRatio == nil)
  }

  @Test func everyKeyIsRead() throws {
    let keys = """
      "dms_separate_alpha": true, "dms_alpha_per": "layer", "dms_alpha_scale": 10, "dms_initial_alpha_offset": -110.0,
      "dms_window_size": 8, "dms_tau": 0.5, "dms_cr": 8, "dms_disable_eviction": true
      """
    var expected = DMSSettings()
    expected.separateAlpha = true
    expected.alphaPer = .layer
    expected.alphaScale = 10
    expected.alphaOffset = -110
    expected.window = 8
    expected.tau = 0.5
    expected.compressionRatio = 8
    expected.evictionDisabled = true
    #expect(try settings(keys) == expected)
  }

  @Test func fastDMSKeepsItsSettingsBeside() throws {
    var expected = DMSSettings()
    expected.window = 256
    expected.shift = 0
    expected.zeroAfterRope = false
    #expect(try settings(metadata: "{}") == expected)
    expected.window = 64
    expected.alphaScale = 50
    expected.alphaOffset = 2
    let keys = #""window_size": 64, "alpha_scale": 50.0, "alpha_offset": 2"#
    #expect(try settings(metadata: "{\(keys)}") == expected)
    #expect(try settings(metadata: #"{"config": {\#(keys)}}"#) == expected)
    // Beside `dms_*` keys the metadata counts.
    let both = try settings(#""dms_window_size": 8, "dms_separate_alpha": true"#, metadata: "{\(keys)}")
    #expect(both == expected)
    for wrong in ["[]", #"{"config": 3}"#, #"{"window_size": -1}"#, #"{"config": {"alpha_scale": "x"}}"#] {
      let complaint = try #require(complaint { try settings(metadata: wrong) })
      #expect(complaint.hasPrefix("dms_metadata.json"), "\(complaint)")
    }
  }

  @Test func theMetadataFileIsFoundInTheFolder() throws {
    let folder = try TemporaryFolder()
    try folder.write("config.json", CheckpointTests.config)
    #expect(try ModelConfiguration(folder: folder.path).dms == nil)
    try folder.write("dms_metadata.json", #"{"window_size": 32}"#)
    #expect(try ModelConfiguration(folder: folder.path).dms?.window == 32)
  }

  /// What is written is read again, and the reference's pages are the largest power of two below the window.
  @Test func keysSayWhatTheyWereMadeOf() throws {
    var settings = DMSSettings()
    (settings.window, settings.alphaScale, settings.alphaOffset, settings.tau) = (16, 10, 3, 0.3)
    (settings.separateAlpha, settings.alphaPer, settings.compressionRatio) = (true, .layer, 8)
    var object = JSONObject()
    for (key, value) in settings.keys { object[key] = value }
    let reader = try ConfigurationReader(.object(object), source: "config.json")
    #expect(try DMSSettings(reader, metadata: nil, source: "") == settings)
    for (window, size) in [(512, 256), (256, 128), (16, 8), (17, 16), (3, 2), (2, 1), (0, 1)] {
      #expect(DMSSettings.blockSize(window: window) == size)
    }
  }
}
