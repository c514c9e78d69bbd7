// `dms solve`: as many chains as a budget has room for, and what most of them say.

import ArgumentParser
import DMSCache
import DMSCheckpoint
import DMSEvaluation
import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText
import Glibc

struct SolveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "solve", abstract: "Solve a problem within a budget: many chains, one vote.",
    discussion: """
      From the ratio at which the model forgets follows how many chains of which length the budget has room for: the longest \
      that fit, then as many as fit. Chains share the pages of the problem, and decode together. What most of them answer is \
      the answer: what stands in the last \\boxed{} after the reasoning, else all of it. Answers that mean the same in \
      mathematics are one; of equally frequent ones the first chain's counts. The answer goes to stdout, all else to stderr.
      """)

  @Argument(help: "A Hugging Face model folder, or a GGUF file.")
  var model: String

  @Argument(help: "The problem. Without it, stdin is read if it is a pipe.")
  var problem: String?

  @Option(help: "Read the problem from a file.")
  var problemFile: String?

  @Option(help: "What all chains together may hold of keys and values at any time, as 64MB or 1GiB.")
  var budgetMemory: ByteSize

  @Option(
    parsing: .unconditional,
    help: "What all chains together may read, in tokens of a layer and KV head: the paper's KV-cache token reads.")
  var budgetReads: Int?

  @Option(parsing: .unconditional, help: "The time after which chains that are under way are given up.")
  var seconds: Double?

  @Option(parsing: .unconditional, help: "The most chains.")
  var chains = 32

  @Flag(help: "Ask for the answer in \\boxed{}, as models that reason about mathematics are asked.")
  var boxed = false

  @Flag(help: "Print the plan to stderr before anything is run.")
  var explain = false

  @Flag(help: "Print one JSON object.")
  var json = false

  @OptionGroup var engineOptions: EngineOptions
  @OptionGroup var sampling: SamplingArguments

  mutating func validate() throws {
    guard problem == nil || problemFile == nil else {
      throw ValidationError("give the problem once: as an argument or with --problem-file")
    }
    if problem == nil, problemFile == nil, isatty(STDIN_FILENO) != 0 {
      throw ValidationError("there is no problem: give one as an argument, with --problem-file, or through a pipe")
    }
    guard budgetReads.map({ $0 > 0 }) ?? true else { throw ValidationError("--budget-reads must be positive") }
    guard seconds.map({ $0 > 0 && $0 < 1e9 }) ?? true else { throw ValidationError("--seconds must be positive") }
    guard (1...1024).contains(chains) else { throw ValidationError("--chains must be 1 to 1024") }
    guard chains == 1 || sampling.temperature != 0 else {
      throw ValidationError("chains need a temperature: the most likely answers are all the same. Or use --chains 1")
    }
  }

  mutating func run() throws {
    let text = try problem ?? withoutLineEnd(problemFile.map(readText) ?? readStandardInput())
    guard text.contains(where: { !$0.isWhitespace }) else {
      throw InputError("the problem is empty", remedy: "write something")
    }
    let machine = try engineOptions.machine()
    let model = try LanguageModel(engineOptions.source(model), on: machine, engineOptions.loading())
    var options = sampling.options(model)
    if chains > 1, options.sampling.temperature == 0 {
      // What the makers of models that reason recommend.
      (options.sampling.temperature, options.sampling.topP) = (0.6, sampling.topP ?? 0.95)
    }
    let problem = OpenProblem(text, asksForBox: boxed)
    let plan = try plan(problem, model, options, machine)
    if explain { printError(Self.explanation(plan, ratioIsKnown: ratio(model) != nil)) }
    var engineOptions = try engineOptions.options(model.decoder)
    (engineOptions.batch, engineOptions.context) = (plan.chains, plan.prompt + plan.tokens)
    engineOptions.cacheLimit = plan.budget.bytes
    let engine = try Engine(model.decoder, on: machine, engineOptions)
    Interrupt.watch()
    let end = seconds.map { ContinuousClock.now + .seconds($0) }
    let work = Provenance.work(machine)
    let solution = try Solution(
      problem, plan, options, model, on: engine,
      isCancelled: { Interrupt.isRequested || end.map { ContinuousClock.now >= $0 } ?? false }, onStep: Self.show)
    ProgressLine.clear()
    try say(solution, plan, Provenance.model(self.model, engine), options, work)
    if Interrupt.isRequested { throw Interrupt.exitCode }
    guard solution.vote.winner != nil else {
      throw InputError(
        "no chain came to an answer (\(solution.chains.count) ended, \(solution.unfinished) were given up)",
        remedy: "raise the budget or the time")
    }
  }

  // MARK: Plan

  /// At which the cache forgets, as it was asked for or as the model was taught; `nil` where nobody knows.
  private func ratio(_ model: LanguageModel) -> Double? {
    if case .ratio(let ratio) = engineOptions.budget { return ratio }
    return model.decoder.configuration.dms?.compressionRatio
  }

  private func plan(
    _ problem: OpenProblem, _ model: LanguageModel, _ options: AnswerOptions, _ machine: Machine
  ) throws -> ChainPlan {
    let shape = model.decoder.configuration
    // The policy and the type of the cache are the engine's to say.
    var trial = try engineOptions.options(model.decoder)
    trial.context = min(trial.context ?? shape.context, 512)
    if case .bytes = trial.budget { trial.context = engineOptions.context }
    let engine = try Engine(model.decoder, on: machine, trial)
    let forgets = shape.dms != nil && !engine.policy.keepsAll
    let growth = ChainPlan.Growth(
      heads: shape.layers * shape.kvHeads, pageBytes: engine.pageBytes,
      window: forgets && ratio(model) != nil ? shape.dms?.window : nil, ratio: forgets ? ratio(model) ?? 1 : 1)
    let prompt = try problem.tokens(for: model)
    let context = engineOptions.context ?? shape.context
    guard prompt < context else {
      throw InputError(
        "the problem has \(prompt) tokens, and the context \(context)", remedy: "shorten it or raise --context")
    }
    let room = context - prompt
    let tokens = options.maxTokens ?? options.maxLength.map { max(1, $0 - prompt) } ?? room
    let budget = ChainPlan.Budget(
      bytes: budgetMemory.bytes, reads: budgetReads.map(Double.init), chains: chains, tokens: min(tokens, room))
    return try ChainPlan(prompt: prompt, growth: growth, budget: budget)
  }

  private static func explanation(_ plan: ChainPlan, ratioIsKnown: Bool) -> String {
    let growth = plan.growth
    let forgets =
      growth.window.map { "the last \($0 + 1) tokens and one in \(decimals(growth.ratio, 1)) of those before" }
      ?? (ratioIsKnown ? "every token" : "every token, for all that is known")
    let limits = "\(byteCount(plan.budget.bytes))" + (plan.budget.reads.map { " and \(decimals($0, 0)) reads" } ?? "")
    return """
      plan \(plan.label): \(plan.chains) chains of \(plan.tokens) tokens after a problem of \(plan.prompt)
        the cache keeps \(forgets); \(growth.heads) heads, pages of \(byteCount(growth.pageBytes))
        one chain at its end: \(decimals(growth.live(after: plan.prompt + plan.tokens), 0)) live tokens, \
      \(byteCount(growth.bytes(prompt: plan.prompt, tokens: plan.tokens, chains: 1)))
        all chains: \(byteCount(plan.bytes)) and \(decimals(plan.reads, 0)) reads, of \(limits)
      """
  }

  // MARK: What is shown

  private static func show(_ step: Solution.Progress) {
    guard let width = Terminal.width(of: STDERR_FILENO) else { return }
    let line =
      "chains \(step.running) running, \(step.ended) ended · \(step.tokens) tokens · cache \(byteCount(step.bytes))"
    ProgressLine.show(ProgressText.cut(line, to: width - 1))
  }

  private func say(
    _ solution: Solution, _ plan: ChainPlan, _ model: JSONObject, _ options: AnswerOptions, _ work: JSON
  ) throws {
    if json { return printAnswer(Self.json(solution, plan, model, options, work).line) }
    let vote = solution.vote
    if let winner = vote.winner { printAnswer(winner.answer) }
    for group in vote.groups.sorted(by: { $0.chains.count > $1.chains.count }) {
      printError("\(group.chains.count) of \(plan.chains) chains: \(oneLine(group.answer, most: 200))")
    }
    let silent = vote.unanswered > 0 ? ", \(vote.unanswered) without an answer" : ""
    let given = solution.unfinished > 0 ? ", \(solution.unfinished) given up" : ""
    printError(
      "\(plan.label) · agreement \(decimals(100 * vote.agreement, 0)) %\(silent)\(given) · reads "
        + "\(decimals(solution.reads, 0)) · peak \(decimals(solution.peakTokens, 0)) tokens, "
        + "\(byteCount(solution.peakBytes)) of \(byteCount(plan.budget.bytes)) · \(decimals(solution.seconds, 1)) s")
  }

  private static func json(
    _ solution: Solution, _ plan: ChainPlan, _ model: JSONObject, _ options: AnswerOptions, _ work: JSON
  ) -> JSON {
    let vote = solution.vote
    return .members([
      "answer": vote.winner.map { .string($0.answer) } ?? .null, "agreement": .rounded(vote.agreement, 6),
      "vote": .array(
        vote.groups.map { group in
          .members([
            "answer": .string(group.answer),
            "chains": .array(
              group.chains.map { number in
                .integer(solution.chains[number].number)
              }),
          ])
        }),
      "unanswered": .integer(vote.unanswered), "unfinished": .integer(solution.unfinished),
      "plan": .members([
        "point": .string(plan.label), "chains": .integer(plan.chains), "max_tokens": .integer(plan.tokens),
        "compression_ratio": .number(plan.growth.ratio), "prompt_tokens": .integer(plan.prompt),
        "budget_bytes": .integer(plan.budget.bytes), "budget_reads": plan.budget.reads.map(JSON.number) ?? .null,
        "cache_bytes": .integer(plan.bytes), "tokens_read": .rounded(plan.reads, 3),
      ]),
      "tokens_read": .rounded(solution.reads, 3), "peak_tokens": .rounded(solution.peakTokens, 3),
      "peak_cache_bytes": .integer(solution.peakBytes), "seconds": .rounded(solution.seconds, 3),
      "chains": .array(
        solution.chains.map { chain in
          .members([
            "chain": .integer(chain.number), "answer": chain.answer.map(JSON.string) ?? .null,
            "finish_reason": .string(chain.reason.rawValue), "generated_tokens": .integer(chain.tokens),
            "tokens_read": .rounded(chain.reads, 3), "output": .string(chain.output),
          ])
        }),
      "temperature": .number(options.sampling.temperature), "top_k": .integer(options.sampling.topK),
      "top_p": .number(options.sampling.topP), "min_p": .number(options.sampling.minP),
      "seed": .exact(options.sampling.seed), "model": .object(model), "produced_by": work,
    ])
  }
}
