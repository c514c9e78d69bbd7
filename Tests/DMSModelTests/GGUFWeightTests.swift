// The weights of real GGUF files against gguf-py 0.19's numbers, and the decoders that the files describe.

import DMSCheckpoint
import DMSKernels
import DMSTensor
import Foundation
import Testing

private let shared = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().deletingLastPathComponent().appending(path: "shared/data").path
private let isThere = FileManager.default.fileExists(atPath: shared + "/gguf")

@Suite struct GGUFWeightTests {
  /// FNV-1a of all tensors' fp32 bit patterns, word by word, in the file's order.
  @Test(
    .enabled(if: isThere, "needs ../shared/data/gguf"),
    arguments: [
      ("llama-F32", 0xF8D1_FA44_843F_3203),
      ("llama-Q4_K_M", 0xC09B_EDB0_28ED_D0A6),
      ("qwen2-BF16", 0xF946_A01D_A179_3AC6),
      ("qwen2-F16", 0x44CF_CD74_F921_5AC6),
      ("qwen2-F32", 0x8994_2E3E_67B6_D33B),
      ("qwen2-IQ4_NL", 0x7966_0820_A1AB_8546),
      ("qwen2-IQ4_XS", 0xC74F_1278_E9E2_4F18),
      ("qwen2-Q2_K", 0x2AFB_4E91_0381_D52E),
      ("qwen2-Q3_K_M", 0x69BB_8823_20EF_C576),
      ("qwen2-Q4_0", 0x2462_4555_DE14_698E),
      ("qwen2-Q4_1", 0x911F_37F8_5578_D98E),
      ("qwen2-Q4_K_M", 0x1719_EE44_F808_B564),
      ("qwen2-Q5_0", 0x9AF0_FDC8_E2DD_1B8E),
      ("qwen2-Q5_1", 0xE134_5CD6_3B5E_DE8E),
      ("qwen2-Q5_K_M", 0x6DB4_6032_4268_9DBC),
      ("qwen2-Q6_K", 0x45A8_5838_39BD_57F0),
      ("qwen2-Q8_0", 0x07D4_385E_FE84_AA46),
      ("qwen3-Q4_K_M", 0xF220_B9F8_C892_8A23),
      ("qwen3-Q8_0", 0x25FA_8918_3268_0FEF),
    ] as [(String, UInt64)])
  func filesHoldTheReferencesNumbers(name: String, expected: UInt64) throws {
    let file = try GGUFFile(path: "\(shared)/gguf/\(name).gguf")
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for name in file.names {
      let (type, shape, bytes) = try file.tensor(named: name)
      var numbers = [Float](repeating: 0, count: shape.reduce(1, *))
      let base = try #require(bytes.baseAddress)
      numbers.withUnsafeMutableBufferPointer { out in
        if let out = out.baseAddress { widen(base, type, shape.reduce(1, *), to: out) }
      }
      for number in numbers { hash = (hash ^ UInt64(number.bitPattern)) &* 0x100_0000_01B3 }
    }
    withExtendedLifetime(file) {}
    #expect(hash == expected)
    let shape = try ModelConfiguration(gguf: file)
    #expect(shape.family.rawValue == name.prefix { $0 != "-" } && shape.layers == 2 && shape.hidden == 256)
    #expect(shape.heads == 8 && shape.kvHeads == 2 && shape.vocabulary == 617 && shape.eosIDs == [614])
    #expect(shape.headDim == (name.hasPrefix("qwen3") ? 64 : 32) && shape.normEpsilon == 1e-6)
    #expect(shape.tiedEmbeddings == !file.hasTensor("output.weight") && shape.dms == nil)
  }

  @Test(.enabled(if: isThere, "needs ../shared/data/gguf-heads"))
  func aHeadTellsTheWholeShape() throws {
    let path = "\(shared)/gguf-heads/DeepSeek-R1-Distill-Qwen-7B.head.gguf"
    #expect(throws: (any Error).self) { try GGUFFile(path: path) }
    let file = try GGUFFile(inspecting: path)
    let shape = try ModelConfiguration(gguf: file)
    #expect(shape.layers == 28 && shape.hidden == 3584 && shape.kvHeads == 4 && shape.headDim == 128)
    #expect(shape.context == 131_072 && shape.rope.theta == 10_000 && !shape.tiedEmbeddings)
    let tokens = try #require(file.value("tokenizer.ggml.tokens")?.array)
    var (texts, bytes) = (0, 0)
    try tokens.forEach { value in
      texts += 1
      bytes += value.string?.utf8.count ?? 0
    }
    #expect(texts == shape.vocabulary && bytes > texts)
  }
}
