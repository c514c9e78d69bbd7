// generation_config.json: read, absent and malformed.

import DMSCheckpoint
import Testing

@Suite struct GenerationConfigurationTests {
  private func parse(_ text: String?) throws -> GenerationConfiguration {
    let folder = try TemporaryFolder()
    if let text { try folder.write("generation_config.json", text) }
    return try GenerationConfiguration(folder: folder.path)
  }

  @Test func anAbsentFileGivesTheDefaults() throws { #expect(try parse(nil) == GenerationConfiguration()) }

  @Test func everyKeyIsRead() throws {
    let read = try parse(
      """
      {"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 0.05, "repetition_penalty": 1.1,
       "max_new_tokens": 100, "max_length": 512, "eos_token_id": [151645, 151643], "pad_token_id": -1, "unknown": {},
       "stop_strings": ["<|im_end|>", "\\n\\n"], "suppress_tokens": [7, 9]}
      """)
    #expect(read.doSample == true && read.temperature == 0.6 && read.topK == 20 && read.topP == 0.95)
    #expect(read.minP == 0.05 && read.repetitionPenalty == 1.1 && read.maxNewTokens == 100)
    #expect(read.eosIDs == [151_645, 151_643])
    #expect(read.maxLength == 512 && read.stopStrings == ["<|im_end|>", "\n\n"] && read.suppressTokens == [7, 9])
    #expect(read.unsupported == [])
    #expect(try parse(#"{"eos_token_id": 2, "temperature": null}"#).eosIDs == [2])
    #expect(try parse(#"{"stop_strings": "END"}"#).stopStrings == ["END"])
  }

  /// An absent list is not an empty one: others are asked then.
  @Test func whatTheFileDoesNotSayIsNil() throws {
    #expect(try parse("{}").eosIDs == nil && parse(#"{"eos_token_id": null}"#).eosIDs == nil)
    #expect(try parse(#"{"eos_token_id": []}"#).eosIDs == [])
    #expect(try parse(#"{"stop_strings": null, "suppress_tokens": null}"#) == GenerationConfiguration())
  }

  @Test func keysThatChangeSomethingAndAreNotHonouredAreNamed() throws {
    let read = try parse(
      """
      {"num_beams": 4, "bad_words_ids": [[1, 2]], "forced_eos_token_id": 2, "begin_suppress_tokens": [220],
       "no_repeat_ngram_size": 3, "typical_p": 0.9, "min_new_tokens": 5, "presence_penalty": 1.5, "token_healing": true,
       "guidance_scale": 2, "sequence_bias": [[[1], -5.0]], "top_h": 0.4}
      """)
    #expect(
      read.unsupported == [
        "num_beams", "bad_words_ids", "forced_eos_token_id", "begin_suppress_tokens", "no_repeat_ngram_size",
        "typical_p", "min_new_tokens", "presence_penalty", "token_healing", "guidance_scale", "sequence_bias", "top_h",
      ])
    #expect(
      try parse(
        """
        {"_from_model_config": true, "transformers_version": "5.1", "bos_token_id": 1, "pad_token_id": 0,
         "use_cache": true, "cache_implementation": "static", "num_beams": 1, "typical_p": 1.0, "epsilon_cutoff": 0.0,
         "bad_words_ids": null, "begin_suppress_tokens": [], "token_healing": false, "no_repeat_ngram_size": 0,
         "length_penalty": 2.0, "output_scores": true, "num_return_sequences": 1, "guidance_scale": 1}
        """
      ).unsupported == [])
  }

  @Test(arguments: [
    ("do_sample", "1"), ("temperature", "-0.1"), ("temperature", "NaN"), ("temperature", #""hot""#), ("top_k", "-1"),
    ("top_k", "1.5"), ("top_p", "1.01"), ("top_p", "-0.1"), ("min_p", "2"), ("repetition_penalty", "0"),
    ("max_new_tokens", "0"), ("max_new_tokens", "1e30"), ("eos_token_id", "-2"), ("eos_token_id", "[[1]]"),
    ("stop_strings", "7"), ("stop_strings", #"["a", ""]"#), ("suppress_tokens", "[1.5]"),
    ("suppress_tokens", "[-1]"), ("max_length", "0"),
  ])
  func aMalformedValueIsAnError(_ key: String, _ value: String) throws {
    let complaint = try #require(complaint { try parse("{\"\(key)\": \(value)}") })
    #expect(complaint.contains("generation_config.json"), "\(complaint)")
    #expect(value == "NaN" || complaint.contains(key), "\(complaint)")
  }
}
