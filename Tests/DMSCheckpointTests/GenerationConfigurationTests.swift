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
       "max_new_tokens": 100, "eos_token_id": [151645, 151643], "pad_token_id": -1, "unknown": {}}
      """)
    #expect(read.doSample == true && read.temperature == 0.6 && read.topK == 20 && read.topP == 0.95)
    #expect(read.minP == 0.05 && read.repetitionPenalty == 1.1 && read.maxNewTokens == 100)
    #expect(read.eosIDs == [151_645, 151_643])
    #expect(try parse(#"{"eos_token_id": 2, "temperature": null}"#).eosIDs == [2])
  }

  @Test(arguments: [
    ("do_sample", "1"), ("temperature", "-0.1"), ("temperature", "NaN"), ("temperature", #""hot""#), ("top_k", "-1"),
    ("top_k", "1.5"), ("top_p", "1.01"), ("top_p", "-0.1"), ("min_p", "2"), ("repetition_penalty", "0"),
    ("max_new_tokens", "0"), ("max_new_tokens", "1e30"), ("eos_token_id", "-2"), ("eos_token_id", "[[1]]"),
  ])
  func aMalformedValueIsAnError(_ key: String, _ value: String) throws {
    let complaint = try #require(complaint { try parse("{\"\(key)\": \(value)}") })
    #expect(complaint.contains("generation_config.json"), "\(complaint)")
    #expect(value == "NaN" || complaint.contains(key), "\(complaint)")
  }
}
