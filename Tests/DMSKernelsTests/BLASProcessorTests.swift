// What OpenBLAS is told about a processor that it does not know.

import Testing

@testable import DMSKernels

struct BLASProcessorTests {
  @Test func kernelsWithoutAVX2AreReplacedWhereTheProcessorHasIt() {
    #expect(BLASProcessor.better(than: "Prescott", on: .avx512vnni) == "SkylakeX")
    #expect(BLASProcessor.better(than: "Nehalem", on: .avxvnni) == "Haswell")
  }

  @Test func aGoodChoiceStays() {
    for chosen in ["Haswell", "Zen", "SkylakeX", "Cooperlake"] {
      #expect(BLASProcessor.better(than: chosen, on: .avx512) == nil)
    }
  }

  @Test func anOldProcessorKeepsItsKernels() {
    #expect(BLASProcessor.better(than: "Nehalem", on: .portable) == nil)
    #expect(BLASProcessor.better(than: "armv8", on: .neon) == nil)
  }
}
