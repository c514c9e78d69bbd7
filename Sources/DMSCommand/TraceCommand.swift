// `dms trace`: the reference for other back ends.

import ArgumentParser
import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import DMSTensor
import DMSText

struct TraceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "trace",
    abstract: "Write what the model computes for given tokens, as a reference for other back ends.",
    discussion: """
      Writes input_ids I32 [T] and logits F32 [T, vocabulary]; for DMS models decision_logits F32 [L, G, T], decisions I32 \
      [L, G, T] and retained_at_end I32 [L, G]. With --detail for each layer N: layers.N.hidden [T, hidden] (the layer's \
      input), layers.N.query [T, heads, headDim] and layers.N.key [T, kvHeads, headDim] (after RoPE), layers.N.value, and \
      layers.N.attention [T, heads, headDim] (before the output projection).
      """)

  @Argument(help: "A Hugging Face model folder, or a GGUF file.")
  var model: String

  @Option(help: "A JSON list of token ids, or a .safetensors file with input_ids.")
  var tokens: String?

  @Option(parsing: .unconditional, help: "A text instead of token ids, with BOS where the model wants one.")
  var prompt: String?

  @Option(
    parsing: .unconditional,
    help: "Sizes of successive calls, as 40,24,1; what is left goes token by token. Default: all in one call.")
  var split: String?

  @Flag(help: "Also write each layer's hidden states, queries, keys, values and attention.")
  var detail = false

  @Flag(help: "Only the logits of the last token.")
  var last = false

  @Option(
    help: """
      f32, or bf16 to compare with a reference whose rotary frequencies were rounded with its weights, as PyTorch's \
      model.to(bfloat16) does.
      """)
  var rotaryType = RotaryType.f32

  @Option(name: .shortAndLong, help: "The .safetensors file to write.")
  var output: String

  @OptionGroup var engineOptions: EngineOptions

  enum RotaryType: String, ExpressibleByArgument, CaseIterable { case f32, bf16 }

  private func sizes() throws -> [Int]? {
    try split.map { text in
      try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
        guard let size = Int(part), size > 0 else {
          throw ValidationError("--split needs positive sizes as in 40,24,1, not \"\(text)\"")
        }
        return size
      }
    }
  }

  mutating func validate() throws {
    _ = try sizes()
    guard (tokens == nil) != (prompt == nil) else { throw ValidationError("give either --tokens or --prompt") }
  }

  mutating func run() throws {
    try checkCanBeWritten(output)
    let source = try engineOptions.source(model)
    let ids = try tokens.map(readTokens) ?? source.tokenizer().encode(prompt ?? "", addSpecialTokens: true)
    let machine = try engineOptions.machine()
    let decoder = try Decoder(
      source, on: machine,
      engineOptions.loading(
        rotaryType: rotaryType == .bf16 ? .bf16 : .f32, arithmetic: source.reference))
    let engine = try engineOptions.engine(decoder, on: machine, defaultType: .f32)
    var options = Trace.Options()
    options.split = try sizes()
    options.detail = detail
    options.lastOnly = last
    let cache = try Trace.write(ids, through: engine, to: output, options: options)
    let ledger = cache.ledger
    printError(
      "\(output): \(ledger.tokensSeen) tokens, \(decimals(ledger.liveTokens, 1)) live, ratio "
        + "\(decimals(ledger.compressionRatio, 2)), cache \(byteCount(ledger.bytesHeld)) of "
        + "\(byteCount(ledger.bytesDense)) dense, resident \(byteCount(MemoryAccounting.residentBytes()))")
  }
}

/// Token ids from a JSON list or from the `input_ids` of a safetensors file.
func readTokens(_ path: String) throws -> [Int] {
  if path.hasSuffix(".safetensors") {
    let file = try SafetensorsFile(path: path)
    guard let reader = file.view("input_ids").flatMap({ IntegerReader($0) }) else {
      throw InputError("no integer tensor \"input_ids\"", at: path)
    }
    return withExtendedLifetime(file) { (0..<reader.count).map { Int(reader[$0]) } }
  }
  guard case .array(let elements) = try JSON(parsing: readText(path), source: path) else {
    throw InputError("a JSON list of token ids is expected", at: path)
  }
  return try elements.map { element in
    guard let id = element.integer else { throw InputError("a JSON list of token ids is expected", at: path) }
    return id
  }
}
