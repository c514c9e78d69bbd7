// A sweep of `dms eval`: every model with every policy, length and ratio, each a run of its own, with as many chains as the widest point
// asks for: chains of a problem are the same whatever their number, so narrower points are parts of the widest.

import ArgumentParser
import DMSCache
import DMSCheckpoint
import DMSEvaluation
import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText

/// What a sweep goes through.
struct SweepAxes {
  /// W.
  let chains: [Int]
  /// L; `nil`: what the tasks give.
  let tokens: [Int]?
  /// CR, as budgets of the cache; `nil`: what the models decide.
  let ratios: [Double]?
  /// What decides which tokens stay; `nil`: what the models were taught.
  let policies: [PolicyName]?

  /// Reads W=1,4 L=512 CR=2,4 policy=dms,tova.
  init(_ texts: [String]) throws {
    var values: [String: String] = [:]
    for text in texts {
      let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard parts.count == 2, ["W", "L", "CR", "policy"].contains(parts[0]), values[parts[0]] == nil else {
        throw ValidationError(
          "--sweep takes W=1,4,16, L=512,2048, CR=2,4 and policy=dms,tova, each once, not \(quoted(text))")
      }
      values[parts[0]] = parts[1]
    }
    func numbers(_ name: String) throws -> [Int]? {
      guard let text = values[name] else { return nil }
      guard let list = NumberList(argument: text) else {
        throw ValidationError("--sweep \(name)= needs positive numbers with commas between them, none twice")
      }
      return list.numbers
    }
    chains = try numbers("W") ?? [1]
    tokens = try numbers("L")
    guard chains.allSatisfy({ $0 <= 100_000 }) else { throw ValidationError("--sweep W= must be 100000 at most") }
    ratios = try values["CR"].map { text in
      let read = text.split(separator: ",", omittingEmptySubsequences: false).map { Double($0) }
      let ratios = read.compactMap { $0 }.filter { $0 >= 1 && $0.isFinite }
      guard ratios.count == read.count, Set(ratios).count == ratios.count else {
        throw ValidationError("--sweep CR= needs ratios of 1 or more with commas between them, none twice")
      }
      return ratios.sorted()
    }
    policies = try values["policy"].map { text in
      guard let names = PolicyNames(argument: text)?.names, Set(names).count == names.count else {
        throw ValidationError(
          "--sweep policy= needs names with commas between them, none twice: "
            + PolicyNames.allValueStrings.joined(separator: ", "))
      }
      return names
    }
  }

  /// A policy, a length and a ratio.
  struct Point {
    let policy: PolicyName?
    let tokens: Int?
    let ratio: Double?

    func name(_ model: Int) -> String {
      "m\(model + 1)" + (policy.map { "-\($0.rawValue)" } ?? "") + (ratio.map { "-cr\(Self.short($0))" } ?? "")
        + (tokens.map { "-l\($0)" } ?? "")
    }

    static func short(_ ratio: Double) -> String { ratio == ratio.rounded() ? decimals(ratio, 0) : "\(ratio)" }
  }

  /// All lengths at all ratios, by policy. What keeps everything has one ratio.
  var points: [Point] {
    (policies.map { $0.map(Optional.some) } ?? [nil]).flatMap { policy in
      (policy == .dense ? [nil] : ratios.map { $0.map(Optional.some) } ?? [nil]).flatMap { ratio in
        (tokens.map { $0.map(Optional.some) } ?? [nil]).map { Point(policy: policy, tokens: $0, ratio: ratio) }
      }
    }
  }
}

struct EvalSweep {
  /// Options that are no axis.
  let base: EvalRun
  let axes: SweepAxes

  /// A part with what it needs to be run.
  private struct Prepared {
    let model: Int
    let run: EvalRun
    let evaluation: Evaluation
    var settings = JSONObject()
    var part: SweepPart
  }

  /// Runs all that can be.
  func run(on subjects: [EvalRun.Subject], output: String, resumes: Bool) throws -> SweepFolder {
    for subject in subjects { _ = try ModelSource(path: subject.path, adapter: subject.adapter).tokenizer() }
    let machine = try base.engineOptions.machine()
    var prepared: [Prepared] = []
    var asked: Evaluation?
    for (number, subject) in subjects.enumerated() {
      let model = try base.load(subject, machine)
      // All models are given the problems that the first one's tokens were counted for.
      let evaluation = try asked ?? base.evaluation(TaskReader(model))
      asked = evaluation
      try requireVotes(evaluation)
      for point in axes.points {
        prepared.append(try prepare(point, number, subject, model, evaluation, machine))
      }
    }
    let folder = try SweepFolder.writing(
      output, settings(subjects), shard: base.options.shard, parts: prepared.map(\.part), resumes: resumes)
    for part in prepared.map(\.part) {
      if let reason = part.skipped { printError("dms: warning: \(part.folder) is left out: \(reason)") }
    }
    for (number, subject) in subjects.enumerated() {
      let wanted = prepared.filter { $0.model == number && $0.part.skipped == nil }
      guard !wanted.isEmpty else { continue }
      let model = try base.load(subject, machine)
      for part in wanted { try run(part, subject, model, machine, in: folder) }
    }
    return folder
  }

  /// Choices are weighed once: chains would have nothing to vote about.
  private func requireVotes(_ evaluation: Evaluation) throws {
    guard let most = axes.chains.last, most > 1, let part = evaluation.parts.first(where: \.hasChoices) else { return }
    throw InputError(
      "the problems of \(part.task.name) are choices that are weighed once, not answered \(most) times", at: "--sweep",
      remedy: "leave the task out, or sweep W=1")
  }

  private func settings(_ subjects: [EvalRun.Subject]) -> JSONObject {
    JSONObject([
      "models": .array(subjects.map { .string($0.name) }), "chains": .array(axes.chains.map(JSON.integer)),
      "max_tokens": axes.tokens.map { .array($0.map(JSON.integer)) } ?? .null,
      "kv_budget": axes.ratios.map { .array($0.map { .string("\(SweepAxes.Point.short($0))x") }) } ?? .null,
      "policy": axes.policies.map { .array($0.map { .string($0.rawValue) }) } ?? .null,
    ])
  }

  /// What cannot work is found before anything long begins.
  private func prepare(
    _ point: SweepAxes.Point, _ number: Int, _ subject: EvalRun.Subject, _ model: LanguageModel, _ asked: Evaluation,
    _ machine: Machine
  ) throws -> Prepared {
    var run = base
    run.chains = axes.chains
    run.options.samples = axes.chains.last ?? 1
    run.options.maxTokens = point.tokens
    if let policy = point.policy { run.engineOptions.policies = [PolicyNames(policy)] }
    if let ratio = point.ratio { run.engineOptions.budget = .ratio(ratio) }
    let coordinates = JSONObject([
      "model": .string(subject.name), "policy": point.policy.map { .string($0.rawValue) } ?? .null,
      "max_tokens": point.tokens.map(JSON.integer) ?? .null,
      "kv_budget": run.engineOptions.budget == nil ? .null : point.ratio.map { .number($0) } ?? .null,
    ])
    var prepared = Prepared(
      model: number, run: run, evaluation: asked.asked(with: run.options),
      part: SweepPart(folder: point.name(number), coordinates: coordinates))
    do {
      try requireFit(point, prepared.evaluation, model)
      let engine = try run.engine(model, prepared.evaluation, isBase: run.isBase(subject), machine)
      try requireMemory(engine, model)
      prepared.settings = try run.settings(prepared.evaluation, [run.modelEntry(subject, engine)])
    } catch let error as InputError {
      prepared.part.skipped = "\(error)"
    }
    return prepared
  }

  /// A length that no answer can have would be another length's point under a wrong name.
  private func requireFit(_ point: SweepAxes.Point, _ evaluation: Evaluation, _ model: LanguageModel) throws {
    guard let tokens = point.tokens else { return }
    guard tokens <= evaluation.longestAnswer else {
      throw InputError(
        "L=\(tokens) is more than the \(evaluation.longestAnswer) tokens that the tasks give an answer",
        remedy: "use a smaller L")
    }
    let context = base.engineOptions.context ?? model.decoder.configuration.context
    let needed = try evaluation.tokensNeeded(by: model, context: 1 << 30)
    guard needed <= context else {
      throw InputError(
        "the longest prompt and L=\(tokens) are \(needed) tokens, and the context \(context)",
        remedy: "use a smaller L, or raise --context")
    }
  }

  /// What a batch of the longest sequences takes that keep every token. Those that forget take less; how much is theirs to say.
  private func requireMemory(_ engine: Engine, _ model: LanguageModel) throws {
    guard engine.policy.keepsAll else { return }
    let shape = model.decoder.configuration
    let slot = KVLayout(headDim: shape.headDim, type: engine.kvType).slotBytes
    try MemoryLimits.require(
      engine.batch * engine.context * shape.layers * shape.kvHeads * slot,
      for: "the cache of \(engine.batch) sequences of \(engine.context) tokens", remedy: "use a smaller --batch or L")
  }

  private func run(
    _ part: Prepared, _ subject: EvalRun.Subject, _ model: LanguageModel, _ machine: Machine, in sweep: SweepFolder
  ) throws {
    let work = Provenance.work(
      machine, ["batch": .integer(base.batch), "started": .string(Provenance.now)])
    let folder = try EvaluationFolder(
      writing: sweep.path(of: part.part), part.settings, shard: base.options.shard, work: work, resumes: true)
    let wanted = part.evaluation.keys(subject.name)
    guard folder.records.count < wanted.count else { return }
    let engine = try part.run.engine(model, part.evaluation, isBase: part.run.isBase(subject), machine)
    var records = folder.records
    try part.run.run(part.evaluation, subject, model, engine, folder, &records, title: part.part.folder)
    try folder.finish(wanted)
  }
}
