// The rules of added tokens, normalisation, SentencePiece and decoding on small tokenizers made here. Expected ids are what
// Hugging Face tokenizers 0.23 gives for the same files.

import DMSPlatform
import Foundation
@_spi(_Unicode) import Swift
import Testing

@testable import DMSText

struct TokenizerRuleTests {
  /// A tokenizer.json of single letters, ▁ and what is given. Ids: a…z are 0…25, ▁ is 26, then `tokens`.
  private func characters(
    _ tokens: [String] = [], merges: [String] = [], added: String = "", normalizer: String = "null",
    preTokenizer: String = "null", decoder: String = Self.fused, model: String = ""
  ) -> String {
    let all = (0..<26).map { String(UnicodeScalar(UInt8(97 + $0))) } + ["▁"] + tokens
    let vocabulary = all.enumerated().map { "\"\($1)\":\($0)" }.joined(separator: ",")
    return """
      {"added_tokens":[\(added)],"normalizer":\(normalizer),"pre_tokenizer":\(preTokenizer),"decoder":\(decoder),
      "model":{"type":"BPE"\(model),"vocab":{\(vocabulary)},
      "merges":[\(merges.map { "\"\($0)\"" }.joined(separator: ","))]}}
      """
  }

  private static let fused = """
    {"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},
    {"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}
    """
  private static let metaspace = #"{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true}"#

  private func load(_ json: String) throws -> Tokenizer {
    try withTemporaryFolder { folder in
      try json.write(toFile: folder + "/tokenizer.json", atomically: true, encoding: .utf8)
      return try Tokenizer(folder: folder)
    }
  }

  private func added(_ content: String, _ id: Int, _ flags: String...) -> String {
    let flags = flags.map { ",\"\($0)\":true" }.joined()
    return "{\"id\":\(id),\"content\":\"\(content)\"\(flags)}"
  }

  @Test func theLongestAddedTokenWinsAndARejectedOneStaysText() throws {
    let tokenizer = try load(
      characters(added: [added("ab", 27), added("abc", 28, "single_word"), added("bc", 29)].joined(separator: ",")))
    #expect(tokenizer.encode("abc", addSpecialTokens: false) == [28])
    #expect(tokenizer.encode("ab", addSpecialTokens: false) == [27])
    // "abc" is the longest, but x touches it: its three letters stay plain, though "ab" and "bc" are tokens.
    #expect(tokenizer.encode("xabc", addSpecialTokens: false) == [23, 0, 1, 2])
    #expect(tokenizer.encode("abcé", addSpecialTokens: false) == [0, 1, 2])
    #expect(tokenizer.encode("—abc—", addSpecialTokens: false) == [28])
  }

  @Test func addedTokensTakeAnyWhiteSpaceAlong() throws {
    let tokenizer = try load(
      characters(added: [added("<l>", 27, "lstrip"), added("<r>", 28, "rstrip")].joined(separator: ",")))
    #expect(tokenizer.encode("a \u{A0}\u{2003}<l>b", addSpecialTokens: false) == [0, 27, 1])
    #expect(tokenizer.encode("a<r>\u{2003}\n\u{3000}b", addSpecialTokens: false) == [0, 28, 1])
    #expect(tokenizer.encode("<r>  <l>", addSpecialTokens: false) == [28, 27])
  }

  @Test func normalizedAddedTokensAreFoundInNormalizedText() throws {
    let tokenizer = try load(
      characters(
        added: [added("<e\u{301}>", 27, "normalized"), added("<x>", 28)].joined(separator: ","),
        normalizer: #"{"type":"NFC"}"#))
    #expect(tokenizer.encode("a<\u{E9}>b<e\u{301}>", addSpecialTokens: false) == [0, 27, 1, 27])
    #expect(tokenizer.encode("a<x>", addSpecialTokens: false) == [0, 28])
  }

  // Not Foundation's composition: it leaves U+AC00 U+11A8 as it is.
  @Test func compositionByStretchesIsCompositionOfTheWhole() {
    var random = SeededRandom(seed: 11)
    let pool: [UInt32] = [
      0x61, 0x20, 0xE9, 0x301, 0x323, 0x327, 0x20D0, 0x20D2, 0x1100, 0x1161, 0x11A8, 0xAC00, 0xAC01, 0x212B, 0x2329,
      0x3099,
      0x304B, 0x302A, 0x915, 0x93C, 0x958, 0x1E0A, 0x1F71, 0x340, 0x344, 0x37E, 0xFB1D, 0x1D15E, 0x2F801, 0x10FFFF,
    ]
    for _ in 0..<5000 {
      var text = String.UnicodeScalarView()
      for _ in 0..<Int(random.next() % 9) {
        if let scalar = Unicode.Scalar(pool[Int(random.next() % UInt64(pool.count))]) { text.append(scalar) }
      }
      var whole = String.UnicodeScalarView()
      for scalar in String(text)._nfc { whole.append(scalar) }
      #expect(Normalizer.nfc.apply(Array(String(text).utf8)) == Array(String(whole).utf8))
    }
    for (text, composed) in [
      ("\u{AC00}\u{11A8}", "\u{AC01}"), ("a\u{20D0}\u{20D2}", "a\u{20D2}\u{20D0}"), ("x\u{2329}", "x\u{3008}"),
    ] { #expect(Normalizer.nfc.apply(Array(text.utf8)) == Array(composed.utf8)) }
  }

  // Python's unicodedata gives these; the standard library starts anew at U+0F73.
  @Test func marksAreSortedAcrossCharactersThatDecompose() {
    for (text, composed) in [
      ("\u{F71}\u{F72}\u{F73}", "\u{F71}\u{F71}\u{F72}\u{F72}"), ("\u{F73}\u{F71}", "\u{F71}\u{F71}\u{F72}"),
      ("a\u{F81}\u{323}", "\u{1EA1}\u{F71}\u{F80}"), ("e\u{302}\u{323}", "\u{1EC7}"), ("\u{9C7}\u{9BE}", "\u{9CB}"),
      ("\u{344}a\u{344}", "\u{308}\u{301}\u{E4}\u{301}"), ("\u{1100}\u{1161}\u{11A8}\u{301}", "\u{AC01}\u{301}"),
    ] { #expect(Normalizer.nfc.apply(Array(text.utf8)) == Array(composed.utf8), "\(text.unicodeScalars)") }
  }

  @Test func manyMarksAreSortedInLinearTime() {
    let (above, below) = (String(repeating: "\u{301}", count: 250_000), String(repeating: "\u{323}", count: 250_000))
    let composed = Normalizer.nfc.apply(Array("a\(above)\(below)".utf8))
    #expect(composed.count == 3 + 2 * 499_999 && composed.starts(with: "\u{1EA1}\u{323}".utf8))
    #expect(Normalizer.nfc.apply(Array(String(repeating: "\u{301}\u{323}", count: 250_000).utf8)).count == 1_000_000)
  }

  /// A pattern that nearly matches everywhere.
  @Test func replacingIsLinear() {
    let pattern = Array(repeating: UInt8(ascii: "a"), count: 100_000) + [UInt8(ascii: "b")]
    let text = Array(repeating: UInt8(ascii: "a"), count: 1_000_000)
    #expect(Normalizer.replace(pattern, with: []).apply(text) == text)
    #expect(Normalizer.replace(pattern, with: [0x78]).apply(text + [UInt8(ascii: "b")]).count == 900_001)
  }

  @Test func metaspaceSplitsBeforeEachMarkAndPrependsOnce() throws {
    let tokens = ["▁a", "b▁"]
    let merges = ["▁ a", "b ▁"]
    let splitting = try load(characters(tokens, merges: merges, preTokenizer: Self.metaspace))
    #expect(splitting.encode("a b a", addSpecialTokens: false) == [27, 26, 1, 27])
    #expect(splitting.encode(" a", addSpecialTokens: false) == [27])
    #expect(splitting.encode("", addSpecialTokens: false) == [])
    let whole = try load(
      characters(
        tokens, merges: merges, preTokenizer: Self.metaspace.replacingOccurrences(of: "true", with: "false")))
    #expect(whole.encode("bb a", addSpecialTokens: false) == [26, 1, 1, 27])
    #expect(whole.encode("b bb c", addSpecialTokens: false) == [26, 28, 1, 28, 2])
  }

  @Test func aCharacterWithoutAllItsBytesIsUnknown() throws {
    // é is C3 A9; only A9 has a token, as has the newline.
    let tokens = ["<unk>", "<0xA9>", "<0x0A>"]
    let model = #","byte_fallback":true,"unk_token":"<unk>","fuse_unk":true"#
    let tokenizer = try load(characters(tokens, model: model))
    #expect(tokenizer.encode("aéé\nb", addSpecialTokens: false) == [0, 29, 27, 1])
    #expect(tokenizer.decode([0, 29, 1], skippingSpecial: false) == "a\nb")
    #expect(tokenizer.decode([0, 28, 1], skippingSpecial: false) == "a\u{FFFD}b")
    #expect(tokenizer.id(of: "<0x0A>") == 29)
    #expect(tokenizer.id(of: "▁") == 26)
  }

  @Test func aNormalizedAddedTokenKeepsTheSpaceThatItTook() throws {
    let normalizer = """
      {"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},
      {"type":"Replace","pattern":{"String":" "},"content":"▁"}]}
      """
    let tokenizer = try load(
      characters(
        added: [added("<x>", 27, "normalized"), added("<y>", 28)].joined(separator: ","), normalizer: normalizer))
    let ids = tokenizer.encode("a <x>b<y>", addSpecialTokens: false)
    #expect(ids == [26, 0, 27, 1, 28])
    #expect(tokenizer.decode(ids, skippingSpecial: false) == "a <x>b<y>")
    #expect(tokenizer.decode([27, 28, 27], skippingSpecial: false) == "<x><y> <x>")
  }

  @Test func onlyTheFirstSpaceOfATextIsDropped() throws {
    let tokenizer = try load(characters())
    #expect(tokenizer.decode([26, 26, 0, 26, 1], skippingSpecial: false) == " a b")
    var decoder = TokenDecoder(tokenizer, skippingSpecial: false)
    #expect([26, 26, 0, 26, 1].map { decoder.append($0) } == ["", " ", "a", " ", "b"])
    #expect(decoder.finish() == "")
  }

  @Test(.enabled(if: SharedData.isPresent, "needs ../shared/data"), arguments: ["qwen3-tokenizer", "stories260K"])
  func incrementsAddUpToTheTextOfAnyIds(folder: String) throws {
    let tokenizer = try Tokenizer(folder: "\(SharedData.root)/\(folder)")
    var random = SeededRandom(seed: 5)
    for skipping in [true, false] {
      for _ in 0..<400 {
        // Ids that are single bytes are drawn often, so that characters come in halves.
        let ids = (0..<12).map { _ in
          Int(random.next() % (random.next() % 2 == 0 ? 260 : UInt64(tokenizer.vocabularySize + 3))) - 1
        }
        var decoder = TokenDecoder(tokenizer, skippingSpecial: skipping)
        var shown = ids.map { decoder.append($0) }.joined()
        shown += decoder.finish()
        let bytes = ids.filter { !skipping || !tokenizer.isSpecial($0) }.flatMap { tokenizer.bytes(of: $0) }
        let strips = folder == "stories260K" && bytes.first == 0x20
        #expect(shown == String(decoding: strips ? Array(bytes.dropFirst()) : bytes, as: UTF8.self))
        #expect(shown == tokenizer.decode(ids, skippingSpecial: skipping))
      }
    }
  }

  @Test(arguments: [
    (
      """
      {"type":"Sequence","decoders":[{"type":"Strip","content":"_","start":1,"stop":1},
      {"type":"Replace","pattern":{"Regex":"[▁]+"},"content":"-"},{"type":"Fuse"}]}
      """, "-a-ab-b"
    ),
    (
      """
      {"type":"Sequence","decoders":[{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},
      "content":" "}]},{"type":"Fuse"},{"type":"Strip","content":" ","start":2,"stop":0}]}
      """, "a  a_b___ b"
    ),
    (#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"never"}"#, " a  a_b___ b"),
    (
      #"{"type":"Sequence","decoders":[{"type":"Metaspace","replacement":"▁","prepend_scheme":"first"}]}"#,
      "a  a_b___ b"
    ),
    (
      """
      {"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"a"},"content":"Ġ"},{"type":"ByteLevel"}]}
      """, "▁ ▁▁Ġ_b___▁b"
    ),
  ])
  func decodersAreThoseOfHuggingFace(decoder: String, text: String) throws {
    let tokenizer = try load(characters(["▁▁a", "_b_", "__"], decoder: decoder))
    #expect(tokenizer.decode([26, 0, 27, 28, 29, 26, 1], skippingSpecial: false) == text)
  }

  @Test func anAddedTokenMayBeSpelledAsAnotherDecodes() throws {
    let tokenizer = try load(
      """
      {"added_tokens":[\(added("  ", 3))],"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},
      "decoder":{"type":"ByteLevel"},"model":{"vocab":{"a":0,"Ġ":1,"ĠĠ":2},"merges":["Ġ Ġ"]}}
      """)
    #expect(tokenizer.encode("a  a", addSpecialTokens: false) == [0, 3, 0])
    #expect(tokenizer.decode([0, 3, 2, 1], skippingSpecial: false) == "a     ")
  }

  @Test func templatesStandAroundEachOther() throws {
    func template(_ left: String, _ right: String) -> String {
      """
      {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"\(left)","type_id":0}},
      {"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"\(right)","type_id":0}}],
      "special_tokens":{"\(left)":{"id":"\(left)","ids":[\(id(left))]},"\(right)":{"id":"\(right)","ids":[\(id(right))]}}}
      """
    }
    func id(_ letter: String) -> Int { letter.utf8.first.map { Int($0) - 97 } ?? 0 }
    let both =
      "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},\(template("b", "c")),\(template("d", "e"))]}"
    let json = characters().replacingOccurrences(
      of: "\"normalizer\"", with: "\"post_processor\":\(both),\"normalizer\"")
    #expect(try load(json).encode("a", addSpecialTokens: true) == [3, 1, 0, 2, 4])
  }

  /// Each letter more would double the time; what the engine gives up on is one piece.
  @Test(.timeLimit(.minutes(1))) func exponentialPatternsAreStopped() throws {
    let tokenizer = try load(
      characters(
        ["aa"], merges: ["a a"],
        preTokenizer: #"{"type":"Split","pattern":{"Regex":"b|(a|aa|a)+c"},"behavior":"Isolated","invert":false}"#))
    let text = "ba" + String(repeating: "a", count: 63)
    #expect(tokenizer.encode(text, addSpecialTokens: false) == [1] + Array(repeating: 27, count: 32))
    #expect(tokenizer.encode("aac", addSpecialTokens: false) == [27, 2])
  }

  @Test func whatIsNotSupportedOrDamagedIsOneLine() throws {
    func problem(_ json: String) -> String {
      do {
        _ = try load(json)
        return "no error"
      } catch { return "\(error)" }
    }
    let template = """
      {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}}],"special_tokens":{"<s>":{"ids":[99]}}}
      """
    let cases: [(json: String, names: String)] = [
      (characters(decoder: #"{"type":"WordPiece"}"#), "WordPiece"),
      (
        characters(decoder: #"{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"ByteFallback"}]}"#),
        "ByteFallback"
      ),
      (characters(decoder: #"{"type":"Replace","pattern":{"String":"a"},"content":"bbbbbbbbb"}"#), "Replace"),
      (characters(decoder: #"{"type":"Sequence"}"#), "has no decoders"),
      (
        characters(
          decoder: """
            {"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Strip","content":" ","start":1,"stop":0}]}
            """), "Strip"
      ),
      (characters(preTokenizer: #"{"type":"BertPreTokenizer"}"#), "BertPreTokenizer"),
      (characters(preTokenizer: #"{"type":"Digits","individual_digits":1}"#), "individual_digits"),
      (
        characters(preTokenizer: #"{"type":"Sequence","pretokenizers":[{"type":"Split"},{"type":"Split"}]}"#),
        "the pattern of a Split"
      ),
      (
        characters(
          preTokenizer: """
            {"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"x"},"behavior":"isolated"},
            {"type":"ByteLevel","use_regex":false}]}
            """), "behavior"
      ),
      (
        characters(preTokenizer: #"{"type":"Split","pattern":{"Regex":"x\\p{Nope}"},"behavior":"Isolated"}"#),
        #"x\p{Nope} is malformed: invalid character property name {Nope}"#
      ),
      (
        characters(
          preTokenizer: """
            {"type":"Sequence","pretokenizers":[\(Array(repeating: #"{"type":"Whitespace"}"#, count: 65)
            .joined(separator: ","))]}
            """), "more than 64"
      ),
      (
        characters(
          preTokenizer:
            #"{"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"Metaspace","replacement":"▁"}]}"#
        ), "Metaspace after ByteLevel"
      ),
      (
        characters(preTokenizer: #"{"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"ByteLevel"}]}"#),
        "ByteLevel twice"
      ),
      (characters(normalizer: #"{"type":"Replace","pattern":{"String":"a"}}"#), "no content"),
      (characters(normalizer: #"{"type":"Replace","pattern":{"Regex":"["},"content":""}"#), "malformed"),
      (
        characters(
          normalizer: """
            {"type":"Sequence","normalizers":[\(Array(repeating:
              #"{"type":"Replace","pattern":{"String":"a"},"content":"aa"}"#, count: 7).joined(separator: ","))]}
            """), "longer"
      ),
      (characters(merges: [#"a \n"#]), #""\n""#),
      (characters(merges: ["ab"]), "space between"),
      (characters(added: added("<x>", 3)), "disagree about the id 3"),
      (characters(added: added("a", 40)), "disagree about the id 40"),
      (characters(added: added("<x>", 40) + "," + added("<y>", 40)), "two added tokens"),
      (characters(model: #","dropout":0.1"#), "dropout"),
      (characters(model: #","unk_token":"<unk>""#), "<unk>"),
      (characters(model: #","end_of_word_suffix":"</w>""#), "end_of_word_suffix"),
      (characters(["x\" : NaN, \"y"]), "not valid JSON"),
      (characters().replacingOccurrences(of: "\"b\":1", with: "\"b\":1.5"), "integer"),
      (
        characters().replacingOccurrences(of: "\"normalizer\"", with: "\"post_processor\":\(template),\"normalizer\""),
        "<s>"
      ),
    ]
    for (json, names) in cases {
      let problem = problem(json)
      #expect(problem.contains(names), "\(problem)")
      #expect(!problem.contains("\n"))
    }
  }

  @Test func aMissingTokenizerSaysWhatToDo() throws {
    try withTemporaryFolder { folder in
      do {
        _ = try Tokenizer(folder: folder)
        Issue.record("an empty folder has no tokenizer")
      } catch let error as InputError {
        #expect(error.description.contains("tokenizer.json") && error.remedy != nil)
      }
      try "{\"a\":0}".write(toFile: folder + "/vocab.json", atomically: true, encoding: .utf8)
      #expect(throws: InputError.self) { try Tokenizer(folder: folder) }
    }
  }

  @Test func addedTokensOfTheOlderFormAreSpecialOnlyIfTheMapSaysSo() throws {
    try withTemporaryFolder { folder in
      for (name, text) in [
        "vocab.json": #"{"a":0,"b":1,"ab":2}"#, "merges.txt": "#version: 0.2\na b\n",
        "added_tokens.json": #"{"<think>":3,"<|end|>":4}"#,
        "special_tokens_map.json": #"{"eos_token":{"content":"<|end|>"},"additional_special_tokens":[]}"#,
      ] { try text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8) }
      let tokenizer = try Tokenizer(folder: folder)
      #expect(tokenizer.encode("<think>ab<|end|>", addSpecialTokens: false) == [3, 2, 4])
      #expect(tokenizer.decode([3, 2, 4], skippingSpecial: true) == "<think>ab")
      #expect(tokenizer.eosToken == "<|end|>" && tokenizer.eosID == 4)
    }
  }
}
