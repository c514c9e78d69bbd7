// What became of a problem, as a line of a run's file says it: everything that a judgement needs, so that answers can be judged
// again without the model. Prompts are named by their hashes: some may not be spread, and all can be made again.

import DMSCache
import DMSGeneration
import DMSText

/// What a model did with a problem.
public struct EvaluationRecord: Sendable, Equatable {
  /// Which of a run's answers this is.
  public struct Key: Sendable, Hashable {
    /// The model, as the run names it.
    public var model: String
    /// The task's name.
    public var task: String
    /// The problem's place among the task's.
    public var place: Int
    /// Which of several answers, counted from 0.
    public var sample: Int
  }

  /// Which of a run's answers this is.
  public var key: Key
  /// The problem's own name.
  public var problem: String
  /// Seed of the answer's random numbers.
  public var seed: UInt64 = 0
  /// Hash of what the problem says, the same for every model.
  public var promptHash = ""
  /// Tokens of the prompt.
  public var promptTokens = 0
  /// Tokens that were generated.
  public var tokens = 0
  /// What was generated; nothing where choices were weighed.
  public var output = ""
  /// Whether the prompt had begun the reasoning already.
  public var isInsideThinking = false
  /// log p of each choice, in nats.
  public var logLikelihoods: [Double] = []
  /// Bytes of each choice.
  public var choiceBytes: [Int] = []
  /// What the answer is compared with.
  public var references: [String] = []
  /// What was answered, `nil` for no answer.
  public var answer: String?
  /// How much of it is right, 0 to 1.
  public var share = 0.0
  /// Why the answer ended.
  public var reason = FinishReason.stop
  /// The account of the cache after prompt and answer.
  public var ledger = Ledger()
  /// From the prompt's beginning to the answer's end, beside whatever else was in the batch.
  public var seconds = 0.0
  /// Of them, those in which the machine read the prompt.
  public var promptSeconds = 0.0
  /// The machine's time for the answer alone: of a step for several sequences, an even share.
  public var decodeSeconds = 0.0
  /// Bytes that the prompt holds, where several answers go on from it; 0 where each reads it for itself.
  public var sharedBytes = 0
  /// Bytes that the answer holds beside those.
  public var ownBytes = 0

  init(_ key: Key, problem: String) { (self.key, self.problem) = (key, problem) }

  /// Whether all of it is right.
  public var isRight: Bool { share == 1 }

  /// How much would be right by the likelihood of the whole choices, not by that of a byte; `nil` where nothing was chosen.
  public var plainShare: Double? {
    guard !logLikelihoods.isEmpty else { return nil }
    return references.contains(AnswerText.letter(ChoiceScore.likeliest(logLikelihoods))) ? 1 : 0
  }

  /// Judges anew what the record says.
  /// - Throws: as `EvaluationTask.share`.
  public mutating func judge(by task: any EvaluationTask) throws {
    if logLikelihoods.isEmpty {
      answer = task.answer(in: (isInsideThinking ? "<think>" : "") + output)
      share = try answer.map { try task.share(right: $0, references: references) } ?? 0
    } else {
      let chosen = AnswerText.letter(ChoiceScore.likeliest(logLikelihoods, perByteOf: choiceBytes))
      (answer, share) = (chosen, references.contains(chosen) ? 1 : 0)
    }
  }
}

extension EvaluationRecord {
  /// The record as a line of a file has it.
  public var json: JSON {
    var object = JSONObject([
      "model": .string(key.model), "task": .string(key.task), "problem": .string(problem),
      "place": .integer(key.place), "sample": .integer(key.sample), "seed": .exact(seed),
      "prompt_hash": .string(promptHash), "prompt_tokens": .integer(promptTokens),
      "generated_tokens": .integer(tokens),
    ])
    if logLikelihoods.isEmpty {
      object["output"] = .string(output)
      object["inside_thinking"] = .bool(isInsideThinking)
    } else {
      object["log_likelihoods"] = .array(logLikelihoods.map(JSON.number))
      object["choice_bytes"] = .array(choiceBytes.map(JSON.integer))
    }
    object["expected"] = .array(references.map(JSON.string))
    object["extracted"] = answer.map(JSON.string) ?? .null
    object["right"] = .bool(isRight)
    object["score"] = .number(share)
    object["finish_reason"] = .string(reason.rawValue)
    object["tokens_seen"] = .integer(ledger.tokensSeen)
    object["live_tokens"] = .number(ledger.liveTokens)
    object["peak_tokens"] = .number(ledger.peakTokens)
    object["tokens_read"] = .number(ledger.tokensRead)
    object["cache_bytes_held"] = .integer(ledger.bytesHeld)
    object["cache_bytes_live"] = .integer(ledger.bytesLive)
    object["cache_bytes_dense"] = .integer(ledger.bytesDense)
    object["cache_bytes_shared"] = .integer(sharedBytes)
    object["cache_bytes_own"] = .integer(ownBytes)
    object["seconds"] = .number(seconds)
    object["prompt_seconds"] = .number(promptSeconds)
    object["decode_seconds"] = .number(decodeSeconds)
    return .object(object)
  }

  /// - Returns: `nil` for what is no record of this program.
  init?(_ json: JSON) {
    guard let model = json["model"]?.string, let task = json["task"]?.string, let place = json["place"]?.integer,
      let sample = json["sample"]?.integer, let problem = json["problem"]?.string,
      let expected = json["expected"]?.array, let reason = json["finish_reason"]?.string.flatMap(FinishReason.init)
    else { return nil }
    self.init(Key(model: model, task: task, place: place, sample: sample), problem: problem)
    func integer(_ key: String) -> Int { json[key]?.integer ?? 0 }
    func number(_ key: String) -> Double { json[key]?.double ?? 0 }
    seed = json["seed"]?.exact ?? 0
    promptHash = json["prompt_hash"]?.string ?? ""
    (promptTokens, tokens) = (integer("prompt_tokens"), integer("generated_tokens"))
    output = json["output"]?.string ?? ""
    isInsideThinking = json["inside_thinking"]?.bool ?? false
    logLikelihoods = json["log_likelihoods"]?.array?.compactMap(\.double) ?? []
    choiceBytes = json["choice_bytes"]?.array?.compactMap(\.integer) ?? []
    guard choiceBytes.count == logLikelihoods.count else { return nil }
    references = expected.compactMap(\.string)
    answer = json["extracted"]?.string
    share = number("score")
    self.reason = reason
    ledger.tokensSeen = integer("tokens_seen")
    ledger.liveTokens = number("live_tokens")
    ledger.peakTokens = number("peak_tokens")
    ledger.tokensRead = number("tokens_read")
    ledger.bytesHeld = integer("cache_bytes_held")
    ledger.bytesLive = integer("cache_bytes_live")
    ledger.bytesDense = integer("cache_bytes_dense")
    seconds = number("seconds")
    promptSeconds = number("prompt_seconds")
    decodeSeconds = json["decode_seconds"]?.double ?? seconds
    sharedBytes = integer("cache_bytes_shared")
    ownBytes = json["cache_bytes_own"]?.integer ?? ledger.bytesHeld
  }
}

extension JSON {
  /// A number of 64 bits, exact, also beyond the integers that JSON's readers agree upon.
  package static func exact(_ number: UInt64) -> JSON {
    number <= 1 << 53 ? .integer(Int(number)) : .string(String(number))
  }

  /// What `exact` has written.
  package var exact: UInt64? { integer.flatMap { UInt64(exactly: $0) } ?? string.flatMap { UInt64($0) } }
}
