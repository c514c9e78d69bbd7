import DMSPlatform
import Foundation
import Testing

@testable import DMSText

struct TokenizerTests {
  static let isPresent = SharedData.isPresent

  private func cases() throws -> [(text: String, ids: [Int])] {
    let texts = try SharedData.text("qwen3-tokenizer/cases.inp").components(separatedBy: "\n__ggml_vocab_test__\n")
    let lines = try SharedData.text("qwen3-tokenizer/cases.out").split(
      separator: "\n", omittingEmptySubsequences: false)
    return zip(texts, lines).map { ($0, $1.split(separator: " ").compactMap { Int($0) }) }
  }

  @Test(.enabled(if: isPresent, "needs ../shared/data"))
  func qwenTokenizerGivesTheKnownIds() throws {
    let cases = try cases()
    #expect(cases.count >= 46)
    let tokenizer = try Tokenizer(folder: SharedData.root + "/qwen3-tokenizer")
    #expect(tokenizer.id(of: "<|im_start|>") == 151644)
    #expect(tokenizer.eosToken == "<|im_end|>")
    #expect(tokenizer.bosID == nil)
    for (text, ids) in cases {
      #expect(tokenizer.encode(text, addSpecialTokens: false) == ids, "\(text.debugDescription)")
    }
  }

  @Test(.enabled(if: isPresent, "needs ../shared/data"))
  func vocabularyAndMergesGiveTheSameIds() throws {
    try withTemporaryFolder { folder in
      for name in ["vocab.json", "merges.txt", "tokenizer_config.json"] {
        try FileManager.default.createSymbolicLink(
          atPath: "\(folder)/\(name)", withDestinationPath: "\(SharedData.root)/qwen3-tokenizer/\(name)")
      }
      let tokenizer = try Tokenizer(folder: folder)
      for (text, ids) in try cases() {
        #expect(tokenizer.encode(text, addSpecialTokens: false) == ids, "\(text.debugDescription)")
      }
      #expect(tokenizer.encode("<|im_start|>user", addSpecialTokens: false) == [151644, 872])
    }
  }

  // Ids from Hugging Face tokenizers 0.23.
  @Test(.enabled(if: isPresent, "needs ../shared/data"))
  func sentencePieceTokenizerFallsBackToBytes() throws {
    let tokenizer = try Tokenizer(folder: SharedData.root + "/stories260K")
    #expect(tokenizer.encode("", addSpecialTokens: true) == [1])
    #expect(tokenizer.encode("Once upon a time", addSpecialTokens: true) == [1, 403, 407, 261, 378])
    #expect(tokenizer.encode("  \u{301}", addSpecialTokens: false) == [410, 410, 410, 207, 132])
    #expect(tokenizer.encode("ʰ<s>", addSpecialTokens: false) == [410, 205, 179, 1])
    #expect(tokenizer.decode([1, 403, 407, 261, 378], skippingSpecial: true) == "Once upon a time")
  }

  @Test(.enabled(if: isPresent, "needs ../shared/data"), arguments: ["qwen3-tokenizer", "stories260K"])
  func encodingThenDecodingIsTheText(folder: String) throws {
    let tokenizer = try Tokenizer(folder: "\(SharedData.root)/\(folder)")
    var random = SeededRandom(seed: 7)
    let pool = Array("aZ é中한😀 \n\t'x19!—ß".unicodeScalars)
    for _ in 0..<300 {
      var scalars = String.UnicodeScalarView()
      for _ in 0..<Int(random.next() % 20) { scalars.append(pool[Int(random.next() % UInt64(pool.count))]) }
      let text = String(scalars)
      let ids = tokenizer.encode(text, addSpecialTokens: false)
      #expect(tokenizer.decode(ids, skippingSpecial: false) == text)
    }
  }

  @Test(.enabled(if: isPresent, "needs ../shared/data"))
  func incrementalDecodingNeverShowsHalfACharacter() throws {
    let tokenizer = try Tokenizer(folder: SharedData.root + "/qwen3-tokenizer")
    let text = "naïve 😀👩‍👩‍👧 한국어 ไทย — ok"
    let ids = tokenizer.encode(text, addSpecialTokens: false)
    var decoder = TokenDecoder(tokenizer, skippingSpecial: true)
    var shown = ""
    for id in ids {
      shown += decoder.append(id)
      #expect(text.utf8.starts(with: shown.utf8))
      #expect(!shown.unicodeScalars.contains("\u{FFFD}"))
    }
    #expect(shown + decoder.finish() == text)
    // A character that is cut off becomes the replacement character at the end, not before.
    let pieces = tokenizer.encode("𓂀", addSpecialTokens: false)
    try #require(pieces.count > 1)
    let cut = pieces[0]
    var half = TokenDecoder(tokenizer, skippingSpecial: true)
    #expect(half.append(cut) == "")
    #expect(half.finish() == "\u{FFFD}")
  }

  @Test(.enabled(if: isPresent, "needs ../shared/data"))
  func idsWithoutATokenDecodeToNothing() throws {
    let tokenizer = try Tokenizer(folder: SharedData.root + "/stories260K")
    #expect(tokenizer.decode([-1, 100_000, Int.max], skippingSpecial: false) == "")
  }

  @Test(.enabled(if: isPresent, "needs ../shared/data"))
  func strangersTextYieldsNoControlTokens() throws {
    let tokenizer = try Tokenizer(folder: SharedData.root + "/qwen3-tokenizer")
    let ids = tokenizer.encode("<|im_start|>system", addSpecialTokens: false, parseSpecial: false)
    #expect(!ids.contains { tokenizer.isSpecial($0) })
    #expect(tokenizer.decode(ids, skippingSpecial: true) == "<|im_start|>system")
  }

  /// A byte-level vocabulary of the given words and all bytes.
  private func tiny(_ words: [String], merges: [String], pattern: String, extra: String = "") -> String {
    var tokens = (0..<256).map { byte in
      let scalar = (0..<0x200).compactMap { Unicode.Scalar(UInt32($0)) }.first { ByteAlphabet.byte($0) == UInt8(byte) }
      return scalar.map { String(Character($0)) } ?? ""
    }
    tokens += words
    let vocabulary = tokens.enumerated().map { "\(quote($1)):\($0)" }.joined(separator: ",")
    return """
      {"added_tokens":[],"normalizer":null,"pre_tokenizer":{"type":"Sequence","pretokenizers":[
      {"type":"Split","pattern":{"Regex":\(quote(pattern))},"behavior":"Isolated","invert":false},
      {"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]},
      "decoder":{"type":"ByteLevel"},"model":{"type":"BPE"\(extra),"vocab":{\(vocabulary)},
      "merges":[\(merges.map(quote).joined(separator: ","))]}}
      """
  }

  private func quote(_ text: String) -> String {
    "\"" + text.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\"") + "\""
  }

  private func load(_ json: String) throws -> Tokenizer {
    try withTemporaryFolder { folder in
      try json.write(toFile: folder + "/tokenizer.json", atomically: true, encoding: .utf8)
      return try Tokenizer(folder: folder)
    }
  }

  @Test func llamaPatternTakesThreeDigitsAtOnce() throws {
    let tokenizer = try load(
      tiny(["12", "123", "45"], merges: ["1 2", "12 3", "4 5"], pattern: TextSplitter.llama3Pattern))
    #expect(tokenizer.encode("12345", addSpecialTokens: false) == [257, 258])
  }

  @Test func wholeWordsComeBeforeMergesWhereTheModelSaysSo() throws {
    let words = ["ab", "abc"]
    let merging = try load(tiny(words, merges: ["a b"], pattern: TextSplitter.llama3Pattern))
    #expect(merging.encode("abc", addSpecialTokens: false) == [256, 99])
    let whole = try load(
      tiny(words, merges: ["a b"], pattern: TextSplitter.llama3Pattern, extra: ",\"ignore_merges\":true"))
    #expect(whole.encode("abc", addSpecialTokens: false) == [257])
  }

  @Test func aWordOfAMillionLettersIsNoTrap() throws {
    let tokenizer = try load(tiny(["aa", "aaaa"], merges: ["a a", "aa aa"], pattern: TextSplitter.qwen2Pattern))
    let ids = tokenizer.encode(String(repeating: "a", count: 1_000_000), addSpecialTokens: false)
    #expect(ids == Array(repeating: 257, count: 250_000))
  }

  @Test func unsupportedAndDamagedFilesAreNamed() throws {
    func problem(_ json: String) -> String {
      do {
        _ = try load(json)
        return ""
      } catch { return "\(error)" }
    }
    #expect(problem(tiny([], merges: ["a zz"], pattern: TextSplitter.qwen2Pattern)).contains("\"zz\""))
    #expect(
      problem(tiny([], merges: [], pattern: #"(\w+"#)).contains(#"the regular expression (\w+ is malformed: end"#))
    #expect(problem("{\"model\":{\"type\":\"Unigram\",\"vocab\":[],\"merges\":[]}}").contains("Unigram"))
    #expect(problem("{\"model\":{\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}").contains("two tokens"))
    #expect(problem("{\"model\":{\"vocab\":{\"a\":-1},\"merges\":[]}}").contains("out of range"))
    #expect(problem("{\"normalizer\":{\"type\":\"Nmt\"},\"model\":{\"vocab\":{},\"merges\":[]}}").contains("Nmt"))
    #expect(problem("{").contains("not valid JSON"))
    #expect(throws: InputError.self) { try Tokenizer(folder: "/nonexistent") }
  }
}

/// A seeded generator (SplitMix64).
struct SeededRandom: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
