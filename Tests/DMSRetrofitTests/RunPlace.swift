// A place for runs of a small model, which is gone with its test.

import DMSCheckpoint
import DMSKernels
import DMSText
import Foundation

@testable import DMSRetrofit

class RunPlace {
  let root = FileManager.default.temporaryDirectory.path + "/dms-run-\(UUID().uuidString)"

  init() throws { try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true) }

  deinit { try? FileManager.default.removeItem(atPath: root) }

  /// A folder with a configuration and a tokenizer, without weights.
  func emptyModel(vocabulary: Int = 300) throws -> String {
    let folder = "\(root)/empty-\(vocabulary)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try """
    {"model_type": "qwen3", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
     "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 48, "vocab_size": \(vocabulary),
     "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "rope_theta": 10000, "tie_word_embeddings": true}
    """.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
    var options = TokenizerTraining.Options()
    options.vocabulary = 290
    options.special = ["<|user|>", "<|assistant|>", "<|end|>"]
    options.eosToken = "<|end|>"
    options.chatTemplate = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    var training = try TokenizerTraining(options)
    training.read("the cat = 12; the dog = 34; What is the cat? the dog")
    let files = try training.finish()
    try files.tokenizer.write(toFile: folder + "/tokenizer.json", atomically: true, encoding: .utf8)
    try files.configuration.write(toFile: folder + "/tokenizer_config.json", atomically: true, encoding: .utf8)
    return folder
  }

  func recipe(_ more: String, steps: Int = 6, overrides: [String] = []) throws -> Recipe {
    try Recipe(
      JSON(
        parsing: """
          {"seed": 5, "stages": [{"steps": \(steps / 2), "sequences": 3, "length": 150, "size": [30, 60]},
            {"steps": \(steps - steps / 2), "sequences": 2, "length": 200, "size": [30, 90]}],
           "data": [{"task": "retrieval"}, {"task": "sums", "weight": 0.5, "scored": "answers"}],
           "rate": {"peak": 0.01, "warm_up": 2, "schedule": "cosine"}, "tokens_at_once": 300, "evaluation_sequences": 2,
           \(more)}
          """, source: "recipe"), source: "recipe", overrides: overrides)
  }

  let pretrain = #""kind": "pretrain", "checkpoint_every": 2"#
  let retrofit =
    #""kind": "retrofit", "checkpoint_every": 2, "eviction": {"window": 4, "alpha_scale": 10, "alpha_offset": 1, "tau": 0.5, "ratio": 3, "steps_per_ratio": 2, "exports": [2]}"#

  /// - Parameter until: the step after which the run is interrupted.
  @discardableResult
  func run(
    _ recipe: Recipe, _ model: String, _ name: String, threads: Int = 2, until: Int = .max, resumes: Bool = false
  ) throws -> TrainingRun.End {
    let path = "\(root)/\(name)"
    let folder = try resumes ? RunFolder(resuming: path) : RunFolder(new: path)
    let run = try TrainingRun(recipe, model: model, folder: folder, on: Machine(threads: threads))
    var step = 0
    return try run.run(isCancelled: { step >= until }) { if case .step(let progress) = $0 { step = progress.step } }
  }

  func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(filePath: "\(root)/\(path)")) }

  /// Seconds differ from run to run.
  func log(_ name: String) throws -> [String] {
    String(decoding: try bytes("\(name)/log.jsonl"), as: UTF8.self).split(separator: "\n").map { line in
      line.split(separator: ",").filter { !$0.contains("seconds") }.joined(separator: ",")
    }
  }

  /// What an error says.
  func problem(_ body: () throws -> Void) -> String {
    do {
      try body()
      return "no error"
    } catch {
      return "\(error)"
    }
  }
}
