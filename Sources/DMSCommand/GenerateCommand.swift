// `dms generate`: a model's own answers, as data that it learns to forget on.

import ArgumentParser
import DMSEvaluation
import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText
import Glibc

struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate", abstract: "Write a model's own answers to many prompts, as data for dms retrofit.",
    discussion: """
      Prompts are JSON lines: {"prompt": …} or {"question": …, "choices": […]} for a question, {"messages": […]} for a conversation \
      that awaits an answer, {"text": …} for a text to go on from. The output has a line for each answer, in the order of the \
      prompts, which data.N.jsonl of a recipe takes as it is. The answers depend on the seed, not on --batch or on interruptions. \
      A prompt that occurs again, and an answer that a prompt got already, is left out.
      """)

  @Argument(help: "A Hugging Face model folder, or a GGUF file.")
  var model: String

  @Option(help: "A file of prompts; give the option once for each.")
  var prompts: [String] = []

  @Option(help: "Made-up questions about long texts, too: retrieval, tracking or sums; once for each.")
  var task: [SyntheticTask] = []

  @Option(parsing: .unconditional, help: "Made-up questions of each task.")
  var problems = 100

  @Option(parsing: .unconditional, help: "Roughly the tokens of a made-up question, least and most.")
  var size = TokenRange(900...3900)

  @Option(help: "The file to write, JSON lines.")
  var output: String

  @Option(parsing: .unconditional, help: "Answers to each prompt, with random numbers of their own.")
  var samples = 1

  @Option(parsing: .unconditional, help: "The most prompts; 0: all.")
  var limit = 0

  @Option(parsing: .unconditional, help: "Answers that are generated together.")
  var batch = 16

  @Flag(help: "Go on with the file of an interrupted generation.")
  var resume = false

  @OptionGroup var engineOptions: EngineOptions
  @OptionGroup var sampling: SamplingArguments

  mutating func validate() throws {
    guard !prompts.isEmpty || !task.isEmpty else { throw ValidationError("give --prompts or --task") }
    guard (1...1_000_000).contains(problems) else { throw ValidationError("--problems must be 1 to 1000000") }
    guard (1...100_000).contains(samples) else { throw ValidationError("--samples must be 1 to 100000") }
    guard (1...1024).contains(batch) else { throw ValidationError("--batch must be 1 to 1024") }
    guard limit >= 0 else { throw ValidationError("--limit must not be negative") }
  }

  /// The most tokens of an answer where neither options nor the model say.
  private static let usualTokens = 512
  private static let usualTemperature = 0.7

  mutating func run() throws {
    let lines = try allPrompts()
    let source = try engineOptions.source(model)
    let machine = try engineOptions.machine()
    let model = try LanguageModel(source, on: machine, engineOptions.loading())
    var answers = sampling.options(model)
    answers.maxTokens = answers.maxTokens ?? Self.usualTokens
    if sampling.temperature == nil, answers.sampling.temperature == 0 {
      answers.sampling.temperature = Self.usualTemperature
    }
    let jobs = GenerationJobs(lines, samples: samples, answers, model)
    let prepared = try jobs.prompts.map { try jobs.prompt($0.line, model) }
    var options = try engineOptions.options(model.decoder)
    options.batch = batch
    options.context =
      options.context
      ?? min(
        model.decoder.configuration.context, (prepared.map(\.ids.count).max() ?? 0) + (answers.maxTokens ?? 0))
    let engine = try Engine(model.decoder, on: machine, options)
    for (prompt, job) in zip(prepared, jobs.prompts) {
      let count = prompt.ids.count
      guard (1..<engine.context).contains(count) else {
        throw InputError(
          "prompt \(job.place + 1) has \(count) tokens, where the context has room for \(engine.context)",
          remedy: count == 0 ? "leave it out" : "shorten it, or raise --context")
      }
    }
    let file = try AnswerFile(output, resumes: resume, settings: jobs.settings)
    defer { withExtendedLifetime(file) {} }
    try generate(jobs, prepared, model, engine, file)
  }

  private func allPrompts() throws -> [PromptLine] {
    var lines = try prompts.flatMap(PromptLine.read)
    for task in task {
      for index in 0..<problems {
        var random = RandomStream(seed: RandomNumbers.seed(sampling.seed ^ 0x6E6E, index))
        let problem = task.problem(
          seed: sampling.seed, index: index, size: Int.random(in: size.range, using: &random))
        lines.append(.messages([ChatMessage(role: "user", content: problem.prompt)]))
      }
    }
    return limit > 0 ? Array(lines.prefix(limit)) : lines
  }

  private func generate(
    _ jobs: GenerationJobs, _ prepared: [LanguageModel.Prompt], _ model: LanguageModel, _ engine: Engine,
    _ file: AnswerFile
  ) throws {
    Interrupt.watch()
    let all = jobs.prompts.count * samples
    let bar = progressBar("answers")
    let clock = ContinuousClock()
    let begin = clock.now
    var (next, tokens, written, repeated) = (file.done, 0, 0, 0)
    // Complete, and waiting for the answers before them.
    var waiting: [Int: Answer] = [:]
    var due = file.done
    do {
      try model.answerAll(
        {
          guard next < all else { return nil }
          defer { next += 1 }
          return jobs.batchPrompt(prepared[next / samples], job: next)
        }, on: engine, isCancelled: { Interrupt.isRequested }
      ) { number, answer in
        tokens += answer.generation.ids.count
        waiting[file.done + number] = answer
        while let answer = waiting.removeValue(forKey: due) {
          if try file.append(jobs.record(due, answer), prompt: jobs.prompts[due / samples].place) {
            written += 1
          } else {
            repeated += 1
          }
          due += 1
        }
        bar?(Double(due) / Double(all))
      }
    } catch is CancellationError {
      printError("dms: interrupted after \(due) of \(all) answers; go on with --resume")
      throw Interrupt.exitCode
    }
    let seconds = (clock.now - begin) / .seconds(1)
    printError(
      "\(output): \(written) answers, \(tokens) tokens, \(decimals(Double(tokens) / max(1e-9, seconds), 1)) tokens/s; left out: "
        + "\(jobs.repeatedPrompts) prompts that occur again, \(repeated) answers that a prompt got already")
  }
}

/// A range of tokens as it is written: 900-3900, or 2048 for that alone.
struct TokenRange: ExpressibleByArgument {
  let range: ClosedRange<Int>

  init(_ range: ClosedRange<Int>) { self.range = range }

  init?(argument: String) {
    let bounds = argument.split(separator: "-").map { Int($0) }
    guard (1...2).contains(bounds.count), let least = bounds[0], let most = bounds[bounds.count - 1], least >= 20,
      least <= most, most <= 1 << 20
    else { return nil }
    range = least...most
  }

  var defaultValueDescription: String { "\(range.lowerBound)-\(range.upperBound)" }
}
