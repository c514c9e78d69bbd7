// `dms inspect` of GGUF files.

import Testing

@Suite struct InspectGGUFTests {
  @Test(.enabled(if: hasShared, "needs ../shared/data/gguf-heads"))
  func aHeadIsInspected() throws {
    let outcome = try dms("inspect", "\(shared)/gguf-heads/DeepSeek-R1-Distill-Qwen-7B.head.gguf")
    #expect(outcome.code == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    for words in [
      "qwen2, 28 layers, hidden 3584", "data not here", "tokenizer.ggml.tokens = 152064 strings", "1024 tokens",
    ] { #expect(outcome.output.contains(words), "\(words)") }
  }

  @Test func whatIsNoGGUFFileIsRefused() throws {
    try withFolder { folder in
      try write("GGUF", folder + "/m.gguf")
      try expectFailure(dms("inspect", folder + "/m.gguf"), "cut")
    }
  }
}
