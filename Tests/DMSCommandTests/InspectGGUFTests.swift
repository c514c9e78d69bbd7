// `dms inspect` of GGUF files.

import Foundation
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

  @Test(.enabled(if: hasShared, "needs ../shared/data/gguf"))
  func whatIsWrongWithTextIsSaid() throws {
    try withFolder { folder in
      let file = try Data(contentsOf: URL(filePath: "\(shared)/gguf/qwen2-Q4_0.gguf"))
      for (former, changed, problem, shown) in [
        ("{% for m in", "{% fox m in", "tokenizer.chat_template", "617 tokens, cannot be read"),
        (
          "tokenizer.ggml.merges", "tokenizer.ggml.morges", "tokenizer.ggml.merges: a list",
          "cannot be read, chat template"
        ),
      ] {
        var copy = file
        copy.replaceSubrange(try #require(copy.range(of: Data(former.utf8))), with: Data(changed.utf8))
        try copy.write(to: URL(filePath: folder + "/m.gguf"))
        let outcome = try dms("inspect", folder + "/m.gguf")
        #expect(outcome.code == 1 && outcome.errors.hasPrefix("dms: \(folder)/m.gguf: "), "\(outcome.errors)")
        #expect(outcome.errors.contains(problem) && outcome.errors.split(separator: "\n").count == 1)
        #expect(outcome.output.contains("text          \(shown)\n"), "\(outcome.output)")
      }
    }
  }

  @Test func whatIsNoGGUFFileIsRefused() throws {
    try withFolder { folder in
      try write("GGUF", folder + "/m.gguf")
      try expectFailure(dms("inspect", folder + "/m.gguf"), "cut")
    }
  }
}
