// `dms quantize`: a checkpoint in another form, once and for all.

import ArgumentParser
import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform

struct QuantizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "quantize", abstract: "Write a model folder with its weights in another form.",
    discussion: """
      What --weights makes of a model in memory each time it is loaded, in files that are mapped instead: the same results to \
      the last bit, nothing to wait for, and memory that processes share. Configuration, tokenizer and chat template are \
      copied. Folders in q8 or q4 are for this program; those in bf16, f16 and f32 for any other, too.
      """)

  @Argument(help: "A Hugging Face model folder.")
  var model: String

  @Argument(help: "The folder to write. It must not exist.")
  var output: String

  @Option(
    help: """
      bf16, f16, f32, or blocks of 8 or 4 bits (q8, q4). Norms, biases and what decides evictions stay as they are.
      """)
  var weights: WeightFormat

  @Option(parsing: .unconditional, help: "Worker threads. 0: one per usable processor.")
  var threads = 0

  mutating func validate() throws {
    guard weights != .asStored else { throw ValidationError("--weights needs a form to write") }
    guard (0...1024).contains(threads) else { throw ValidationError("--threads must be 0 to 1024") }
  }

  mutating func run() throws {
    Interrupt.watch()
    let source = try ModelSource(path: model)
    var conversion = CheckpointConversion(to: weights, on: try Machine(threads: threads))
    conversion.progress = progressBar("weights to \(weights.rawValue)")
    conversion.isCancelled = { Interrupt.isRequested }
    do {
      let bytes = try conversion.write(source, to: output)
      printError(
        "\(output): \(weights.rawValue), \(byteCount(bytes)) of weights, were \(byteCount(source.weightBytes))")
    } catch is CancellationError {
      printError("dms: interrupted; nothing was written")
      throw Interrupt.exitCode
    }
  }
}
