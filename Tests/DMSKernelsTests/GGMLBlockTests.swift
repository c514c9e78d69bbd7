// Blocks of GGUF files against gguf-py 0.19's numbers: its `dequantize` of the same seeded bytes.

import DMSTensor
import Testing

@testable import DMSKernels

@Suite struct GGMLBlockTests {
  /// Four blocks of random bytes: the same generator in Python, whose scales (at `scales`) are kept finite.
  @Test(
    arguments: [
      (.q4_0, [0], 0x92A7_756A_895B_2DB6),
      (.q4_1, [0, 2], 0x8BCD_D1BA_00EA_B245),
      (.q5_0, [0], 0x0A3B_E2C8_4C98_58C6),
      (.q5_1, [0, 2], 0x5730_E01C_2A33_1C06),
      (.q8_0, [0], 0x80EB_55C1_4194_1ED0),
      (.q2_k, [80, 82], 0x7C9B_4DE2_CC2F_30BD),
      (.q3_k, [108], 0xB9D4_7234_4315_6197),
      (.q4_k, [0, 2], 0x15D3_B83C_3FA0_0411),
      (.q5_k, [0, 2], 0xCCFC_5B64_AF30_9E7B),
      (.q6_k, [208], 0x3333_7A64_D140_DE41),
      (.iq4_nl, [0], 0xEAC1_CD4E_AF55_39FF),
      (.iq4_xs, [0], 0x6041_1160_0988_CE70),
      (.f16, [0], 0x4640_D40E_F563_193B),
      (.bf16, [0], 0xE120_A6D0_B964_2CE1),
      (.f32, [2], 0xFA63_B0F8_25C3_AFD1),
    ] as [(GGMLType, [Int], UInt64)])
  func blocksStandForTheReferencesNumbers(type: GGMLType, scales: [Int], expected: UInt64) {
    let (elements, size) = type.block
    var random = SplitMix(UInt64(type.rawValue))
    var bytes: [UInt8] = []
    for _ in 0..<4 {
      var block = (0..<size).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      for place in scales { block[place + 1] &= 0xBB }
      bytes += block
    }
    var numbers = [Float](repeating: 0, count: 4 * elements)
    bytes.withUnsafeBytes { source in
      numbers.withUnsafeMutableBufferPointer { out in
        if let source = source.baseAddress, let out = out.baseAddress { widen(source, type, 4 * elements, to: out) }
      }
    }
    // FNV-1a of the bytes.
    let hash = numbers.withUnsafeBytes { bytes in
      bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }
    #expect(hash == expected)
  }
}
