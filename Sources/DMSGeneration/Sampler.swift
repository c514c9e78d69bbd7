// From logits to a token: bias, penalties, temperature, top-k, top-p, min-p, in the order of Hugging Face transformers; what it
// does not have (bias, frequency and presence) as OpenAI defines it, around its repetition penalty.

import DMSCheckpoint
import DMSPlatform

/// How a token is chosen.
public struct SamplingOptions: Sendable, Equatable {
  /// 0 takes the most likely token.
  public var temperature = 0.0
  /// Keep the k most likely tokens; 0 keeps all.
  public var topK = 0
  /// Keep the most likely tokens that together have this probability (Holtzman et al., 2020); 1 keeps all.
  public var topP = 1.0
  /// Keep tokens at least this fraction as likely as the most likely one; 0 keeps all.
  public var minP = 0.0
  /// Divides positive and multiplies negative logits of tokens that have occurred (Keskar et al., 2019); 1 does nothing.
  public var repetitionPenalty = 1.0
  /// Taken off a logit for each time that its token was chosen (OpenAI's definition); 0 does nothing.
  public var frequencyPenalty = 0.0
  /// Taken off the logits of tokens that were chosen at least once; 0 does nothing.
  public var presencePenalty = 0.0
  /// Added to the logits of single tokens, by id.
  public var bias: [Int: Double] = [:]
  /// Seed of the random numbers: the same one makes the same choices, with the same logits.
  public var seed: UInt64 = 0
  /// Tokens that are never chosen, unless there are no others.
  public var suppressed: [Int] = []

  /// Greedy: always the most likely token.
  public init() {}

  /// What a checkpoint's makers want: `generation_config.json`, greedy unless it samples.
  public init(_ configuration: GenerationConfiguration) {
    repetitionPenalty = configuration.repetitionPenalty ?? 1
    suppressed = configuration.suppressTokens
    guard configuration.doSample ?? false else { return }
    temperature = configuration.temperature ?? 1
    topK = configuration.topK ?? 50
    topP = configuration.topP ?? 1
    minP = configuration.minP ?? 0
  }

  /// Checks that every option is in its range.
  ///
  /// - Throws: `InputError` naming the option that is out of range.
  public func validate() throws {
    func check(_ holds: Bool, _ option: String, _ range: String) throws {
      if !holds { throw InputError("\(option) must be \(range)") }
    }
    try check(temperature >= 0 && temperature.isFinite, "temperature", "0 or more")
    try check(topK >= 0, "top-k", "0 or more")
    try check((0...1).contains(topP), "top-p", "from 0 to 1")
    try check((0...1).contains(minP), "min-p", "from 0 to 1")
    try check(frequencyPenalty.isFinite && presencePenalty.isFinite, "frequency and presence penalty", "finite")
    try check(bias.values.allSatisfy(\.isFinite), "a bias", "finite")
    try check(repetitionPenalty > 0 && repetitionPenalty.isFinite, "repetition-penalty", "more than 0")
  }
}

/// Chooses the tokens of one sequence. Holds a copy of the logits.
public struct Sampler {
  /// How the tokens are chosen.
  public let options: SamplingOptions
  /// Which of several sequences this is: each draws its own numbers.
  private let sequence: Int
  private var logits: [Float]
  private var candidates: Candidates
  private var occurred: [Bool]
  /// How often each token was chosen.
  private var chosen: [Int: Int] = [:]

  /// A sampler of a sequence of which no token is known.
  ///
  /// - Parameters:
  ///   - options: such as `validate` accepts.
  ///   - vocabulary: the count of logits.
  ///   - sequence: which of several sequences this is: each draws random numbers of its own.
  public init(_ options: SamplingOptions, vocabulary: Int, sequence: Int = 0) {
    self.options = options
    self.sequence = sequence
    logits = Array(repeating: 0, count: vocabulary)
    occurred = Array(repeating: false, count: vocabulary)
    candidates = Candidates(vocabulary: vocabulary)
  }

  /// Tells the repetition penalty of tokens that are in the sequence.
  public mutating func note(_ ids: some Sequence<Int>) {
    for id in ids where occurred.indices.contains(id) { occurred[id] = true }
  }

  /// Tells the penalties of a token that was chosen.
  public mutating func chose(_ id: Int) {
    note(CollectionOfOne(id))
    if options.frequencyPenalty != 0 || options.presencePenalty != 0 { chosen[id, default: 0] += 1 }
  }

  /// The token for `position` of the sequence. Of equal logits the smaller id.
  ///
  /// - Parameter values: logits `[vocabulary]`.
  /// - Precondition: as many logits as the sampler was made for.
  public mutating func next(_ values: UnsafeBufferPointer<Float>, position: Int) -> Int {
    precondition(values.count == logits.count, "one logit per token of the vocabulary")
    for index in values.indices { logits[index] = values[index] }
    for (index, value) in options.bias where logits.indices.contains(index) { logits[index] += Float(value) }
    if options.repetitionPenalty != 1 {
      let penalty = Float(options.repetitionPenalty)
      for index in logits.indices where occurred[index] {
        logits[index] = logits[index] > 0 ? logits[index] / penalty : logits[index] * penalty
      }
    }
    for (index, count) in chosen where logits.indices.contains(index) {
      logits[index] -= Float(options.frequencyPenalty * Double(count) + options.presencePenalty)
    }
    for index in options.suppressed where logits.indices.contains(index) { logits[index] = -.infinity }
    var best = 0
    for index in logits.indices where logits[index] > logits[best] { best = index }
    if options.temperature == 0 || options.topK == 1 || logits[best] == -.infinity { return best }
    return candidates.draw(
      logits, largest: logits[best], options,
      uniform: RandomNumbers.uniform(seed: options.seed, sequence: sequence, position: position))
  }
}
