// `dms inspect`: what a checkpoint is and what it will need, before anything is loaded.

import ArgumentParser
import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import DMSTensor

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show a checkpoint's shape, DMS settings and memory needs, or the machine's abilities.",
    discussion: """
      What is missing is shown; what is there and damaged is said on stderr, and the exit code is 1.
      """)

  @Argument(help: "A Hugging Face model folder, of which config.json is enough for the cache's sizes, or a GGUF file.")
  var model: String?

  @Option(help: "The folder of an adapter that teaches MODEL to forget.")
  var adapter: String?

  @Flag(help: "Show processor, memory nodes, measured bandwidth and what would be chosen; takes a second or two.")
  var hardware = false

  @Option(help: "How keys and values would be stored.")
  var kvType: KVType?

  mutating func validate() throws {
    guard model != nil || hardware else { throw ValidationError("give a model or --hardware") }
    guard model != nil || adapter == nil else { throw ValidationError("--adapter needs a model") }
  }

  mutating func run() throws {
    if hardware { try HardwareReport.show(Machine()) }
    guard let model else { return }
    if hardware { print("") }
    try show(model)
  }

  private func show(_ model: String) throws {
    if try ModelSource.isFile(model) {
      var parts = GGUFParts(try GGUFFile(inspecting: model))
      let taught = try taught(model)
      let shape = try taught?.shape ?? ModelConfiguration(gguf: parts.file)
      show(shape, [("weights", parts.weights), ("text", parts.text())] + (taught?.parts ?? []))
      print("\nmetadata")
      for line in parts.metadata { print(line) }
      return try report(parts.problems)
    }
    let taught = try taught(model)
    let shape = try taught?.shape ?? ModelConfiguration(folder: model)
    var parts = FolderParts(model)
    show(
      shape,
      [("weights", parts.weights(shape)), ("text", parts.text()), ("sampling", parts.sampling())]
        + (taught?.parts ?? []))
    try report(parts.problems)
  }

  /// The shape that the adapter gives to the model, and what there is to say about it.
  private func taught(_ model: String) throws -> (shape: ModelConfiguration, parts: [(name: String, text: String)])? {
    guard let adapter else { return nil }
    let source = try ModelSource(path: model, adapter: adapter)
    let note = try differenceFromBase(source.distanceFromBase())
    return (source.configuration, [("adapter", note ?? "trained on these very weights")])
  }

  private func report(_ problems: PartProblems) throws {
    for problem in problems.all { printError("dms: \(problem)") }
    if !problems.all.isEmpty { throw ExitCode(1) }
  }

  private func show(_ shape: ModelConfiguration, _ parts: [(name: String, text: String)]) {
    let type = kvType ?? (shape.storedType == .f32 && shape.blocks == nil ? .f32 : .bf16)
    print(
      "architecture  \(shape.family.rawValue), \(shape.layers) layers, hidden \(shape.hidden), MLP \(shape.intermediate)"
    )
    print(
      "attention     \(shape.heads) query heads, \(shape.kvHeads) KV heads of \(shape.headDim)\(layers(of: shape))")
    print("vocabulary    \(shape.vocabulary)\(shape.tiedEmbeddings ? ", embedding and head tied" : "")")
    print("context       \(shape.context) tokens, RoPE \(describe(shape.rope))")
    for part in parts { print(pad(part.name, 14) + part.text) }
    if let dms = shape.dms {
      let source = dms.separateAlpha ? "adapter" : "borrowed neuron"
      print(
        "DMS           \(source), one decision per \(dms.alphaPer.rawValue), window \(dms.window), scale "
          + "\(decimals(Double(dms.alphaScale), 1)), offset \(decimals(Double(dms.alphaOffset), 1)), shift \(dms.shift)"
          + (dms.compressionRatio.map { ", ratio \(decimals($0, 1))" } ?? ", no nominal ratio")
          + (dms.evictionDisabled ? ", eviction disabled" : ""))
    } else {
      print("DMS           none: \(shape.slides ? "sliding layers keep their window" : "the cache is dense")")
    }
    print("")
    print(
      "cache in \(type.rawValue.uppercased())   \(shape.slides ? "with windows" : "dense")"
        + (shape.dms?.compressionRatio == nil ? "" : "        at the nominal ratio"))
    for tokens in [1024, 8192, 32768] {
      let visible = shape.layerAttention.reduce(0) { $0 + min(tokens, $1.window ?? tokens) }
      let dense = visible * shape.kvHeads * KVLayout(headDim: shape.headDim, type: type).slotBytes
      var line = "\(pad("\(tokens) tokens", 14))\(pad(byteCount(dense), 13))"
      if let dms = shape.dms, let ratio = dms.compressionRatio {
        // The window is held beside the survivors of what lies before it.
        let live = Double(min(tokens, dms.window + 1)) + Double(max(0, tokens - dms.window - 1)) / ratio
        line += byteCount(Int(Double(dense) * live / Double(tokens)))
      }
      print(line)
    }
  }

  private func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }

  /// What sets layers apart, if anything does.
  private func layers(of shape: ModelConfiguration) -> String {
    let windows = shape.layerAttention.compactMap(\.window)
    let still = shape.layerAttention.count { !$0.rotates }
    return (windows.first.map { ", window \($0) in \(windows.count) of \(shape.layers) layers" } ?? "")
      + (still == 0 ? "" : ", no RoPE in \(still) of \(shape.layers) layers")
  }

  private func describe(_ rope: RopeConfiguration) -> String {
    let base = "base \(decimals(rope.theta, 0))"
    return switch rope.scaling {
    case .none: base
    case .factors(let factors): "\(base), divided by up to \(decimals(Double(factors.max() ?? 1), 2))"
    case .linear(let factor): "\(base), linear \(decimals(factor, 2))"
    case .llama3(let factor, _, _, let original): "\(base), llama3 \(decimals(factor, 2)) from \(original)"
    case .yarn(let factor, let original, _, _, _, _): "\(base), yarn \(decimals(factor, 2)) from \(original)"
    }
  }
}
