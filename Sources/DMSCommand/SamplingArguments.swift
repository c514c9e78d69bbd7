// How tokens are chosen, as options; what is not given is the checkpoint's own wish.

import ArgumentParser
import DMSCheckpoint
import DMSGeneration

struct SamplingArguments: ParsableArguments {
  @Option(help: "Seed of the random choices: the same seed, model and prompt give the same text.")
  var seed: UInt64 = 0

  @Option(help: "0 takes the most likely token.")
  var temperature: Double?

  @Option(help: "Choose among the k most likely tokens; 0: among all.")
  var topK: Int?

  @Option(help: "Choose among the most likely tokens that together have this probability.")
  var topP: Double?

  @Option(help: "Choose among tokens at least this fraction as likely as the most likely one.")
  var minP: Double?

  @Option(help: "Make tokens that have occurred less likely; 1 does nothing.")
  var repetitionPenalty: Double?

  @Option(help: "End before this text. May be given several times.")
  var stop: [String] = []

  @Option(help: "The most tokens to generate. Default: the checkpoint's own limit, or what fits the context.")
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

  /// How a model's answers are generated: its makers' wishes, overridden by flags.
  func options(_ model: LanguageModel) -> AnswerOptions {
    var answer = AnswerOptions(model)
    answer.sampling = options(model.generation)
    answer.stops += stop
    answer.maxTokens = maxTokens ?? answer.maxTokens
    return answer
  }

  /// The checkpoint's wishes, overridden by flags.
  private func options(_ configuration: GenerationConfiguration) -> SamplingOptions {
    var wishes = configuration
    // A temperature asks for sampling.
    if temperature != nil { wishes.doSample = true }
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
