// Tokenizers of GGUF files. Expected ids are what Hugging Face tokenizers gives for the same models.

import DMSCheckpoint
import DMSPlatform
import DMSText
import Foundation
import Testing

struct GGUFTokenizerTests {
  private static let shared = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "shared/data").path
  private static let head = shared + "/gguf-heads/DeepSeek-R1-Distill-Qwen-7B.head.gguf"

  private static let texts: [String] = {
    var random = SeededTexts(seed: 3)
    return (0..<100).map { _ in random.text() }
  }()

  @Test(.enabled(if: FileManager.default.fileExists(atPath: head), "needs ../shared/data"))
  func aRealHeadGivesTheIdsOfHuggingFace() throws {
    let tokenizer = try Tokenizer(gguf: GGUFFile(inspecting: Self.head))
    #expect(tokenizer.vocabularySize == 152_064)
    #expect(tokenizer.bosToken == "<｜begin▁of▁sentence｜>" && tokenizer.eosID == 151_643)
    #expect(!tokenizer.isSpecial(151_648) && tokenizer.isSpecial(151_644))
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for text in Self.texts {
      for id in tokenizer.encode(text, addSpecialTokens: true) + [0xFFFF_FFFF] {
        hash = (hash ^ UInt64(id)) &* 0x100_0000_01B3
      }
    }
    #expect(hash == 0xB055_A393_6EFC_7B33)
  }

  @Test func tablesThatCannotBeAreRefused() throws {
    func problem(_ tables: TokenizerTables) -> String {
      do {
        _ = try Tokenizer(tables: tables, source: "model.gguf")
        return "no error"
      } catch { return "\(error)" }
    }
    let tokens = ["<unk>", "<s>", "a", "▁"].map { Array($0.utf8) }
    let bytes = TokenizerTables(model: .byteLevel(preTokenizer: "qwen2"), tokens: Array(tokens[2...]))
    var tables = bytes
    tables.merges = [Array("a b".utf8)]
    #expect(problem(tables).contains("the token \"b\""))
    tables = bytes
    tables.bosID = 7
    #expect(problem(tables).contains("the token of BOS is 7"))
    tables = bytes
    tables.eosID = -1
    #expect(problem(tables).contains("the token of EOS is -1"))
    tables = TokenizerTables(model: .byteLevel(preTokenizer: "qwen9\n"), tokens: tokens)
    #expect(problem(tables).contains("the pre-tokenizer \"qwen9") && !problem(tables).contains("\n"))
    tables = TokenizerTables(model: .byteLevel(preTokenizer: "qwen2"), tokens: tokens + tokens)
    #expect(problem(tables).contains("token 4"))
    tables = TokenizerTables(model: .byteLevel(preTokenizer: "qwen2"), tokens: Array(repeating: [0x61], count: 2))
    for types in [[.normal, .control], [.control, .normal]] as [[TokenizerTables.TokenType]] {
      tables.types = types
      #expect(problem(tables).contains("token 1: a token stands in it twice"))
    }
    for scores in [[], [0, 0, 0, .nan]] as [[Float]] {
      tables = TokenizerTables(model: .sentencePiece(scores: scores), tokens: tokens)
      #expect(problem(tables).contains("scores"))
    }
    tables = TokenizerTables(
      model: .sentencePiece(scores: [0, 0]), tokens: [Array("a".utf8), [UInt8](repeating: 0x61, count: 1 << 16)])
    #expect(problem(tables).contains("too long"))
    tables = TokenizerTables(model: .byteLevel(preTokenizer: "qwen2"), tokens: [[0xFF]])
    tables.types = [.control]
    #expect(problem(tables).contains("the added token 0 is not UTF-8"))
  }
}

/// Texts by a seeded generator (SplitMix64).
private struct SeededTexts {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  private mutating func below(_ count: Int) -> Int {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return Int((z ^ (z >> 31)) % UInt64(count))
  }

  mutating func text() -> String {
    let pool = [
      "the quick ", "brown", " fox", "Jumps", "é", "e\u{301}", "中文", "한국", "😀", "12", "345", " ", "  ", "\n", "\r\n",
      "\t",
      "'s", "'LL", "...", "!?", "—", "_x", "<think>", "</think>", "<｜User｜>", "<|im_start|>", "[PAD151665]",
      "\u{F71}\u{F73}",
      "func f() {", "}", "//", "ไทย", "Ωmega", "²",
    ]
    return (0...below(24)).map { _ in pool[below(pool.count)] }.joined()
  }
}
