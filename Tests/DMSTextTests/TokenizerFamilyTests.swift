// Tokenizers of many families beside Hugging Face's: small vocabularies, whose merges cross the borders of words so that a
// wrong split shows, and the ids of 200 hard texts as one number each. Expected is what tokenizers 0.23 gives (for scores:
// sentencepiece 0.2) for the same parts, vocabularies and texts.

import DMSPlatform
import Foundation
import Testing

@testable import DMSText

struct TokenizerFamilyTests {
  struct Family: Sendable, CustomTestStringConvertible {
    let name: String
    let hash: UInt64
    var normalizers: [String]
    var parts: [String]

    init(_ name: String, _ hash: UInt64, normalizers: [String] = [], parts: [String] = []) {
      (self.name, self.hash, self.normalizers, self.parts) = (name, hash, normalizers, parts)
    }

    var testDescription: String { name }
  }

  /// Families that GGUF files name.
  @Test(arguments: [
    Family("qwen2", 0x1503_D82F_3F82_90BF),
    Family("qwen35", 0x7D88_8AFC_1B01_6633),
    Family("llama-bpe", 0xFA37_F0E3_07BE_76FE),
    Family("gpt-4o", 0x0CC3_9A5B_6206_3F01),
    Family("tekken", 0x6F11_E656_072A_2C9E),
    Family("gpt-2", 0xB6D0_7C54_9402_F20A),
    Family("smollm", 0x43F4_9E2E_1143_9873),
    Family("command-r", 0x19BF_48F8_4FAE_967B),
    Family("falcon", 0x21DA_86DE_168F_4D05),
    Family("deepseek-llm", 0xA647_E554_52CF_0517),
    Family("deepseek-coder", 0x99E4_6F31_83BC_676C),
    Family("deepseek-v3", 0x8EE6_29D5_2410_EAD2),
    Family("default", 0x28EA_79E8_5C25_E32E),
  ])
  func namedFamiliesAreThoseOfHuggingFace(family: Family) throws {
    var tables = TokenizerTables(model: .byteLevel(preTokenizer: family.name), tokens: Self.tokens)
    tables.merges = Self.merges.map { Array($0.utf8) }
    tables.addsBOS = false
    #expect(try Self.hash(Tokenizer(tables: tables, source: "tables")) == family.hash)
  }

  /// What tokenizer.json may put together.
  @Test(arguments: [
    Family(
      "removedSplit", 0xC6AA_95B0_E535_DEA8,
      parts: [
        ##"{"type":"Split","pattern":{"String":" "},"behavior":"Removed","invert":false}"##,
        ##"{"type":"Split","pattern":{"Regex":"[\\p{L}\\p{N}_]+|\\p{P}"},"behavior":"Removed","invert":true}"##,
        ##"{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}"##,
      ]),
    Family(
      "mergedWithPrevious", 0xF9D0_4BF5_F9A7_0319,
      parts: [
        ##"{"type":"Split","pattern":{"String":" "},"behavior":"MergedWithPrevious","invert":false}"##,
        ##"{"type":"Split","pattern":{"Regex":"[A-Z]"},"behavior":"MergedWithPrevious","invert":true}"##,
        ##"{"type":"ByteLevel","add_prefix_space":true,"use_regex":false}"##,
      ]),
    Family(
      "mergedWithNext", 0x7DEC_F827_3113_8179,
      parts: [
        ##"{"type":"Split","pattern":{"Regex":"\\s"},"behavior":"MergedWithNext","invert":false}"##,
        ##"{"type":"Punctuation","behavior":"MergedWithNext"}"##,
        ##"{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}"##,
      ]),
    Family(
      "contiguous", 0x36CB_93FF_2EF2_0FE6,
      parts: [
        ##"{"type":"Split","pattern":{"Regex":"[a-z]"},"behavior":"Contiguous","invert":false}"##,
        ##"{"type":"Split","pattern":{"String":"a"},"behavior":"Contiguous","invert":true}"##,
        ##"{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}"##,
      ]),
    Family(
      "emptyMatches", 0x5084_258B_2C67_31AC,
      parts: [
        ##"{"type":"Split","pattern":{"Regex":"(?=(\\d{3})+(?!\\d))"},"behavior":"Isolated","invert":false}"##,
        ##"{"type":"Split","pattern":{"Regex":"(?<=e)|x?"},"behavior":"MergedWithPrevious","invert":false}"##,
        ##"{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}"##,
      ]),
    Family(
      "whitespace", 0x229F_92A8_7510_B0D2,
      parts: [
        ##"{"type":"Whitespace"}"##,
        ##"{"type":"ByteLevel","add_prefix_space":true,"use_regex":true}"##,
      ]),
    Family(
      "whitespaceSplit", 0xB25F_E1F4_2EF3_229D,
      parts: [
        ##"{"type":"WhitespaceSplit"}"##,
        ##"{"type":"Punctuation","behavior":"Removed"}"##,
        ##"{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}"##,
      ]),
    Family(
      "afterBytes", 0x7233_236A_7063_3D66,
      parts: [
        ##"{"type":"ByteLevel","add_prefix_space":true,"use_regex":true}"##,
        ##"{"type":"Punctuation","behavior":"Isolated"}"##,
        ##"{"type":"Split","pattern":{"String":"Ġ"},"behavior":"MergedWithNext","invert":false}"##,
        ##"{"type":"Split","pattern":{"Regex":"Ã."},"behavior":"Isolated","invert":false}"##,
      ]),
    Family(
      "nfkc", 0x6A0F_0B8C_E8D8_C924,
      normalizers: [
        ##"{"type":"NFKC"}"##,
        ##"{"type":"Lowercase"}"##,
        ##"{"type":"Strip","strip_left":true,"strip_right":true}"##,
      ],
      parts: [
        ##"{"type":"Split","pattern":{"Regex":\##(JSON.string(TextSplitter.qwen2Pattern).line)},"behavior":"Isolated","invert":false}"##,
        ##"{"type":"Digits","individual_digits":false}"##,
        ##"{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}"##,
      ]),
    Family(
      "nfd", 0xC065_59ED_F6B1_8385,
      normalizers: [
        ##"{"type":"NFD"}"##,
        ##"{"type":"Replace","pattern":{"Regex":"\\p{Mn}+"},"content":"^"}"##,
        ##"{"type":"Strip","strip_left":false,"strip_right":true}"##,
      ],
      parts: [
        ##"{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}"##
      ]),
    Family(
      "nfkd", 0xAFEF_63EB_89AE_9D2B,
      normalizers: [
        ##"{"type":"NFKD"}"##,
        ##"{"type":"Prepend","prepend":"> "}"##,
        ##"{"type":"Strip","strip_left":true,"strip_right":false}"##,
      ],
      parts: [
        ##"{"type":"Digits","individual_digits":true}"##,
        ##"{"type":"ByteLevel","add_prefix_space":true,"use_regex":true}"##,
      ]),
    Family(
      "byteLevelNormalizer", 0x3063_079A_C2C8_95D1,
      normalizers: [
        ##"{"type":"ByteLevel"}"##
      ],
      parts: [
        ##"{"type":"Split","pattern":{"Regex":"Ġ+"},"behavior":"Isolated","invert":false}"##
      ]),
  ])
  func partsAreThoseOfHuggingFace(family: Family) throws {
    #expect(try Self.hash(Self.load(family, Self.tokens, Self.merges)) == family.hash)
  }

  @Test(arguments: [
    Family(
      "gemma", 0xA1E3_FDFC_8850_42BF,
      normalizers: [
        ##"{"type":"Replace","pattern":{"String":" "},"content":"▁"}"##
      ],
      parts: [
        ##"{"type":"Split","pattern":{"String":" "},"behavior":"MergedWithPrevious","invert":false}"##
      ]),
    Family(
      "metaspaceFirst", 0x827B_9659_CFA6_2530,
      parts: [
        ##"{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true}"##,
        ##"{"type":"Digits","individual_digits":true}"##,
      ]),
    Family(
      "metaspaceAlways", 0x3E62_8319_0ABF_B054,
      parts: [
        ##"{"type":"WhitespaceSplit"}"##,
        ##"{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}"##,
      ]),
    Family(
      "metaspaceWhole", 0x746E_25B3_0CE3_0D7D,
      parts: [
        ##"{"type":"Punctuation","behavior":"Isolated"}"##,
        ##"{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":false}"##,
      ]),
  ])
  func partsWithoutBytesAreThoseOfHuggingFace(family: Family) throws {
    let merges = Self.pairs(Self.characterMerges)
    let tokens =
      ["<unk>"] + Self.bytes + Self.words(Self.characters)
      + merges.map { String(decoding: Self.joined($0), as: UTF8.self) }
    let model = #","byte_fallback":true,"unk_token":"<unk>","fuse_unk":true"#
    #expect(
      try Self.hash(Self.load(family, tokens.map { Array($0.utf8) }, merges, model)) == family.hash)
  }

  /// Scores alone say what merges.
  @Test func scoresMergeAsSentencePieceDoes() throws {
    let pieces = Self.words(Self.pieces)
    let tokens = ["<unk>", "<s>", "</s>"] + Self.bytes + pieces
    var tables = TokenizerTables(
      model: .sentencePiece(
        scores: Array(repeating: 0, count: 259) + pieces.indices.map { -Float($0) }),
      tokens: tokens.map { Array($0.utf8) })
    tables.types = [.unknown, .control, .control] + Array(repeating: .byte, count: 256)
    (tables.unknownID, tables.bosID, tables.eosID) = (0, 1, 2)
    let tokenizer = try Tokenizer(tables: tables, source: "tables")
    #expect(
      tokenizer.encode("<s>a", addSpecialTokens: true) == [1, 1] + tokenizer.encode("a", addSpecialTokens: false))
    for text in Self.texts {
      let ids = tokenizer.encode(text, addSpecialTokens: true)
      let shown = String(String.UnicodeScalarView(text.unicodeScalars.map { $0 == "▁" ? " " : $0 }))
      #expect(Array(tokenizer.decode(ids, skippingSpecial: true).utf8) == Array(shown.utf8))
    }
    tables.addsBOS = false
    #expect(try Self.hash(Tokenizer(tables: tables, source: "tables")) == 0xB49C_6108_A4FA_A98D)
  }

  /// What a quadratic step somewhere would make hours of.
  @Test(
    .timeLimit(.minutes(1)),
    arguments: ["tekken", "gpt-4o", "deepseek-llm", "deepseek-v3", "falcon", "smollm", "qwen35", "default"])
  func longRunsAreSplitInLinearTime(name: String) throws {
    var tables = TokenizerTables(model: .byteLevel(preTokenizer: name), tokens: Self.tokens)
    tables.merges = Self.merges.map { Array($0.utf8) }
    tables.addsBOS = false
    let tokenizer = try Tokenizer(tables: tables, source: "tables")
    for text in ["\u{301}", " ", "A", "\n", "1"] {
      let ids = tokenizer.encode(String(repeating: text, count: 500_000), addSpecialTokens: false)
      #expect(ids.reduce(0) { $0 + tokenizer.bytes(of: $1).count } == 500_000 * text.utf8.count)
    }
  }

  // MARK: - Vocabularies

  private static let tokens: [[UInt8]] =
    (0..<256).map { Array(ByteAlphabet.encode([UInt8($0)]).utf8) } + merges.map { joined($0) }
  private static let merges = pairs(byteMerges)
  private static let bytes = (0..<256).map { "<0x\($0 < 16 ? "0" : "")\(String($0, radix: 16, uppercase: true))>" }

  private static func words(_ text: String) -> [String] {
    text.unicodeScalars.split { $0 == " " || $0 == "\n" }.map { String($0) }
  }

  /// Two words each.
  private static func pairs(_ text: String) -> [String] {
    let words = words(text)
    return stride(from: 0, to: words.count, by: 2).map { "\(words[$0]) \(words[$0 + 1])" }
  }

  /// What a merge gives.
  private static func joined(_ merge: String) -> [UInt8] { merge.utf8.filter { $0 != 0x20 } }

  private static func load(
    _ family: Family, _ tokens: [[UInt8]], _ merges: [String], _ model: String = ""
  ) throws -> Tokenizer {
    func quote(_ text: String) -> String { JSON.string(text).line }
    let entries = tokens.enumerated().map { "\(quote(String(decoding: $1, as: UTF8.self))):\($0)" }
    let json = """
      {"normalizer":{"type":"Sequence","normalizers":[\(family.normalizers.joined(separator: ","))]},
      "pre_tokenizer":{"type":"Sequence","pretokenizers":[\(family.parts.joined(separator: ","))]},
      "model":{"type":"BPE"\(model),"vocab":{\(entries.joined(separator: ","))},
      "merges":[\(merges.map(quote).joined(separator: ","))]}}
      """
    return try withTemporaryFolder { folder in
      try json.write(toFile: folder + "/tokenizer.json", atomically: true, encoding: .utf8)
      return try Tokenizer(folder: folder)
    }
  }

  // MARK: - Texts

  private static let texts: [String] = {
    var random = SeededRandom(seed: 7)
    func below(_ count: Int) -> Int { Int(random.next() % UInt64(count)) }
    return (0..<200).map { _ in (0...below(24)).map { _ in pool[below(pool.count)] }.joined() }
  }()

  /// FNV-1a of the ids of all texts, each closed by 2³² − 1.
  private static func hash(_ tokenizer: Tokenizer) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for text in texts {
      for id in tokenizer.encode(text, addSpecialTokens: false) + [0xFFFF_FFFF] {
        hash = (hash ^ UInt64(id)) &* 0x100_0000_01B3
      }
    }
    return hash
  }

  private static let pool = [
    "a", "the", " the", "The", "THE", "Zz", "é", "e\u{301}", "ß", "中", "中文", "한", "ไทย", "न\u{93F}", "😀",
    "👩\u{200D}👩\u{200D}👧", "0", "12", "345", "6789", "²", "Ⅷ", "٣", "१", " ", "  ", "   ", "\n", "\r\n", "\n\n",
    "\t", "\u{A0}", "\u{3000}", "\u{2003}", "'s", "'S", "'re", "'LL", "'ſ", "don't", "_", "-", "--", "!", "?!",
    "...", "。", "，", "—", "“", "$", "+", "=", "<", "`", "|", "~", "^", "/", "//", "\\", "(", "[x]", "{", "@", "#",
    "%", "x1", "1x", "ﬁ", "Ａ", "１", "ﬃ", "\u{323}\u{301}", "\u{F71}\u{F73}", "ǅ", "ʰ", "İ", "Σ", "ω", "ά", "Я", "я",
    "ა", "あ", "ア", "ー", "々", "\u{200D}", "\u{FE0F}", "\u{0}", "▁", "Ġ", "Ċ", "¿", "\u{31350}", "𝐀",
    "\u{6A9}\u{62A}\u{627}\u{628}", "\u{5E9}\u{5DC}\u{5D5}\u{5DD}", "10000", "3.14", "a_b", "AbC", "XMLHttp",
    "\u{AD}",
  ]

  private static let byteMerges = #"""
    â Ģ Ġ Ġ ð Ł ðŁ ĳ âĢ į 0 0 ã Ģ h e ï ¼ © âĢį ðŁĳ ©âĢį Ì ģ . . t he à ½ à ¤ à ¸ ï ¬ ¸ Ń ä ¸Ń 6 7 8 9 67 89 Â ² ĠĠ
    Ġ £ Ìģ Ì £Ìģ ã Ĥ ãĤ ¢ ¸ ı Ð ¯ ï ¸ı H E T HE Î ¬ ðŁĳ § ðŁĳ©âĢį ðŁĳ©âĢį ðŁĳ©âĢįðŁĳ©âĢį ðŁĳ§ Ã Ł a _ ¥ § à ¥§ â ĸ
    âĸ ģ ' t ' Å Z z d o n 't ± į ð Ŀ ð ±į Ĳ Ģ a_ b 'Å ¿ do n't ðĿ ĲĢ ð±į Ĳ Ä ł Î £ .. . ' S 1 00 e Ìģ Â ¿ Ç ħ í ķ
    âĢ ĥ 100 00 íķ ľ T he § Ø © Ø ª Ø Ú ©Ø §Ø ¨ ªØ §Ø¨ Ú©Ø ªØ§Ø¨ - - x 1 Â ł Ã © Ä Ĭ á ĥ ã ĥ ĺ Ģ ðŁ ĺĢ ãĢ Ģ ãĢ Ĥ áĥ
    Ĳ ãĥ ¼ ' r / / ãĢ ħ 'r e ' s â ħ Ġ the âħ § H t L Ht M LHt X MLHt t p Ä ° XMLHt tp Ê ° ã ģ âĢ ľ ãģ Ĥ ± à½ Ñ ı ï¼
    ¡ à½ ±à½ ï¬ ĥ à½±à½ ³ 1 x . 1 3 4 3 .1 ? ! ¨ à¤ © × ¹ Ħ Ï ī × ķ × Ŀ × ©× à ¹Ħ Ĺ à¸ ľ ×ķ ï¼ ĳ à¤ ¨à¤ à¸ Ĺà¸ 34 5
    3.1 4 ×©× ľ×ķ à¹Ħ à¸Ĺà¸ à¤¨à¤ ¿ ×©×ľ×ķ ×Ŀ à¹Ħà¸Ĺà¸ ¢ [ x æ ĸ ä¸Ń æĸ [x ] ä¸Ńæĸ ĩ ' L Ù £ 'L L 1 2 âĢ Ķ ï¬ ģ ï¼ Į
    Â Ń č Ġ A b Ab C 6789 're ĠĠĠ the 'S Ì£Ìģ ! Â² < / Ā 0 ĉ ãĤ¢ ĠĠ \ ĠĠ ` ĠĠ 10000 Â² ĠĠ ãĤ¢ ^ ðŁĳ©âĢįðŁĳ©âĢįðŁĳ§
    ãĢĢ don't 1x íķľ 3.14 % Ġ + 'S + ãģĤ - Çħ 0 ĠĠĠ 0 âĢĥ < ĠĠ < Ð¯ < ãģĤ ^ âĢľ _ 1x ` 'LL { âĢį | $ ~ Ð¯ Ā = ĉ ĠĠ
    ĠĠ ĠĠ ĠĠ 6789 ĠĠ eÌģ ĠĠ 345 ĠĠ âĢĶ âĢį ÃŁ the | Ì£Ìģ _ Ì£Ìģ ĠĠ Ì£Ìģ 's ãĤ¢ The Ð¯ ĠĠ ï¸ı ! ï¸ı Â² ï¸ı ãĢĢ THE
    10000 THE 3.14 Î¬ âĢį Î¬ a_b ðŁĳ©âĢįðŁĳ©âĢįðŁĳ§ ï¸ı ðŁĳ©âĢįðŁĳ©âĢįðŁĳ§ áĥĲ ðŁĳ©âĢįðŁĳ©âĢįðŁĳ§ ãģĤ ÃŁ ~ ÃŁ Ġ à¥§
    # Zz Ä° a_b Zz don't ï¬ĥ ðĿĲĢ 12 ð±įĲ // Äł a_b Äł Ä° ... Ì£Ìģ âĢĥ ÄĬ -- Äł -- âĢĥ Âł @ ðŁĺĢ ĠĠ ãĢĤ ãģĤ // = //
    THE // 12 ãĢħ Ġ 're áĥĲ Ġthe Î£ XMLHttp Ġthe Ê° Çħ âĢľ < âĢľ 3.14 âĢľ 'LL à½±à½³ ĠĠ ?! Ġ ?! a_b à¹Ħà¸Ĺà¸¢ Ġ
    à¹Ħà¸Ĺà¸¢ Ê° [x] ðŁĺĢ 'LL ?! AbC { ! / ! < ! à¥§ ! ÄĬ ! ãĢĢ ! 's ! 3.14 ! [x] # $ # 6789 # -- $ 6789 $ Äł
    """#

  private static let characters = """
    \u{0} \u{9} \u{D} ! # $ % ' ( + - . / 0 1 2 3 4 5 6 7 8 9 < = ? @ A C E H L M S T X Z [ \\ ] ^ _ ` a b d e h n o
    p r s t x z { | ~ \u{A0} \u{AD} ¿ ß é Ċ Ġ İ ſ ǅ ʰ \u{301} \u{323} ά ω Я я \u{5D5} \u{5DC} \u{5DD} \u{5E9}
    \u{627} \u{628} \u{62A} ٣ \u{6A9} न \u{93F} १ ท ย ไ \u{F71} \u{F73} ა \u{2003} \u{200D} — “ Ⅷ ▁
    """

  private static let characterMerges = """
    ▁ ▁ 0 0 h e . . t he 6 7 8 9 67 89 \u{323} \u{301} H E T HE a _ ▁▁ ▁ ' t ' ſ Z z d o n 't a_ b do n't .. . ' S 1
    00 e \u{301} 100 00 T he \u{627} \u{628} \u{62A} \u{627}\u{628} \u{6A9} \u{62A}\u{627}\u{628} - - x 1 ' r / / 'r
    e ' s H t L Ht M LHt X MLHt t p ▁ the XMLHt tp \u{F71} \u{F73} 1 x . 1 3 4 3 .1 ? ! \u{5D5} \u{5DD} \u{5DC}
    \u{5D5}\u{5DD} \u{5E9} \u{5DC}\u{5D5}\u{5DD} न \u{93F} ท ย ไ ทย 34 5 3.1 4 [ x [x ] ' L 'L L 1 2 A b Ab C 6789
    're 'S \u{323}\u{301} \u{0} 0 < / a ▁ ß ▁ ▁ \u{9} ▁▁▁ the don't 1x \u{0} = % ▁ + 'S - ǅ 0 \u{2003} 0 ▁▁▁ < Я \\
    -- ^ “ _ 1x ` 'LL { \u{200D} | $ ~ Я \u{A0} @ \u{A0} ▁ ß ~ ß Ġ é ▁ Ġ İ ʰ ǅ ʰ ▁ ά \u{200D} ά a_b १ # \u{2003} Ċ “
    < “ 3.14 “ 'LL ▁▁ ▁▁ the | 6789 -- \u{323}\u{301} _ \u{323}\u{301} ▁▁ \u{323}\u{301} 's THE 10000 THE 3.14 Zz İ
    a_b Zz ... \u{323}\u{301} -- \u{2003} x1 Ġ // = // THE // 12 're ა XMLHttp ▁the ?! a_b
    """

  private static let pieces = """
    ▁▁ 00 he 👩\u{200D} .. the 67 89 6789 ▁▁▁ \u{323}\u{301} HE a_ THE 👩\u{200D}👧 👩\u{200D}👩\u{200D}👧 't 'ſ Zz do a_b
    don don't ... 'S e\u{301} 100 10000 \u{627}\u{628} \u{6A9}\u{62A} The \u{6A9}\u{62A}\u{627}\u{628} -- x1 'r //
    're 's Ht ML tp XML Http XMLHttp ▁the \u{F71}\u{F73} 1x .1 34 ?! \u{5D5}\u{5DD} \u{5E9}\u{5DC} न\u{93F} ทย .14
    345 ไทย 3.14 \u{5E9}\u{5DC}\u{5D5}\u{5DD} [x 中文 [x] 'L 'LL 12 ▁ß ▁Я ▁'S ▁'s ▁\u{9} ▁! ▁@ ▁a ▁Σ ▁\u{FE0F}
    ▁\u{F71}\u{F73} ▁6789 ▁\u{D} ▁0 ▁_ ▁` ▁ǅ ▁ʰ ▁٣ ▁१ ▁\u{200D} ▁한 ▁𝐀 ▁\u{31350} ▁▁the ▁👩\u{200D}👩\u{200D}👧 ▁XMLHttp
    ▁% ▁- ▁\\ ▁é ▁Ġ ▁ά ▁ア ▁ー ▁1x ▁e\u{301} ▁\u{323}\u{301} ▁The ▁a_b ▁3.14 ▁\u{5E9}\u{5DC}\u{5D5}\u{5DD} ▁+ ▁< ▁| ▁Ċ
    ▁ა ▁あ ▁ﬁ ▁， ▁// ▁Zz ▁x1 ▁▁_ 'S\u{323}\u{301} ▁'LL ▁... ▁don't ▁▁▁the 6789're ▁▁10000 \u{9}ア </ Ġ_ ▁{ ▁\u{2003}
    ▁Ⅷ ▁\u{3000} ▁ﬃ ▁😀 ア^ \u{323}\u{301}_ ▁'ſ ▁न\u{93F} ▁▁\\ ▁▁` ▁中文 ▁345 ▁▁e\u{301} ▁▁▁▁ ▁ ' 0 e t 1 . \u{200D} / _
    h - x L a 👩 \u{301} T H ! 3 4 b 中 6 7 8 9 ² + < \u{323} ア Я \u{FE0F} = E ά 👧 ß १ Z ^ d n o z ſ 𝐀 \u{31350} \u{9}
    @ Ġ Σ S ¿ ǅ \u{2003} 한 % ` é \u{627} \u{628} \u{62A} \u{6A9} \u{A0} Ċ ა \u{3000} 。 ー 😀 \\ r 々 s Ⅷ M X p İ ʰ “ あ
    я \u{F71} \u{F73} ﬃ Ａ 5 ? | ω \u{5D5} \u{5DC} \u{5DD} \u{5E9} न \u{93F} ท ย ไ １ \u{D} # [ ] ~ 文 ٣ 2 { — ﬁ ，
    """
}
