// `dms eval`: how many problems of tasks models solve, and with what memory. Tasks, records and reports are DMSEvaluation's.

import ArgumentParser
import DMSCheckpoint
import DMSEvaluation
import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText

struct EvalCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval", abstract: "Measure how many problems of tasks models solve, and with what memory.",
    discussion: """
      Tasks are given with --task, once for each. Made up from a seed, for the models that come with this program: retrieval, \
      tracking, sums, recital. Hidden in noise or in the text of a file (RULER's): needle, variable-tracking, also as \
      needle=FILE. Read from their published files: aime24=FILE, math500=FILE, gsm8k=FILE, mmlu=FILE, hellaswag=FILE and \
      livecodebench=FILE (JSON lines; mmlu also CSV), gpqa=FILE (CSV). Programs that a model writes are run in bubblewrap only.

      Of several models each is given the same problems, and compared with the first pair by pair. One model with --adapter, once \
      for each, is run alone and then with each of them. The answer is a report in Markdown, or JSON.

      With --output every answer is kept as soon as it is there, a JSON object a line; an interrupted run goes on with --resume. \
      Parts of a run, made on any machines with --shard 1/4 to 4/4, are put together with --merge. --rescore judges a run's \
      answers anew, without a model.

      --sweep W=1,4,16 L=512,2048 CR=2,4 policy=dense,dms,tova runs every model with every policy, L (tokens of an answer) and \
      CR (a budget of the cache, as --budget 4x; dense has none), with as many answers to a problem as the largest W; --output becomes a folder of runs. What \
      cannot fit is left out and listed. The answer is the report that dms report makes of it.
      """,
    aliases: ["evaluate"])

  @Argument(
    help: """
      Hugging Face model folders or GGUF files; the first is what the others are compared with. With --merge or --rescore: \
      folders that --output has made.
      """)
  var models: [String]

  @Option(help: "NAME or NAME=FILE, once for each. Default: retrieval, tracking and sums.")
  var task: [String] = []

  @Option(help: "NAME=FILE: the solved examples of gsm8k or mmlu. Default: the first five other problems.")
  var examples: [String] = []

  @Option(parsing: .unconditional, help: "Problems of each task that is made up.")
  var problems = 100

  @Option(parsing: .unconditional, help: "The most problems of each task. Default: all of its file.")
  var limit: Int?

  @Option(parsing: .unconditional, help: "Seed of problems and answers. The recipes of Models train with 1 to 3.")
  var seed: UInt64 = 1000

  @Option(
    parsing: .unconditional,
    help: """
      Tokens of a made-up prompt, least and most, or one number: roughly, and for needle and variable-tracking at most, with \
      the answer.
      """)
  var size = TokenRange(100...1900)

  @Option(parsing: .unconditional, help: "Problems that are answered together.")
  var batch = 8

  @OptionGroup var answers: AnswerArguments

  @Option(
    parsing: .upToNextOption,
    help: "W=1,4,16, L=512,2048, CR=2,4, policy=dense,dms, or some of them: all points of the product.")
  var sweep: [String] = []

  @Option(help: "A folder for the records: run.json and records.jsonl.")
  var output: String?

  @Flag(help: "Go on with the run in --output.")
  var resume = false

  @Option(help: "One part of all answers, as 2/4, for runs that are merged afterwards.")
  var shard = Evaluation.Shard()

  @Flag(help: "Put the parts of a run together into --output.")
  var merge = false

  @Flag(help: "Judge a run's records anew, without a model.")
  var rescore = false

  @Flag(help: "Print one JSON object.")
  var json = false

  @OptionGroup var engineOptions: EngineOptions

  mutating func validate() throws {
    guard !(merge && rescore) else { throw ValidationError("give either --merge or --rescore") }
    if merge || rescore {
      try refuseOthers(merge ? "--merge" : "--rescore", than: merge ? ["--output", "--json"] : ["--task", "--json"])
      guard merge || models.count == 1 else { throw ValidationError("--rescore needs one folder") }
      guard !merge || output != nil else { throw ValidationError("--merge needs --output") }
    }
    guard (1...1_000_000).contains(problems) else { throw ValidationError("--problems must be 1 to 1000000") }
    guard limit.map({ $0 > 0 }) ?? true else { throw ValidationError("--limit must be positive") }
    guard (1...1024).contains(batch) else { throw ValidationError("--batch must be 1 to 1024") }
    guard !resume || output != nil else { throw ValidationError("--resume needs --output") }
    if !sweep.isEmpty { try validateSweep() }
    guard models.count == 1 || engineOptions.adapters.isEmpty else {
      throw ValidationError("--adapter needs one model, which is its base")
    }
    do { _ = try tasks() } catch let error as InputError { throw ValidationError("--task: \(error)") }
  }

  private func validateSweep() throws {
    let axes = try SweepAxes(sweep)
    guard output != nil else { throw ValidationError("--sweep needs --output") }
    let twice = [
      ("--samples and W=", answers.samples != 1),
      ("--max-tokens and L=", answers.maxTokens != nil && axes.tokens != nil),
      ("--budget and CR=", engineOptions.budget != nil && axes.ratios != nil),
      (
        "--policy, --no-eviction and policy=",
        axes.policies != nil && (engineOptions.noEviction || !engineOptions.policies.isEmpty)
      ),
    ]
    if let pair = twice.first(where: \.1)?.0 { throw ValidationError("give one of \(pair), not both") }
    guard axes.chains == [1] || answers.temperature > 0 else {
      throw ValidationError("--sweep W= needs --temperature: the most likely answers are all the same")
    }
  }

  /// Nothing is accepted and ignored.
  private func refuseOthers(_ mode: String, than taken: [String]) throws {
    let names = CommandLine.arguments.filter { $0.hasPrefix("-") }.map { String($0.prefix { $0 != "=" }) }
    guard let other = names.first(where: { $0 != mode && !taken.contains($0) }) else { return }
    throw ValidationError("\(mode) takes \(taken.joined(separator: " and ")) only, not \(other)")
  }

  private func tasks() throws -> [TaskName] {
    var tasks = try task.map { try TaskName($0) }
    if tasks.isEmpty, !rescore { tasks = try SyntheticTask.questions.map { try TaskName($0.rawValue) } }
    guard Set(tasks.map(\.name)).count == tasks.count else {
      throw InputError("a task is given twice", remedy: "give each once")
    }
    for text in examples {
      let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2, let place = tasks.firstIndex(where: { $0.name == parts[0] && $0.takesExamples }) else {
        throw InputError("no such examples", at: text, remedy: "give gsm8k=FILE or mmlu=FILE with its task")
      }
      tasks[place].examples = parts[1]
    }
    return tasks
  }

  mutating func run() throws {
    if merge { return try mergeParts() }
    if rescore { return try judgeAnew() }
    Interrupt.watch()
    let run = EvalRun(
      tasks: try tasks(), choice: choice, options: try answers.options(seed: seed, shard: shard), batch: batch,
      engineOptions: engineOptions)
    if !sweep.isEmpty {
      let folder = try EvalSweep(base: run, axes: SweepAxes(sweep)).run(
        on: subjects, output: output ?? "", resumes: resume)
      return try show(folder)
    }
    let report = try run.report(on: subjects, output: output, resumes: resume)
    printAnswer(json ? report.json.line : report.markdown)
  }

  private var choice: TaskChoice {
    var choice = TaskChoice()
    (choice.problems, choice.limit, choice.seed, choice.size) = (problems, limit, seed, size.range)
    return choice
  }

  /// Models by names that no two share.
  private var subjects: [EvalRun.Subject] {
    var subjects = models.map { EvalRun.Subject(name: $0, path: $0) }
    subjects += engineOptions.adapters.map { .init(name: "\(models[0]) with \($0)", path: models[0], adapter: $0) }
    for index in subjects.indices {
      let name = subjects[index].name
      let earlier = subjects[..<index].count {
        $0.path == subjects[index].path && $0.adapter == subjects[index].adapter
      }
      if earlier > 0 { subjects[index].name = "\(name) (\(earlier + 1))" }
    }
    return subjects
  }

  private func mergeParts() throws {
    if SweepFolder.isThere(models[0]) {
      let missing = try SweepFolder.merge(models, to: output ?? "")
      if missing > 0 { printError("dms: warning: \(missing) answers are in no part") }
      return try show(SweepFolder(reading: output ?? ""))
    }
    let (whole, missing) = try EvaluationFolder.merge(
      models.map { try EvaluationFolder(reading: $0) }, to: output ?? "")
    if missing > 0 { printError("dms: warning: \(missing) answers are in no part") }
    show(whole)
  }

  private func judgeAnew() throws {
    let given = try tasks()
    let sweep = SweepFolder.isThere(models[0]) ? try SweepFolder(reading: models[0]) : nil
    let part = sweep.flatMap { sweep in sweep.parts.first { $0.skipped == nil }.map(sweep.path) }
    let folder = try EvaluationFolder(reading: part ?? models[0])
    // Of a task only what judges is needed; where that lies in a file, the run says which.
    var judges: [String: any EvaluationTask] = [:]
    for entry in folder.settings["tasks"]?.array ?? [] {
      guard let name = entry["task"]?.string else { continue }
      let file = entry["file"]?.string.map { "=\($0)" } ?? ""
      judges[name] = try (given.first { $0.name == name } ?? TaskName(name + file)).judge()
    }
    func judge(_ name: String) throws -> any EvaluationTask {
      guard let task = judges[name] else {
        throw InputError("a record of the task \(quoted(name)), which is not the run's", at: models[0])
      }
      return task
    }
    if let sweep {
      try SweepFolder.rescore(sweep.path, by: judge)
      return try show(sweep)
    }
    show(try EvaluationFolder.rescore(models[0], judge))
  }

  /// The report of a sweep; of a shard, whose problems have some of their answers only, what there is.
  private func show(_ sweep: SweepFolder) throws {
    guard sweep.shard == Evaluation.Shard() else {
      printError("dms: shard \(sweep.shard) is complete; put all together with dms eval --merge")
      let lines = try sweep.parts.map { part -> (folder: String, records: Int) in
        (part.folder, part.skipped == nil ? try EvaluationFolder(reading: sweep.path(of: part)).records.count : 0)
      }
      let entries = lines.map { JSON.members(["folder": .string($0.folder), "records": .integer($0.records)]) }
      return printAnswer(
        json
          ? JSON.members(["shard": .string("\(sweep.shard)"), "parts": .array(entries)]).line
          : lines.map { "\($0.folder): \($0.records) answers" }.joined(separator: "\n"))
    }
    let report = try ScalingReport([ScalingRun(reading: sweep.path)])
    printAnswer(json ? report.json.line : report.markdown)
  }

  private func show(_ folder: EvaluationFolder) {
    let report = TaskReport(folder.records, settings: folder.settings, work: folder.work)
    printAnswer(json ? report.json.line : report.markdown)
  }
}

/// How answers to problems are generated: the most likely tokens, unless options say otherwise.
struct AnswerArguments: ParsableArguments {
  @Option(parsing: .unconditional, help: "Answers to each problem, with random numbers of their own.")
  var samples = 1

  @Option(parsing: .unconditional, help: "0 takes the most likely token, whatever the model's makers wish.")
  var temperature = 0.0

  @Option(parsing: .unconditional, help: "Choose among the k most likely tokens; 0: among all.")
  var topK = 0

  @Option(parsing: .unconditional, help: "Choose among the most likely tokens that together have this probability.")
  var topP = 1.0

  @Option(parsing: .unconditional, help: "Choose among tokens at least this fraction as likely as the most likely one.")
  var minP = 0.0

  @Option(parsing: .unconditional, help: "The most tokens of an answer, where the task gives more.")
  var maxTokens: Int?

  mutating func validate() throws {
    guard (1...100_000).contains(samples) else { throw ValidationError("--samples must be 1 to 100000") }
    guard maxTokens.map({ $0 > 0 }) ?? true else { throw ValidationError("--max-tokens must be positive") }
    guard samples == 1 || temperature > 0 else {
      throw ValidationError("--samples needs --temperature: the most likely answers are all the same")
    }
    guard temperature > 0 || (topK == 0 && topP == 1 && minP == 0) else {
      throw ValidationError("--top-k, --top-p and --min-p need --temperature")
    }
    do { try sampling.validate() } catch { throw ValidationError("--\(error)") }
  }

  private var sampling: SamplingOptions {
    var options = SamplingOptions()
    (options.temperature, options.topK, options.topP, options.minP) = (temperature, topK, topP, minP)
    return options
  }

  func options(seed: UInt64, shard: Evaluation.Shard) throws -> Evaluation.Options {
    var options = Evaluation.Options()
    (options.sampling, options.samples, options.maxTokens) = (sampling, samples, maxTokens)
    (options.seed, options.shard) = (seed, shard)
    return options
  }
}

extension Evaluation.Shard: ExpressibleByArgument {
  /// A part as it is written: 2/4.
  public init?(argument: String) { self.init(argument) }
}
