// `dms bench`: how fast a model, or a mere shape, runs here. The measurements are in BenchRun, their forms in BenchReport.

import ArgumentParser
import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import DMSTensor
import DMSText
import Glibc

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure prefill and decoding at depths, for chains, policies, weight and cache types.",
    discussion: """
      A cache is brought to each depth with arbitrary keys and values, which takes no computing; prefill and decoding are \
      then measured on it. Several chains are forks of one sequence. --policy takes several, as dense,dms,tova, each a row: "dense" \
      keeps every token; "dms" forgets by the model's own decisions, or by random ones with --simulated-ratio; --budget is for \
      all but "dense".
      """)

  @Argument(help: "A Hugging Face model folder, or a GGUF file.")
  var model: String?

  @Option(
    help: "Instead of a model: a configuration as config.json, or a folder with one; its weights are drawn at random.")
  var shape: String?

  @Option(parsing: .unconditional, help: "Depths in tokens, as 0,4096,16384.")
  var depth = "0"

  @Option(parsing: .unconditional, help: "Numbers of parallel chains, as 1,8.")
  var chains = "1"

  @Option(parsing: .unconditional, help: "Tokens of a prefill; 0 measures none.")
  var prompt = 512

  @Option(parsing: .unconditional, help: "Decode steps of a measurement; 0 measures none.")
  var generate = 64

  @Option(
    parsing: .unconditional, help: "Measurements of each kind; the median is reported, with the lowest and the highest."
  )
  var repetitions = 3

  @Option(parsing: .unconditional, help: "Draw evictions at random so that one of so many tokens survives its window.")
  var simulatedRatio: Double?

  @Option(parsing: .unconditional, help: "The window of simulated evictions, in tokens. Default: the model's, or 256.")
  var simulatedWindow: Int?

  @Flag(help: "One JSON object on stdout.")
  var json = false

  @Flag(help: "A Markdown table.")
  var markdown = false

  @OptionGroup var engineOptions: EngineOptions

  mutating func validate() throws {
    guard (model == nil) != (shape == nil) else { throw ValidationError("give either a model or --shape") }
    guard !(json && markdown) else { throw ValidationError("give either --json or --markdown") }
    _ = try numbers(depth, "--depth", 0...(1 << 24))
    _ = try numbers(chains, "--chains", 1...1024)
    guard (0...65_536).contains(prompt) else { throw ValidationError("--prompt must be 0 to 65536") }
    guard (0...65_536).contains(generate) else { throw ValidationError("--generate must be 0 to 65536") }
    guard (1...1000).contains(repetitions) else { throw ValidationError("--repetitions must be 1 to 1000") }
    guard prompt + generate > 0 else { throw ValidationError("--prompt or --generate must be positive") }
    guard simulatedRatio.map({ $0 >= 1 && $0 <= 1e6 }) ?? true else {
      throw ValidationError("--simulated-ratio must be 1 to 1000000")
    }
    guard simulatedWindow.map({ (1...65_536).contains($0) }) ?? true else {
      throw ValidationError("--simulated-window must be 1 to 65536")
    }
    guard simulatedWindow == nil || simulatedRatio != nil else {
      throw ValidationError("--simulated-window needs --simulated-ratio")
    }
    guard shape == nil || engineOptions.adapters.isEmpty else {
      throw ValidationError("--adapter needs a model: the weights of a --shape are drawn at random")
    }
    guard !engineOptions.noEviction else { throw ValidationError("use --policy dense instead of --no-eviction") }
  }

  /// - Parameter path: a configuration of any name, or a folder with a config.json.
  private func configuration(_ path: String) throws -> ModelConfiguration {
    var status = stat()
    guard stat(path, &status) == 0 else { throw InputError(systemMessage(errno), at: path) }
    if status.st_mode & S_IFMT == S_IFDIR { return try ModelConfiguration(folder: path) }
    // What a folder's configuration is read with, where it is one.
    if path == "config.json" || path.hasSuffix("/config.json") {
      return try ModelConfiguration(folder: folder(of: path))
    }
    return try ModelConfiguration(json: JSON(parsing: readText(path), source: path), source: path)
  }

  private func numbers(_ text: String, _ option: String, _ range: ClosedRange<Int>) throws -> [Int] {
    try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
      guard let number = Int(part), range.contains(number) else {
        throw ValidationError(
          "\(option) needs numbers from \(range.lowerBound) to \(range.upperBound), not \"\(text)\"")
      }
      return number
    }
  }

  mutating func run() throws {
    let machine = try engineOptions.machine()
    // First of all and to the end, so that what it takes can be told from what the model takes.
    let memory = try MemoryBandwidth(on: machine.pool)
    let decoder: Decoder
    let start = ContinuousClock.now
    if let shape {
      decoder = try Decoder(random: configuration(shape), on: machine, engineOptions.loading())
    } else {
      decoder = try Decoder(
        engineOptions.source(model ?? "", comparesPolicies: true), on: machine, engineOptions.loading())
    }
    let loading = ContinuousClock.now - start
    let forgets = decoder.configuration.dms != nil || simulatedRatio != nil
    var policies = engineOptions.policies.flatMap(\.names)
    if policies.isEmpty { policies = [forgets ? .dms : .dense] }
    guard forgets || !policies.contains(.dms) else {
      throw InputError(
        "this model was not taught to forget", at: "--policy dms", remedy: "give --simulated-ratio to draw evictions")
    }
    Interrupt.watch()
    let work = Provenance.work(machine)
    let depths = Set(try numbers(depth, "--depth", 0...(1 << 24))).sorted()
    let chains = try numbers(self.chains, "--chains", 1...1024)
    var results: [BenchRun.Result] = []
    for policy in policies {
      var options = engineOptions.commonOptions(decoder)
      options.context = (depths.last ?? 0) + prompt + generate * (repetitions + 1) + 16
      options.batch = chains.max() ?? 1
      options.policy = policy
      options.budget = policy == .dense ? nil : engineOptions.budget
      options.calibration = try engineOptions.queries(of: decoder)
      options.drawn =
        policy != .dms
        ? nil
        : simulatedRatio.map {
          DrawnDecisions(ratio: $0, window: simulatedWindow ?? decoder.configuration.dms?.window ?? 256)
        }
      let run = BenchRun(
        engine: try Engine(decoder, on: machine, options), policy: policy, prompt: prompt, steps: generate,
        repetitions: repetitions, memory: memory)
      try run.measure(depths: depths, chains: chains) { result in
        results.append(result)
        if !json && !markdown { try writeAnswer(result.line + "\n") }
      }
    }
    let report = BenchReport(
      decoder: decoder, source: model ?? shape ?? "", machine: machine, memory: memory, results: results,
      loading: loading, work: work)
    if json { try writeAnswer(report.json() + "\n") }
    if markdown { try writeAnswer(report.markdown) }
    printError(report.summary)
  }
}
