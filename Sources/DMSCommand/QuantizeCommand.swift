// `dms quantize`: a checkpoint in another form, once and for all.

import ArgumentParser
import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform

struct QuantizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "quantize", abstract: "Write a model with its weights in another form.",
    discussion: """
      What --weights makes of a model in memory each time it is loaded, in files that are mapped instead: the same results to \
      the last bit, nothing to wait for, and memory that processes share. Configuration, tokenizer and chat template are \
      copied. Folders in q8 or q4 are for this program; those in bf16, f16 and f32 for any other, too.

      An output that ends in .gguf is a GGUF file for llama.cpp and others: q8 is its Q8_0, and q4 its Q4_0 with head and tied \
      embedding in Q8_0. DMS settings are written beside (dms.window_size and so on).
      """)

  @Argument(help: "A Hugging Face model folder, or a GGUF file.")
  var model: String

  @Argument(help: "The folder or .gguf file to write. It must not exist.")
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
    let source = try ModelSource(path: model)
    let bytes = try write(source, to: output, weights, on: Machine(threads: threads))
    printError(
      "\(output): \(weights.rawValue), \(byteCount(bytes)) of weights, were \(byteCount(source.weightBytes))")
  }
}

/// Writes a model as a folder, or as a GGUF file where the output's name says so, with a progress bar on a terminal.
///
/// - Returns: bytes of the weights.
func write(_ source: ModelSource, to output: String, _ weights: WeightFormat, on machine: Machine) throws -> Int {
  Interrupt.watch()
  let bar = progressBar("weights to \(weights.rawValue)")
  do {
    if output.hasSuffix(".gguf") {
      var conversion = GGUFConversion(to: weights, on: machine)
      conversion.progress = bar
      conversion.isCancelled = { Interrupt.isRequested }
      return try conversion.write(source, to: output)
    }
    var conversion = CheckpointConversion(to: weights, on: machine)
    conversion.progress = bar
    conversion.isCancelled = { Interrupt.isRequested }
    return try conversion.write(source, to: output)
  } catch is CancellationError {
    printError("dms: interrupted; nothing was written")
    throw Interrupt.exitCode
  }
}
