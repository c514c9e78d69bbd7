// From tokens to shown text, with stop strings and control tokens, on a tokenizer of a few tokens.

import DMSText
import Foundation
import Testing

@testable import DMSGeneration

struct TextStreamTests {
  /// Byte-level; ids: a b c d are 0…3, F0 9F 98 80 (the bytes of an emoji) 4…7, control tokens from 8 on.
  private static func tokenizer() throws -> Tokenizer {
    let folder = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let control = ["<|a|>", "<|b|>", "<|eot|>"].enumerated().map {
      "{\"id\":\($0 + 8),\"content\":\"\($1)\",\"special\":true}"
    }
    try """
    {"added_tokens":[\(control.joined(separator: ","))],"normalizer":null,"pre_tokenizer":{"type":"ByteLevel"},
    "decoder":{"type":"ByteLevel"},"model":{"type":"BPE","merges":[],
    "vocab":{"a":0,"b":1,"c":2,"d":3,"ð":4,"Ł":5,"ĺ":6,"Ģ":7}}}
    """.write(toFile: "\(folder)/tokenizer.json", atomically: true, encoding: .utf8)
    return try Tokenizer(folder: folder)
  }

  private func shown(_ ids: [Int], _ stops: [String], endedBy end: Int? = nil) throws -> (text: String, stopped: Bool) {
    var stream = TextStream(try Self.tokenizer(), stops: stops)
    var text = ""
    for id in ids { text += stream.append(id) }
    text += stream.finish(endedBy: end)
    return (text, stream.isStopped)
  }

  @Test(
    arguments: [
      ("<|eot|>", [0, 1, 10, 2], "ab", true), ("b<|eot|>", [0, 1, 10, 2], "a", true),
      ("<|eot|>c", [0, 1, 10, 2], "ab", true),
      ("<|a|><|b|>", [0, 8, 9, 2], "a", true), ("a<|a|>b<|b|>c", [3, 0, 8, 1, 9, 2, 3], "d", true),
      ("<|a|><|b|>", [0, 8, 1, 9, 2], "abc", false), ("abcd", [0, 1, 8, 2, 3], "abcd", false),
      ("bc", [0, 1, 8, 2, 1, 2, 3], "abc", true), ("<|eot|>x", [0, 10, 1], "ab", false), ("<|eot|>", [10], "", true),
      ("<|a|>", [0, 8, 1], "a", true), ("😀", [0, 4, 5, 6, 7, 1], "a", true),
      ("😀", [0, 4, 5, 8, 6, 7, 1], "a😀b", false),
      ("b", [4, 5, 8, 6, 7, 1, 0], "😀", true),
    ] as [(String, [Int], String, Bool)])
  func controlTokensAreTextForStopStringsAlone(_ stop: String, _ ids: [Int], _ text: String, _ stopped: Bool) throws {
    let result = try shown(ids, [stop])
    #expect(result.text == text && result.stopped == stopped)
  }

  @Test func theTokenThatEndsTheTextMayEndAStopString() throws {
    #expect(try shown([0, 1], ["b<|eot|>"], endedBy: 10).text == "a")
    #expect(try shown([0, 1], ["b<|eot|>"], endedBy: 9).text == "ab")
    #expect(try shown([0, 1], ["b<|eot|>"]).text == "ab")
    #expect(try shown([0, 1, 8], ["<|a|><|b|>"], endedBy: 9).stopped)
  }
}
