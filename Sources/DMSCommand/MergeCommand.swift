// `dms merge`: an adapter and its base as one model.

import ArgumentParser
import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform

struct MergeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge", abstract: "Write a model and its adapter as one model.",
    discussion: """
      Computes what the model computes with --adapter, bit for bit if its weights keep their form. An output that ends in \
      .gguf is a GGUF file; any other is a folder.
      """)

  @Argument(help: "The model that the adapter was trained on: a Hugging Face folder, or a GGUF file.")
  var base: String

  @Argument(help: "The adapter's folder.")
  var adapter: String

  @Argument(help: "The folder or .gguf file to write. It must not exist.")
  var output: String

  @Option(
    help: "bf16, f16, f32, q8 or q4. Default: the types of a folder; what is in blocks in a GGUF file becomes f32.")
  var weights = WeightFormat.asStored

  @Option(parsing: .unconditional, help: "Worker threads. 0: one per usable processor.")
  var threads = 0

  mutating func validate() throws {
    guard (0...1024).contains(threads) else { throw ValidationError("--threads must be 0 to 1024") }
    guard weights != .asStored || !output.hasSuffix(".gguf") else {
      throw ValidationError("a GGUF file needs --weights")
    }
  }

  mutating func run() throws {
    let source = try ModelSource(path: base, adapter: adapter)
    let distance = try source.distanceFromBase()
    if let note = differenceFromBase(distance) { printError("dms: warning: \(note)") }
    let bytes = try write(source, to: output, weights, on: Machine(threads: threads))
    printError(
      "\(output): \(byteCount(bytes)) of weights, forgets with a window of \(source.configuration.dms?.window ?? 0)")
  }
}
