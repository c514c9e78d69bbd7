// `dms perplexity`: how well a model predicts a text, and how far it is from a reference.

import ArgumentParser
import DMSCheckpoint
import DMSEvaluation
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText

struct PerplexityCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "perplexity", abstract: "Measure how well a model predicts a text, alone or beside a reference.",
    discussion: """
      The text goes in windows of --context tokens, each into a fresh cache; a window's first token is not scored. With \
      --against the predictions are compared with those of a reference of the same tokenizer: the divergence KL(reference ‖ \
      model), how often both find the same token most likely, and for DMS models how many eviction decisions differ. \
      What 8-bit weights cost: dms perplexity M --weights q8 --against M --text FILE; what fast arithmetic costs: dms perplexity \
      F.gguf --arithmetic fast --against F.gguf --text FILE. Both keep keys and values in f32, \
      unless --kv-type says otherwise.
      """)

  @Argument(help: "A Hugging Face model folder, or a GGUF file.")
  var model: String

  @Option(help: "A text file in UTF-8; BOS comes before it where the model wants one.")
  var text: String?

  @Option(help: "Token ids instead of a text: a JSON list, or a .safetensors file with input_ids.")
  var tokens: String?

  @Option(help: "The model of the reference. It may be the same one.")
  var against: String?

  @Option(help: "The form of the reference's weights.")
  var againstWeights: WeightFormat?

  @Flag(help: "The reference keeps every token: what eviction costs.")
  var againstNoEviction = false

  @Flag(help: "Print one JSON object.")
  var json = false

  @OptionGroup var engineOptions: EngineOptions

  /// Without --context: long enough for a model to evict, short enough for every machine.
  private static let window = 4096

  mutating func validate() throws {
    guard (text == nil) != (tokens == nil) else { throw ValidationError("give either --text or --tokens") }
    guard against != nil || (againstWeights == nil && !againstNoEviction) else {
      throw ValidationError("--against-weights and --against-no-eviction need --against")
    }
    guard engineOptions.context.map({ $0 > 1 }) ?? true else { throw ValidationError("--context must be 2 or more") }
  }

  mutating func run() throws {
    // What cannot work is said before anything long begins.
    _ = try engineOptions.source(model)
    if let against { _ = try ModelSource(path: against) }
    let ids = try readIDs()
    let machine = try engineOptions.machine()
    let engine = try engine(model, engineOptions, on: machine)
    var referenceOptions = engineOptions
    referenceOptions.weights = againstWeights ?? .asStored
    referenceOptions.arithmetic = nil
    referenceOptions.adapters = []
    if againstNoEviction {
      (referenceOptions.policies, referenceOptions.noEviction, referenceOptions.budget) = ([], true, nil)
    }
    referenceOptions.context = engine.context
    let reference = try against.map { try self.engine($0, referenceOptions, on: machine) }
    Interrupt.watch()
    let work = Provenance.work(machine)
    var options = Perplexity.Options()
    options.progress = progressBar("reading")
    options.isCancelled = { Interrupt.isRequested }
    let result = try Perplexity.measure(ids, on: engine, against: reference, options: options)
    let report = PerplexityReport(
      model: model, engine: engine, against: against, reference: reference, result: result, work: work)
    if result.tokens > 0 { printAnswer(json ? try report.json() : report.text) }
    guard result.isComplete else {
      printError("dms: interrupted; the text was not read to its end")
      throw Interrupt.exitCode
    }
  }

  private func readIDs() throws -> [Int] {
    if let tokens { return try readTokens(tokens) }
    let text = try readText(self.text ?? "")
    let ids = try ModelSource(path: model).tokenizer().encode(text, addSpecialTokens: true)
    // A reference without a tokenizer of its own is taken at its word.
    if let against, against != model, let other = try? ModelSource(path: against).tokenizer() {
      guard other.encode(text, addSpecialTokens: true) == ids else {
        throw InputError(
          "its tokenizer reads the text otherwise than the model's", at: against,
          remedy: "compare models of one tokenizer")
      }
    }
    return ids
  }

  private func engine(_ folder: String, _ options: EngineOptions, on machine: Machine) throws -> Engine {
    let source = try options.source(folder)
    let decoder = try Decoder(source, on: machine, options.loading(arithmetic: source.reference))
    var options = options
    options.context = options.context ?? min(decoder.configuration.context, Self.window)
    return try options.engine(decoder, on: machine, defaultType: .f32)
  }
}
