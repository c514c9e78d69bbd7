// `dms evaluate`: how many made-up problems models solve, and with what memory.

import ArgumentParser
import DMSCheckpoint
import DMSEvaluation
import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText

struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate", abstract: "Measure how many problems a model solves, and with what memory.",
    discussion: """
      The problems are made up from a seed: values to retrieve, chains of names to track, sums of values, all among many \
      others. Answers are greedy, each into a fresh cache. Of several models, each is given the same problems, and compared \
      with the first pair by pair. The answer is a report in Markdown, or JSON.
      """)

  @Argument(help: "Hugging Face model folders or GGUF files; the first is what the others are compared with.")
  var models: [String]

  @Option(help: "retrieval, tracking, sums or recital; give the option once for each. Default: the first three.")
  var task: [SyntheticTask] = []

  @Option(parsing: .unconditional, help: "Problems of each task.")
  var problems = 100

  @Option(parsing: .unconditional, help: "The problems' seed. The recipes of Models train with 1 to 3.")
  var seed: UInt64 = 1000

  @Option(parsing: .unconditional, help: "Roughly the tokens of a prompt, least and most.")
  var size = "100-1900"

  @Option(help: "Write every problem and answer to a file, a JSON object a line.")
  var answers: String?

  @Flag(help: "Print one JSON object.")
  var json = false

  @OptionGroup var engineOptions: EngineOptions

  mutating func validate() throws {
    _ = try sizes()
    guard (1...1_000_000).contains(problems) else { throw ValidationError("--problems must be 1 to 1000000") }
  }

  private func sizes() throws -> ClosedRange<Int> {
    let bounds = size.split(separator: "-").map { Int($0) }
    guard bounds.count == 2, let least = bounds[0], let most = bounds[1], least >= 20, least <= most, most <= 1 << 20
    else { throw ValidationError("--size must be two numbers from 20 on, as 100-1900") }
    return least...most
  }

  private func checkCanAnswer(_ path: String) throws {
    let source = try ModelSource(path: path)
    _ = try source.tokenizer()
    guard try source.template() != nil else {
      throw InputError("this model has no chat template", at: path, remedy: "evaluate models that converse")
    }
  }

  mutating func run() throws {
    // What cannot work is said before anything long begins.
    if let answers { try checkCanBeWritten(answers) }
    for folder in models { try checkCanAnswer(folder) }
    Interrupt.watch()
    var choice = TaskEvaluation.Problems()
    if !task.isEmpty { choice.tasks = task }
    choice.problems = problems
    choice.seed = seed
    choice.size = try sizes()
    let all = choice.all
    let machine = try engineOptions.machine()
    var results: [(model: String, records: [TaskEvaluation.Record])] = []
    for folder in models {
      let model = try LanguageModel(path: folder, on: machine, engineOptions.loading())
      let evaluation = try TaskEvaluation(
        all, by: model, on: machine, options: engineOptions.options(model.decoder), progress: progressBar(folder),
        isCancelled: { Interrupt.isRequested })
      guard evaluation.records.count == all.count else {
        printError("dms: interrupted")
        throw Interrupt.exitCode
      }
      results.append((folder, evaluation.records))
    }
    let report = TaskReport(results, problems: choice)
    if let answers { try writeAtomically(Array(report.answers.utf8), to: answers) }
    printAnswer(json ? report.json : report.markdown)
  }
}
