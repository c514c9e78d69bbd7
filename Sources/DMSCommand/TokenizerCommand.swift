// `dms tokenizer train`: a vocabulary of one's own, for a small model.

import ArgumentParser
import DMSCheckpoint
import DMSEvaluation
import DMSPlatform
import DMSText
import Glibc

struct TokenizerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenizer", abstract: "Make tokenizers.", subcommands: [Train.self])

  struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "train", abstract: "Learn a byte-level BPE vocabulary from texts.",
      discussion: """
        Writes tokenizer.json and tokenizer_config.json into a folder, for dms pretrain. Text is split as Qwen's tokenizers \
        split it. The control tokens that a chat template writes are given by --special.
        """)

    @Argument(help: "The folder to write into; it is made if it is not there.")
    var output: String

    @Option(help: "Text files to learn from.")
    var text: [String] = []

    @Option(help: "Made-up problems to learn from: retrieval, tracking, sums, recital.")
    var task: [SyntheticTask] = []

    @Option(parsing: .unconditional, help: "Problems of each task.")
    var problems = 2000

    @Option(parsing: .unconditional, help: "Tokens in all.")
    var vocabulary = 512

    @Option(parsing: .unconditionalSingleValue, help: "A control token; give the option once for each.")
    var special: [String] = []

    @Option(
      parsing: .unconditionalSingleValue,
      help: "A token that is never split, shown as text; give the option once for each.")
    var added: [String] = []

    @Option(parsing: .unconditional, help: "The control token that ends a text.")
    var eos: String?

    @Option(help: "A file with the template of conversations.")
    var chatTemplate: String?

    mutating func validate() throws {
      guard !text.isEmpty || !task.isEmpty else { throw ValidationError("give --text or --task") }
      guard (1...1_000_000).contains(problems) else { throw ValidationError("--problems must be 1 to 1000000") }
    }

    mutating func run() throws {
      var options = TokenizerTraining.Options()
      options.vocabulary = vocabulary
      options.special = special
      options.added = added
      options.eosToken = eos
      options.chatTemplate = try chatTemplate.map(readText)
      if let template = options.chatTemplate { _ = try ChatTemplate(template) }
      var training = try TokenizerTraining(options)
      for path in text { training.read(try readText(path)) }
      for task in task {
        for index in 0..<problems {
          let problem = task.problem(seed: 0, index: index, size: 200)
          training.read("\(problem.prompt) \(problem.response)")
        }
      }
      // Before the work: a folder that cannot be written is no place for its result.
      let isNew = mkdir(output, 0o777) == 0
      guard isNew || errno == EEXIST else {
        throw InputError("cannot be made: \(systemMessage(errno))", at: output)
      }
      do {
        try finish(training)
      } catch {
        if isNew { rmdir(output) }
        throw error
      }
    }

    private func finish(_ training: TokenizerTraining) throws {
      let (vocabulary, settings) = ("\(output)/tokenizer.json", "\(output)/tokenizer_config.json")
      for path in [vocabulary, settings] { try checkCanBeWritten(path) }
      let (tokenizer, configuration) = try training.finish()
      try writeAtomically(Array(tokenizer.utf8), to: vocabulary)
      try writeAtomically(Array(configuration.utf8), to: settings)
      printError("\(output): \(try Tokenizer(folder: output).vocabularySize) tokens")
    }
  }
}

extension SyntheticTask: ExpressibleByArgument {}
