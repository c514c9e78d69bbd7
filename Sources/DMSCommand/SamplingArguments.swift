// How tokens are chosen, as options; what is not given is the checkpoint's own wish.

import ArgumentParser
import DMSCheckpoint
import DMSGeneration
import DMSPlatform

struct SamplingArguments: ParsableArguments {
  @Option(
    parsing: .unconditional, help: "Seed of the random choices: the same seed, model and prompt give the same text.")
  var seed: UInt64 = 0

  @Option(
    parsing: .unconditional,
    help: "0 takes the most likely token. This, --top-k, --top-p or --min-p makes a model sample that would not.")
  var temperature: Double?

  @Option(parsing: .unconditional, help: "Choose among the k most likely tokens; 0: among all.")
  var topK: Int?

  @Option(parsing: .unconditional, help: "Choose among the most likely tokens that together have this probability.")
  var topP: Double?

  @Option(parsing: .unconditional, help: "Choose among tokens at least this fraction as likely as the most likely one.")
  var minP: Double?

  @Option(parsing: .unconditional, help: "Make tokens that have occurred less likely; 1 does nothing.")
  var repetitionPenalty: Double?

  @Option(parsing: .unconditionalSingleValue, help: "End before this text. May be given several times.")
  var stop: [String] = []

  @Option(
    parsing: .unconditional,
    help: "The most tokens to generate. Default: the checkpoint's own limit, or what fits the context.")
  var maxTokens: Int?

  mutating func validate() throws {
    guard maxTokens.map({ $0 > 0 }) ?? true else { throw ValidationError("--max-tokens must be positive") }
    guard !stop.contains("") else { throw ValidationError("--stop needs a text") }
    do {
      try options(GenerationConfiguration()).validate()
    } catch {
      throw ValidationError("--\(error)")
    }
  }

  /// Says on stderr what of the makers' wishes is not honoured, and which options a temperature of 0 makes meaningless, but for
  /// values that choose nothing either.
  func sayWhatHasNoEffect(_ configuration: GenerationConfiguration) {
    if let keys = configuration.unsupportedKeys {
      printError("dms: warning: generation_config.json: \(keys) not honoured")
    }
    guard options(configuration).temperature == 0 else { return }
    let given = [
      ("--top-k", topK.map { $0 > 0 }), ("--top-p", topP.map { $0 < 1 }), ("--min-p", minP.map { $0 > 0 }),
    ]
    for (name, chooses) in given where chooses ?? false {
      printError("dms: warning: \(name) has no effect at temperature 0")
    }
  }

  /// How a model's answers are generated: its makers' wishes, overridden by flags.
  func options(_ model: LanguageModel) -> AnswerOptions {
    var answer = AnswerOptions(model)
    answer.sampling = options(model.generation)
    answer.stops += stop
    answer.maxTokens = maxTokens ?? answer.maxTokens
    return answer
  }

  /// The checkpoint's wishes, overridden by flags.
  func options(_ configuration: GenerationConfiguration) -> SamplingOptions {
    var wishes = configuration
    // Whoever names how to sample wants it, also of a checkpoint that takes the most likely token by itself.
    if temperature != nil || topK != nil || topP != nil || minP != nil { wishes.doSample = true }
    var options = SamplingOptions(wishes)
    options.seed = seed
    options.temperature = temperature ?? options.temperature
    options.topK = topK ?? options.topK
    options.topP = topP ?? options.topP
    options.minP = minP ?? options.minP
    options.repetitionPenalty = repetitionPenalty ?? options.repetitionPenalty
    return options
  }
}

extension GenerationConfiguration {
  /// The keys that are not honoured, by name as far as a line has room for them; `nil` if all are.
  var unsupportedKeys: String? {
    guard !unsupported.isEmpty else { return nil }
    let most = 8
    return unsupported.prefix(most).map { oneLine(String($0.unicodeScalars.prefix(60))) }.joined(separator: ", ")
      + (unsupported.count > most ? " and \(unsupported.count - most) more" : "")
  }
}
