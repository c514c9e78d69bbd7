// Tokenizers that GGUF files lie about: lists of other kinds and lengths, ids and merges that lead nowhere.

import DMSCheckpoint
import DMSPlatform
import DMSText
import Testing

@Suite struct GGUFTokenizerLieTests {
  private static func raw(_ key: String, _ texts: [[UInt8]]) -> GGUFBytes.Key {
    (key, 9, GGUFBytes.list(8, UInt64(texts.count), texts.flatMap { bytes([UInt64($0.count)]) + $0 }))
  }

  private static func texts(_ key: String, _ list: [String]) -> GGUFBytes.Key { raw(key, list.map { Array($0.utf8) }) }

  private static func types(_ types: [Int32]) -> GGUFBytes.Key {
    ("token_type", 9, GGUFBytes.list(5, UInt64(types.count), bytes(types)))
  }

  private static func scores(_ scores: [Float]) -> GGUFBytes.Key {
    ("scores", 9, GGUFBytes.list(6, UInt64(scores.count), bytes(scores)))
  }

  /// A tokenizer of six tokens in an embedding of eight rows, with keys in the place of its own or beside them.
  private func tokenizer(_ keys: [GGUFBytes.Key] = []) throws -> Tokenizer {
    let own: [GGUFBytes.Key] = [
      GGUFBytes.text("model", "gpt2"), GGUFBytes.text("pre", "qwen2"),
      Self.texts("tokens", ["a", "b", "ab", "Ġ", "<s>", "</s>"]), Self.types([1, 1, 1, 1, 3, 3]),
      Self.texts("merges", ["a b"]),
    ]
    var file = GGUFBytes()
    file.keys = (own.filter { key in !keys.contains { $0.0 == key.0 } } + keys)
      .map { ("tokenizer.ggml.\($0.0)", $0.1, $0.2) }
    file.tensors = [("token_embd.weight", [4, 8], 0, 0)]
    file.data = [UInt8](repeating: 0, count: 128)
    let folder = try TemporaryFolder()
    return try Tokenizer(gguf: GGUFFile(path: folder.write("m.gguf", file.all)))
  }

  @Test func whatIsRightIsRead() throws {
    #expect(try tokenizer().encode("ab a<s>", addSpecialTokens: false) == [2, 3, 0, 4])
    let piece = try tokenizer([
      GGUFBytes.text("model", "llama"), Self.scores([0, 0, -1, 0, 0, 0]), GGUFBytes.integer("bos_token_id", 4),
      GGUFBytes.bool("add_space_prefix", 0),
    ])
    #expect(piece.encode("ab", addSpecialTokens: true) == [4, 2])
  }

  private static let lies: [(GGUFBytes.Key, String)] = [
    (GGUFBytes.integer("model", 0), "model: the tokenizer"), (GGUFBytes.text("model", "bert"), "bert"),
    (GGUFBytes.text("pre", "none such"), "none such"), (GGUFBytes.bool("pre", 1), "pre: a text"),
    (("tokens", 9, GGUFBytes.list(0, 6, [1, 2, 3, 4, 5, 6])), "tokens: a list of texts"),
    (GGUFBytes.text("tokens", "a"), "tokens: a list expected"),
    (
      texts("tokens", ["1", "2", "3", "4", "5", "6", "7", "8", "9"]),
      "tokens: at most 8 expected, one for each row of the embedding, found 9"
    ),
    (texts("tokens", ["a", "b"]), "token_type: 2 values expected, found 6"),
    (texts("tokens", ["a", "b", "ab", "a", "x", "y"]), "token 3: a token stands in it twice"),
    (raw("tokens", [[0x61], [0x62], [0x61, 0x62], [], [0xFF], []]), "the added token 4 is not UTF-8"),
    (types([1, 1, 1]), "token_type: 6 values expected, found 3"),
    (types([1, 1, 1, 1, 0, 3]), "token_type: a number from 1 to 6"),
    (types([1, 1, 1, 1, -1, 3]), "token_type: a number from 1 to 6"),
    (texts("token_type", ["1", "1", "1", "1", "3", "3"]), "token_type: a number from 1 to 6"),
    (texts("merges", ["a c"]), "merge 1 needs the token \"c\""), (texts("merges", ["b a"]), "the token \"ba\""),
    (texts("merges", ["ab"]), "merge 1 is not two tokens"), (texts("merges", ["a "]), "merge 1 is not two tokens"),
    (raw("merges", [[0xFF, 0x20, 0xFE]]), "merge 1 needs the token"),
    (texts("merges", [String](repeating: "a b", count: 25)), "merges: at most 24 values expected, found 25"),
    (GGUFBytes.integer("bos_token_id", 6), "BOS is 6, which the vocabulary lacks"),
    (GGUFBytes.integer("eos_token_id", .max), "EOS is 4294967295, which"),
    (("eos_token_id", 5, bytes([Int32(-1)])), "EOS is -1, which"),
    (GGUFBytes.text("bos_token_id", "4"), "a whole number"),
    (GGUFBytes.integer("add_bos_token", 1), "add_bos_token: true or false"),
  ]

  @Test(arguments: lies)
  func everyLieIsNamed(key: GGUFBytes.Key, words: String) throws {
    let complaint = complaint { try tokenizer([key]) }
    #expect(complaint?.contains(words) == true, "\(words): \(complaint ?? "accepted")")
  }

  @Test func scoresMustBeNumbersOneForEachToken() throws {
    for scores in [
      Self.scores([0, 0, 0, 0, 0]), Self.scores([0, 0, 0, 0, 0, .nan]), Self.texts("scores", ["", "", "", "", "", ""]),
    ] {
      let complaint = complaint { try tokenizer([GGUFBytes.text("model", "llama"), scores]) }
      #expect(complaint?.contains("scores") == true, "\(complaint ?? "accepted")")
    }
    #expect(complaint { try tokenizer([GGUFBytes.text("model", "llama")]) }?.contains("scores: a list") == true)
  }

  /// Words that meet in one place of a table with a hash that everybody knows.
  @Test(.timeLimit(.minutes(1))) func tokensMadeToCollideCostNoTime() throws {
    func mix(_ value: UInt64) -> UInt64 {
      let (high, low) = value.multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
      return high ^ low
    }
    let count = 200_000
    let tokens = (0..<UInt64(count)).map { bytes([$0, mix(0x9E37_79B9_7F4A_7C15 ^ 24 ^ $0), 0]) }
    var tables = TokenizerTables(model: .byteLevel(preTokenizer: "qwen2"), tokens: tokens)
    tables.types = [TokenizerTables.TokenType](repeating: .unused, count: count)
    #expect(try Tokenizer(tables: tables, source: "m").vocabularySize == count)
  }
}
