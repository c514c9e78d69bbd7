// What `dms inspect` says of a model folder's files beside config.json: what is there, what is missing, and what is damaged.
// What the files are for is not known here.

import DMSCheckpoint
import DMSGeneration
import DMSPlatform
import DMSText
import Glibc

struct FolderParts {
  private let folder: String
  /// What is there and cannot be used.
  private(set) var problems = PartProblems()

  init(_ folder: String) { self.folder = folder }

  private func has(_ name: String) -> Bool { access("\(folder)/\(name)", F_OK) == 0 }

  private mutating func describe(_ body: () throws -> String) -> String { problems.describe(folder, body) }

  mutating func weights(_ shape: ModelConfiguration) -> String {
    if !Checkpoint.hasWeights(in: folder) {
      return "not here"
        + (Checkpoint.otherWeights(in: folder).map { " (\($0) is not read, only safetensors are)" } ?? "")
    }
    return describe { [folder] in
      let checkpoint = try Checkpoint(inspecting: folder)
      let size = byteCount(checkpoint.weightBytes)
      if let foreign = checkpoint.quantization {
        return "\(size), quantised by \(oneLine(foreign.name)): cannot be run; \(ForeignQuantization.remedy)"
      }
      return "\(checkpoint.parameters) parameters, \(size)"
        + (shape.blocks.map { " in \($0.format.rawValue) blocks" } ?? "")
    }
  }

  mutating func text() -> String {
    guard ["tokenizer.json", "vocab.json", "tokenizer.model"].contains(where: has) else { return "no tokenizer" }
    let tokenizer = describe { [folder] in "\(try Tokenizer(folder: folder).vocabularySize) tokens" }
    let template = describe { [folder] in try ChatTemplate(folder: folder) == nil ? "no chat template" : "chat template"
    }
    return tokenizer == template ? tokenizer : "\(tokenizer), \(template)"
  }

  mutating func sampling() -> String {
    describe { [folder] in
      let wishes = try GenerationConfiguration(folder: folder)
      let options = SamplingOptions(wishes)
      let rest = wishes.unsupportedKeys.map { "; \($0) not honoured" } ?? ""
      guard options.temperature > 0 else { return "the most likely token" + rest }
      return "temperature \(decimals(options.temperature, 2))" + (options.topK > 0 ? ", top-k \(options.topK)" : "")
        + (options.topP < 1 ? ", top-p \(decimals(options.topP, 2))" : "")
        + (options.minP > 0 ? ", min-p \(decimals(options.minP, 2))" : "") + rest
    }
  }
}
