// Options that every command with a running model has.

import ArgumentParser
import DMSCache
import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import DMSTensor
import Glibc
import Logging

struct EngineOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: "Worker threads. 0: one per usable processor.")
  var threads = 0

  @Option(
    parsing: .unconditional,
    help: "Tokens that the cache has room for. Default: the model's context, or what fits a long prompt.")
  var context: Int?

  @Option(
    help:
      "How keys and values are stored. q8: 8 bits, a scale per 32 channels. Default: f32 for F32 weights, otherwise bf16."
  )
  var kvType: KVType?

  @Option(
    help: """
      The form of the weights: as-stored, f32, bf16, f16, or rounded to blocks of 8 or 4 bits (q8, q4). Norms, biases and \
      what decides evictions stay as they are. dms quantize does this once and for all.
      """)
  var weights = WeightFormat.asStored

  @Option(
    help: """
      How weights in blocks are multiplied: exact (as what they stand for, vectors in f32) or fast (vectors rounded to 8 bits). \
      Default: exact for GGUF files in trace and perplexity, otherwise fast.
      """)
  var arithmetic: Arithmetic?

  @Option(
    name: .customLong("adapter"),
    help: "The folder of an adapter that teaches MODEL to forget, as dms retrofit writes them.")
  var adapters: [String] = []

  @Option(help: "Force an instruction set. Default: the best that the processor has.")
  var isa: InstructionSet?

  @Flag(
    help: """
      Keep every token that attention may see, as a dense cache does: --policy dense. A DMS model's borrowed channels stay zero.
      """)
  var noEviction = false

  @Option(
    name: .customLong("policy"),
    help: """
      What decides which tokens stay; all but dense and dms need --budget. Default: dms for a model that was taught to forget, \
      otherwise dense.
      """)
  var policies: [PolicyNames] = []

  @Option(
    name: [.customLong("budget"), .customLong("kv-budget")],
    help: """
      The most that a sequence's cache may hold, whatever a DMS model decides: as a ratio (8x), tokens of each layer and head \
      (1024) or bytes (64MB).
      """)
  var budget: CacheBudget?

  @Option(help: "What dms calibrate wrote, for --policy triattention. Default: beside the model.")
  var calibration: String?

  @Option(
    parsing: .unconditional,
    help: "The most tokens of a prompt that go through the layers at once. Some policies forget after each such call.")
  var chunk: Int?

  @Flag(help: "Say on stderr what was chosen: threads, memory nodes, instructions.")
  var verbose = false

  mutating func validate() throws {
    guard (0...1024).contains(threads) else { throw ValidationError("--threads must be 0 to 1024") }
    guard context.map({ $0 > 0 }) ?? true else { throw ValidationError("--context must be positive") }
    guard chunk.map({ (1...65_536).contains($0) }) ?? true else { throw ValidationError("--chunk must be 1 to 65536") }
    guard calibration == nil || policies.contains(where: { $0.names.contains(.triAttention) }) else {
      throw ValidationError("--calibration needs --policy triattention")
    }
    guard !noEviction || policies.isEmpty else { throw ValidationError("give either --policy or --no-eviction") }
  }

  /// The policy that is asked for; `nil` leaves it to the model.
  /// - Throws: `ValidationError` for several.
  func policy() throws -> PolicyName? {
    let names = policies.flatMap(\.names)
    guard names.count <= 1 else { throw ValidationError("--policy takes one policy here") }
    return noEviction ? .dense : names.first
  }

  /// The model, with the adapter if one is given.
  ///
  /// - Parameter comparesPolicies: whether several policies may be given.
  func source(_ path: String, comparesPolicies: Bool = false) throws -> ModelSource {
    if !comparesPolicies { _ = try policy() }
    guard adapters.count <= 1 else { throw ValidationError("--adapter can be given once") }
    return try ModelSource(path: path, adapter: adapters.first)
  }

  /// What the command computes with.
  func machine() throws -> Machine { try Machine(threads: threads, instructions: isa) }

  /// How the model is to be loaded, with a progress bar on a terminal.
  func loading(rotaryType: ElementType = .f32, arithmetic: Arithmetic = .fast) -> Decoder.Options {
    var options = Decoder.Options()
    options.arithmetic = self.arithmetic ?? arithmetic
    options.rotaryType = rotaryType
    options.weights = weights
    if weights != .asStored { options.progress = progressBar("weights to \(weights.rawValue)") }
    return options
  }

  /// - Parameter defaultType: the type of keys and values when none is asked for; `nil` follows the weights.
  func engine(_ decoder: Decoder, on machine: Machine, defaultType: KVType? = nil) throws -> Engine {
    try Engine(decoder, on: machine, options(decoder, defaultType: defaultType))
  }

  /// What an engine is made for, with one policy.
  func options(_ decoder: Decoder, defaultType: KVType? = nil) throws -> Engine.Options {
    var options = commonOptions(decoder, defaultType: defaultType)
    options.policy = try policy()
    options.budget = budget
    options.calibration = try queries(of: decoder)
    return options
  }

  /// The calibration, where a policy needs it and there is one.
  func queries(of decoder: Decoder) throws -> QueryCalibration? {
    guard policies.contains(where: { $0.names.contains(.triAttention) }),
      let path = calibration ?? QueryCalibration.path(beside: decoder),
      calibration != nil || access(path, F_OK) == 0
    else { return nil }
    return try QueryCalibration(path: path, of: decoder)
  }

  /// What an engine is made for, whatever its policy.
  func commonOptions(_ decoder: Decoder, defaultType: KVType? = nil) -> Engine.Options {
    var options = Engine.Options()
    options.context = context
    options.kvType = kvType ?? defaultType
    options.chunk = chunk ?? options.chunk
    options.logger = Logger(label: "dms") { _ in StandardErrorLog() }
    options.logger.logLevel = verbose ? .debug : .warning
    if let context, context > decoder.configuration.context {
      options.logger.warning(
        "--context \(context) is beyond the \(decoder.configuration.context) positions that this model was made for")
    }
    return options
  }
}

extension WeightFormat: ExpressibleByArgument {}
extension Arithmetic: ExpressibleByArgument {}
extension InstructionSet: ExpressibleByArgument {}
extension KVType: ExpressibleByArgument {}

extension ModelSource {
  /// How what others are compared with is computed: a GGUF file as its blocks stand, a folder as it always was.
  var reference: Arithmetic { if case .file = container { .exact } else { .fast } }
}

/// Log messages as lines on stderr, in the form of all others: `dms: warning: …`.
struct StandardErrorLog: LogHandler {
  var logLevel = Logger.Level.warning
  var metadata: Logger.Metadata = [:]

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) { printError("dms: \(event.level): \(event.message)") }
}
