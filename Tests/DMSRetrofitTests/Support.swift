// Training fixtures: a small model and the exact numbers of one step.

import DMSCheckpoint
import DMSKernels
import DMSPlatform
import DMSRetrofit
import DMSTensor
import DMSText
import Foundation
import Testing

struct TrainingFixture: CustomTestStringConvertible {
  let name: String
  let folder: String
  let golden: SafetensorsFile

  /// Those of `DMS_FIXTURES` or of this repository.
  static let all: [TrainingFixture] = {
    let root = ProcessInfo.processInfo.environment["DMS_FIXTURES"] ?? fixtures
    let names = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
    return names.sorted().filter { $0.hasPrefix("train-") }.compactMap { name in
      guard let golden = try? SafetensorsFile(path: "\(root)/\(name)/golden.safetensors") else { return nil }
      return TrainingFixture(name: name, folder: "\(root)/\(name)", golden: golden)
    }
  }()

  /// The repository's own.
  static let fixtures =
    URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path + "/Fixtures"

  func floats(_ name: String) -> [Float]? { golden.view(name).map { Array($0.bytes.bindMemory(to: Float.self)) } }

  func number(_ name: String) -> Double { floats(name)?.first.map(Double.init) ?? .nan }

  /// Every token counts; the last one's target does not matter to a distillation.
  func batch() throws -> TokenBatch {
    let view = try #require(golden.view("input_ids"))
    let ids =
      view.type == .i64
      ? view.bytes.bindMemory(to: Int64.self).map(Int.init) : view.bytes.bindMemory(to: Int32.self).map(Int.init)
    var batch = TokenBatch()
    for first in stride(from: 0, to: ids.count, by: view.shape[1]) {
      batch.append([Document(Array(ids[first..<first + view.shape[1]]), last: 0)])
    }
    return batch
  }

  func eviction() throws -> TrainingStep.Eviction {
    let view = try #require(golden.view("noise"))  // [L, B, G, T]
    let (shape, noise) = (view.shape, Array(view.bytes.bindMemory(to: Float.self)))
    return TrainingStep.Eviction(targetShare: number("target_fraction")) { layer, sequence, kvHead, token in
      noise[((layer * shape[1] + sequence) * shape[2] + kvHead) * shape[3] + token]
    }
  }

  func step(
    recomputes: Bool, threads: Int, sequences: Int, products: ProductType = .f32
  ) throws -> TrainingStep {
    let checkpoint = try Checkpoint(folder: folder)
    let layout = ParameterLayout(checkpoint.configuration)
    let parameters = try Parameters(layout, from: checkpoint)
    let batch = try batch()
    let capacity = min(batch.rows, sequences * batch.longestDocument)
    return try TrainingStep(
      parameters, trains: TrainableParts(layout, .full), teacher: Teacher(parameters.copy(), zeroesBorrowed: true),
      capacity: capacity, recomputes: recomputes, products: products, on: Machine(threads: threads))
  }

  var testDescription: String { name }
}

/// A folder with a tokenizer, in the system's place for what may go.
func temporaryTokenizer(_ training: TokenizerTraining) throws -> String {
  let folder = FileManager.default.temporaryDirectory.path + "/dms-tokenizer-\(UUID().uuidString)"
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  let files = try training.finish()
  try files.tokenizer.write(toFile: folder + "/tokenizer.json", atomically: true, encoding: .utf8)
  try files.configuration.write(toFile: folder + "/tokenizer_config.json", atomically: true, encoding: .utf8)
  return folder
}
