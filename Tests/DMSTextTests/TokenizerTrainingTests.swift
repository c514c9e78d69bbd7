// Vocabularies that were learnt: loaded again, they give back what they were given.

import DMSPlatform
import Foundation
import Testing

@testable import DMSText

struct TokenizerTrainingTests {
  private func tokenizer(_ options: TokenizerTraining.Options, _ texts: [String]) throws -> Tokenizer {
    var training = try TokenizerTraining(options)
    for text in texts { training.read(text) }
    let files = try training.finish()
    let folder = FileManager.default.temporaryDirectory.path + "/dms-training-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try files.tokenizer.write(toFile: folder + "/tokenizer.json", atomically: true, encoding: .utf8)
    try files.configuration.write(toFile: folder + "/tokenizer_config.json", atomically: true, encoding: .utf8)
    return try Tokenizer(folder: folder)
  }

  private func options(_ vocabulary: Int) -> TokenizerTraining.Options {
    var options = TokenizerTraining.Options()
    options.vocabulary = vocabulary
    options.special = ["<|user|>", "<|end|>"]
    options.added = ["<think>"]
    options.eosToken = "<|end|>"
    return options
  }

  /// Every byte has a token, so every text has ids that decode to it.
  @Test func everyTextComesBack() throws {
    let tokenizer = try tokenizer(options(300), ["a cat and a cat and a cow"])
    for text in [
      "a cat", "Ünïcødé 猫 \u{1F408}", "\t\r\n  x\n", "<think> 12+34",
      String(decoding: (0...127).map(UInt8.init), as: UTF8.self),
    ] {
      let ids = tokenizer.encode(text, addSpecialTokens: false)
      #expect(tokenizer.decode(ids, skippingSpecial: false) == text)
    }
  }

  /// "aab aab aab": of the pairs, aa and ab come three times each; the smaller ids go first.
  @Test func theMostFrequentPairIsMergedFirst() throws {
    var options = options(261)
    options.vocabulary = 256 + 3 + 2
    let tokenizer = try tokenizer(options, ["aab aab aab"])
    #expect(tokenizer.encode("aab", addSpecialTokens: false).map { tokenizer.bytes(of: $0) } == [Array("aab".utf8)])
    #expect(tokenizer.encode("ab", addSpecialTokens: false).count == 2)
    #expect(tokenizer.id(of: "<|end|>") == 259)
    #expect(tokenizer.eosID == 259)
    #expect(tokenizer.vocabularySize == 261)
  }

  @Test func controlTokensAreNoText() throws {
    let tokenizer = try tokenizer(options(300), ["<|user|>cat<|end|><think>"])
    let ids = tokenizer.encode("<|user|>cat<think><|end|>", addSpecialTokens: false)
    #expect(ids.count { tokenizer.isSpecial($0) } == 2)
    #expect(tokenizer.decode(ids, skippingSpecial: true) == "cat<think>")
    // None of their letters was counted as text.
    #expect(tokenizer.encode("user", addSpecialTokens: false).count == 4)
  }

  @Test func whatCannotBeLearntIsRefused() throws {
    #expect(throws: InputError.self) { try TokenizerTraining(self.options(258)) }
    #expect(throws: InputError.self) { try TokenizerTraining(self.options(300)).finish() }
    var unknown = options(300)
    unknown.eosToken = "</s>"
    #expect(throws: InputError.self) { try TokenizerTraining(unknown) }
    for tokens in [[""], ["<a>", "<a>"]] {
      var wrong = options(300)
      wrong.added = tokens
      #expect(throws: InputError.self) { try TokenizerTraining(wrong) }
    }
  }
}
