// `dms calibrate`: what TriAttention must know of a model's queries, from one pass over any text.

import ArgumentParser
import DMSCache
import DMSCheckpoint
import DMSModel
import DMSPlatform
import DMSText

struct CalibrateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "calibrate", abstract: "Measure a model's queries for --policy triattention.",
    discussion: """
      The text goes in windows of --context tokens through the model, densely, and every head's queries are averaged before RoPE. \
      Any text serves. The file lies beside the model, where --policy triattention finds it, unless --output says otherwise.
      """)

  @Argument(help: "A Hugging Face model folder, or a GGUF file.")
  var model: String

  @Option(help: "A text file in UTF-8.")
  var text: String?

  @Option(help: "Token ids instead of a text: a JSON list, or a .safetensors file with input_ids.")
  var tokens: String?

  @Option(parsing: .unconditional, help: "The most tokens that are read.")
  var limit = 32_768

  @Option(help: "The .safetensors file to write.")
  var output: String?

  @OptionGroup var engineOptions: EngineOptions

  /// Without --context.
  private static let window = 4096

  mutating func validate() throws {
    guard (text == nil) != (tokens == nil) else { throw ValidationError("give either --text or --tokens") }
    guard limit > 0 else { throw ValidationError("--limit must be positive") }
    guard engineOptions.policies.isEmpty, engineOptions.budget == nil else {
      throw ValidationError("a calibration reads densely: leave out --policy and --budget")
    }
  }

  mutating func run() throws {
    let source = try engineOptions.source(model)
    if let output { try checkCanBeWritten(output) }
    let ids = try tokens.map(readTokens) ?? source.tokenizer().encode(readText(text ?? ""), addSpecialTokens: true)
    let machine = try engineOptions.machine()
    let decoder = try Decoder(source, on: machine, engineOptions.loading())
    guard let path = output ?? QueryCalibration.path(beside: decoder) else { return }
    try checkCanBeWritten(path)
    var options = try engineOptions.options(decoder)
    options.policy = .dense
    options.context = options.context ?? min(decoder.configuration.context, Self.window)
    let engine = try Engine(decoder, on: machine, options)
    Interrupt.watch()
    let read = Array(ids.prefix(limit))
    do {
      let calibration = try QueryCalibration.measure(
        read, on: engine, progress: progressBar("reading"), isCancelled: { Interrupt.isRequested })
      try calibration.write(to: path, of: decoder)
    } catch is CancellationError {
      printError("dms: interrupted; nothing was written")
      throw Interrupt.exitCode
    }
    printError("\(path): \(read.count) tokens")
  }
}
