// Added tokens and special tokens that stand beside a tokenizer's tables, in every file where checkpoints keep them. Expected
// is what transformers 5.24 with tokenizers 0.23 gives for the same files.

import DMSPlatform
import Foundation
import Testing

@testable import DMSText

struct SpecialTokenTests {
  struct Example: Sendable, CustomTestStringConvertible {
    let name: String
    var model = "llama"
    /// Whether the tables are vocab.json and merges.txt.
    var isOlder = false
    /// Control tokens of tokenizer.json, from the id 8 on.
    var added: [String] = []
    /// Empty: there is no such file.
    var configuration = "{}"
    var map: String?
    var legacy: String?
    let text: String
    let ids: [Int]
    let shown: String
    let eos: Int?

    var testDescription: String { name }
  }

  private static let vocabulary = #"{"a":0,"b":1,"c":2,"Ġ":3,"ĠĠ":4,"<":5,">":6,"x":7}"#

  /// A byte-level tokenizer of eight tokens, in Qwen's manner.
  private static func tokenizer(_ added: [String] = [], post: String = "null", padding: String = "null") -> String {
    let added = added.enumerated().map {
      "{\"id\":\($0 + 8),\"content\":\"\($1)\",\"special\":\($1 != "  ")}"
    }
    let pattern = JSON.string(TextSplitter.qwen2Pattern).line
    return """
      {"added_tokens":[\(added.joined(separator: ","))],"normalizer":{"type":"NFC"},"padding":\(padding),
      "pre_tokenizer":{"type":"Sequence","pretokenizers":[
      {"type":"Split","pattern":{"Regex":\(pattern)},"behavior":"Isolated","invert":false},
      {"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]},
      "post_processor":\(post),"decoder":{"type":"ByteLevel"},
      "model":{"type":"BPE","vocab":\(vocabulary),"merges":["Ġ Ġ"]}}
      """
  }

  private func load(_ files: [String: String?]) throws -> Tokenizer {
    try withTemporaryFolder { folder in
      for (name, text) in files {
        try text?.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
      }
      return try Tokenizer(folder: folder)
    }
  }

  @Test(arguments: [
    Example(
      name: "an eos in the list only",
      configuration: #"{"added_tokens_decoder": {"8": {"content": "<e>", "special": true}}, "eos_token": "<e>"}"#,
      text: "a<e>b <p>c", ids: [0, 8, 1, 3, 5, 6, 2], shown: "ab <>c", eos: 8),
    Example(
      name: "an eos known to the configuration only", configuration: #"{"eos_token": "<e>", "pad_token": "<p>"}"#,
      text: "a<e>b <p>c", ids: [0, 8, 1, 3, 9, 2], shown: "ab c", eos: 8),
    Example(
      name: "roles as objects with flags",
      configuration:
        #"{"eos_token": {"__type": "AddedToken", "content": "<e>", "lstrip": true}, "pad_token": {"__type": "AddedToken", "content": "<p>", "lstrip": true, "normalized": true, "special": false}}"#,
      text: "a<e>b <p>c", ids: [0, 8, 1, 9, 2], shown: "abc", eos: 8),
    Example(
      name: "special tokens map",
      map:
        #"{"eos_token": "<e>", "pad_token": {"content": "<p>", "lstrip": true, "normalized": false, "rstrip": false, "single_word": false}}"#,
      text: "a<e>b <p>c", ids: [0, 8, 1, 9, 2], shown: "abc", eos: 8),
    Example(
      name: "the map wins over the configuration", configuration: #"{"eos_token": "<p>"}"#,
      map: #"{"eos_token": "<e>"}"#,
      text: "a<e>b <p>c", ids: [0, 8, 1, 3, 5, 6, 2], shown: "ab <>c", eos: 8),
    Example(
      name: "a list wins over the map",
      configuration: #"{"eos_token": "<p>", "added_tokens_decoder": {"8": {"content": "<x>"}}}"#,
      map: #"{"eos_token": "<e>"}"#, legacy: #"{"<e>": 9}"#, text: "a<e>b <p>c", ids: [0, 5, 6, 1, 3, 9, 2],
      shown: "a<>b c", eos: 9),
    Example(
      name: "added_tokens.json", configuration: #"{"eos_token": "<e>"}"#, legacy: #"{"<p>": 8, "<e>": 9}"#,
      text: "a<e>b <p>c", ids: [0, 9, 1, 3, 8, 2], shown: "ab <p>c", eos: 9),
    Example(
      name: "the older list of extra tokens",
      configuration:
        #"{"additional_special_tokens": ["<e>", {"__type": "AddedToken", "content": "<p>", "lstrip": true}]}"#,
      text: "a<e>b <p>c", ids: [0, 8, 1, 9, 2], shown: "ab<p>c", eos: nil),
    Example(
      name: "extra wins over additional",
      configuration: #"{"additional_special_tokens": ["<e>"], "extra_special_tokens": ["<p>"]}"#, text: "a<e>b <p>c",
      ids: [0, 5, 6, 1, 3, 8, 2], shown: "a<>b c", eos: nil),
    Example(
      name: "extra tokens by name", configuration: #"{"extra_special_tokens": {"end_token": "<e>", "p": "<p>"}}"#,
      text: "a<e>b <p>c",
      ids: [0, 8, 1, 3, 9, 2], shown: "ab c", eos: nil),
    Example(
      name: "roles of this model alone",
      configuration:
        #"{"image_token": "<p>", "video_token": {"__type": "AddedToken", "content": "<e>", "rstrip": true}}"#,
      text: "a<e>b <p>c", ids: [0, 8, 1, 3, 9, 2], shown: "ab c", eos: nil),
    Example(
      name: "ids are counted", added: ["<x>"],
      configuration:
        #"{"eos_token": "<e>", "added_tokens_decoder": {"400": {"content": "<e>"}, "300": {"content": "<p>", "special": true}}}"#,
      text: "a<e><p><x>", ids: [0, 10, 9, 8], shown: "a", eos: 10),
    Example(
      name: "flags of the list win", added: ["<x>"],
      configuration:
        #"{"added_tokens_decoder": {"8": {"content": "<x>", "lstrip": true, "rstrip": true, "special": false}}}"#,
      text: "b <x> c", ids: [1, 8, 2], shown: "bc", eos: nil),
    Example(
      name: "a role for a token of the vocabulary", configuration: #"{"eos_token": "b"}"#, text: "ab c",
      ids: [0, 1, 3, 2], shown: "a c",
      eos: 1),
    Example(
      name: "single word, text and token",
      configuration:
        #"{"added_tokens_decoder": {"8": {"content": "<e>", "single_word": true}}, "extra_special_tokens": ["<e>"]}"#,
      text: "a<e> <e> b", ids: [0, 5, 6, 3, 8, 3, 1], shown: "a<> <e> b", eos: nil),
    Example(name: "two spaces", added: ["  "], text: "a  a", ids: [0, 8, 0], shown: "a  a", eos: nil),
    Example(
      name: "Qwen2: a list hides the file's tokens", model: "qwen2", added: ["<e>", "<p>"],
      configuration:
        #"{"added_tokens_decoder": {"9": {"content": "<p>", "special": true, "lstrip": true}}, "eos_token": "<p>"}"#,
      text: "a<e>b<p>", ids: [0, 5, 6, 1, 8], shown: "a<>b", eos: 8),
    Example(
      name: "Qwen2: without a list the file's tokens, without flags", model: "qwen3", added: ["<e>", "<p>"],
      configuration:
        #"{"tokenizer_class": "Qwen2TokenizerFast", "eos_token": {"__type": "AddedToken", "content": "<e>", "lstrip": true}}"#,
      text: "a <e>b<p>", ids: [0, 3, 8, 1, 9], shown: "a b", eos: 8),
    Example(
      name: "Qwen3 without a class", model: "qwen3", configuration: "", text: "a<|endoftext|>b", ids: [0, 8, 1],
      shown: "ab", eos: 8),
    Example(
      name: "Llama's name and byte-level parts", configuration: #"{"tokenizer_class": "LlamaTokenizer"}"#,
      text: "a<s>b</s>",
      ids: [0, 5, 6, 1, 5, 6], shown: "a<>b<>", eos: nil),
    Example(
      name: "a list beside vocab.json", model: "qwen2", isOlder: true,
      configuration:
        #"{"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": {"9": {"content": "<e>", "special": true}, "8": {"content": "<p>", "lstrip": true}}, "eos_token": "<e>"}"#,
      text: "a<e>b <p>c", ids: [0, 9, 1, 8, 2], shown: "ab<p>c", eos: 9),
    Example(
      name: "roles beside vocab.json", isOlder: true,
      configuration:
        #"{"tokenizer_class": "GPT2Tokenizer", "eos_token": "<e>", "bos_token": null, "unk_token": "<p>"}"#,
      text: "a<e>b <p>c", ids: [0, 8, 1, 3, 9, 2], shown: "ab c", eos: 8),
    Example(
      name: "BOS and EOS beside vocab.json", model: "qwen2", isOlder: true,
      configuration:
        #"{"tokenizer_class": "Qwen2Tokenizer", "bos_token": "<b>", "add_bos_token": true, "add_eos_token": true}"#,
      text: "ab", ids: [8, 0, 1, 9], shown: "ab", eos: 9),
    Example(
      name: "GPT-2's own BOS", isOlder: true,
      configuration: #"{"tokenizer_class": "GPT2Tokenizer", "add_bos_token": true}"#,
      text: "ab", ids: [8, 0, 1], shown: "ab", eos: 8),
    Example(
      name: "no BOS to add", model: "qwen2", isOlder: true,
      configuration: #"{"tokenizer_class": "Qwen2Tokenizer", "add_bos_token": true}"#, text: "ab", ids: [0, 1],
      shown: "ab", eos: 8),
  ])
  func tokensAreThoseOfTransformers(_ example: Example) throws {
    var configuration = example.configuration
    if !configuration.isEmpty, !configuration.contains("tokenizer_class") {
      configuration = #"{"tokenizer_class":"PreTrainedTokenizerFast","# + configuration.dropFirst()
    }
    if configuration.hasSuffix(",}") { configuration = configuration.dropLast(2) + "}" }
    let tokenizer = try load([
      "tokenizer.json": example.isOlder ? nil : Self.tokenizer(example.added),
      "vocab.json": example.isOlder ? Self.vocabulary : nil,
      "merges.txt": example.isOlder ? "#version: 0.2\nĠ Ġ\n" : nil,
      "config.json": #"{"model_type":"\#(example.model)"}"#,
      "tokenizer_config.json": configuration.isEmpty ? nil : configuration,
      "special_tokens_map.json": example.map, "added_tokens.json": example.legacy,
    ])
    let ids = tokenizer.encode(example.text, addSpecialTokens: true)
    #expect(ids == example.ids)
    #expect(tokenizer.decode(ids, skippingSpecial: true) == example.shown)
    #expect(tokenizer.eosID == example.eos)
  }

  @Test func aTokenOfPaddingIsSpecial() throws {
    let tokenizer = try load(["tokenizer.json": Self.tokenizer(padding: #"{"pad_token":"<p>"}"#)])
    #expect(tokenizer.encode("a<p>", addSpecialTokens: false) == [0, 8])
    #expect(tokenizer.isSpecial(8))
  }

  @Test func withoutAModelTypeAndAClassTheFileIsAll() throws {
    let tokenizer = try load(["tokenizer.json": Self.tokenizer()])
    #expect(tokenizer.encode("a<|endoftext|>b", addSpecialTokens: true) == [0, 5, 7, 6, 1])
    #expect(tokenizer.eosID == nil && tokenizer.vocabularySize == 8)
  }

  /// Beside tokenizer.json its post-processor alone says what stands around a text, in every class.
  @Test(arguments: [
    ("PreTrainedTokenizerFast", "llama"), ("LlamaTokenizerFast", "llama"), ("LlamaTokenizer", "qwen2"),
    ("Qwen2Tokenizer", "qwen3"), ("GPT2Tokenizer", "llama"),
  ])
  func keysDoNotOverrideThePostProcessor(_ name: String, _ model: String) throws {
    let template = """
      {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<e>"}},{"Sequence":{"id":"A"}}],
      "special_tokens":{"<e>":{"ids":[8]}}}
      """
    for (post, ids) in [("null", [0, 1]), (template, [8, 0, 1])] {
      for keys in [
        "", #","add_bos_token":true,"add_eos_token":true"#, #","add_bos_token":false,"add_eos_token":false"#,
      ] {
        let tokenizer = try load([
          "tokenizer.json": Self.tokenizer(["<e>", "<p>"], post: post), "config.json": #"{"model_type":"\#(model)"}"#,
          "tokenizer_config.json": #"{"tokenizer_class":"\#(name)","bos_token":"<p>","eos_token":"<e>"\#(keys)}"#,
        ])
        #expect(tokenizer.encode("ab", addSpecialTokens: true) == ids, "\(keys)")
        #expect(tokenizer.bosID == 9 && tokenizer.eosID == 8)
      }
    }
  }

  @Test func malformedTokensAreNamed() throws {
    for (keys, named) in [
      (#""eos_token":3"#, "eos_token"), (#""pad_token":{"content":1}"#, "pad_token"),
      (#""eos_token":{"content":"<e>","lstrip":"yes"}"#, "eos_token"),
      (#""extra_special_tokens":"<e>""#, "extra_special"),
      (#""additional_special_tokens":[7]"#, "extra_special"), (#""added_tokens_decoder":[]"#, "added_tokens_decoder"),
      (#""added_tokens_decoder":{"x":{"content":"<e>"}}"#, "added_tokens_decoder"),
      (#""added_tokens_decoder":{"8":"<e>"}"#, "added_tokens_decoder"), (#""extra_special_tokens":{"q":1}"#, "q"),
    ] {
      let error = #expect(throws: InputError.self) {
        try load(["tokenizer.json": Self.tokenizer(), "tokenizer_config.json": "{\(keys)}"])
      }
      #expect(error?.description.contains(named) == true && error?.description.contains("\n") == false)
    }
    for name in ["special_tokens_map.json", "added_tokens.json", "tokenizer_config.json"] {
      #expect(throws: InputError.self) { try load(["tokenizer.json": Self.tokenizer(), name: "[]"]) }
    }
  }

  @Test func whatIsTooMuchIsRefused() throws {
    let list = (0..<20_000).map { "\"<\(String(repeating: "x", count: 60))\($0)>\"" }.joined(separator: ",")
    let many = "{\"extra_special_tokens\":[\(list)]}"
    for (files, named) in [
      (["tokenizer.json": Self.tokenizer(), "tokenizer_config.json": many], "1048576 bytes"),
      (["vocab.json": #"{"a":4194304}"#, "merges.txt": ""], "out of range"),
      (["tokenizer.json": #"{"model":{"vocab":{"a":0,"a":1},"merges":[]}}"#], "twice"),
    ] {
      let error = #expect(throws: InputError.self) { try load(files) }
      #expect(error?.description.contains(named) == true, "\(error?.description ?? "")")
    }
    // Nearly as many tokens as there may be, each claimed by its own id.
    let some = (0..<40_000).map { "\"\($0 + 8)\":{\"content\":\"<\($0)>\"}" }.joined(separator: ",")
    let tokenizer = try load([
      "tokenizer.json": Self.tokenizer(), "tokenizer_config.json": "{\"added_tokens_decoder\":{\(some)}}",
    ])
    #expect(tokenizer.encode("a<39999>", addSpecialTokens: false) == [0, 40_007])
  }

  /// A tree of tokens in which every beginning is a token's, and texts that nearly match: linear in the text.
  @Test func findingTokensIsLinear() throws {
    let tokens = (1...400).map { String(repeating: "a", count: $0 * 10) + "b" }
    let list = tokens.enumerated().map { "\"\($0)\":{\"content\":\"\($1)\",\"normalized\":false,\"rstrip\":true}" }
    let tokenizer = try load([
      "tokenizer.json": Self.tokenizer([" "]),
      "tokenizer_config.json": "{\"added_tokens_decoder\":{\(list.joined(separator: ","))}}",
    ])
    let text = String(repeating: "a", count: 1_000_000)
    #expect(tokenizer.encode(text, addSpecialTokens: false).count == 1_000_000)
    #expect(tokenizer.encode(text + "b", addSpecialTokens: false).count == 1_000_000 - 4000 + 1)
    #expect(tokenizer.encode("ab" + String(repeating: " ", count: 1_000_000), addSpecialTokens: false).count > 1)
  }
}
