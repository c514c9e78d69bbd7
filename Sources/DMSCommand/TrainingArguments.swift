// What `dms retrofit` and `dms pretrain` have in common: a recipe, a run's folder, and how people follow a run.

import ArgumentParser
import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import DMSRetrofit
import DMSTensor
import DMSText
import Glibc

struct TrainingArguments: ParsableArguments {
  @Argument(help: "A Hugging Face model folder.")
  var model: String

  @Argument(help: "The run's folder: recipe, log, checkpoints, report, and the model when it is done.")
  var output: String

  @Option(help: "A recipe: a JSON file, or one that comes with the program: \(Recipe.names.joined(separator: ", ")).")
  var recipe: String?

  @Option(name: .customLong("set"), help: "Another value for a key of the recipe: rate.peak=1e-4, stages.0.steps=200.")
  var overrides: [String] = []

  @Flag(help: "Go on from the last checkpoint of the run in OUTPUT, with its recipe.")
  var resume = false

  @Flag(help: "Compute each layer's activations anew in the backward: a third more work, far less memory.")
  var recompute = false

  @Flag(help: "Say what memory and time the run would take, and stop.")
  var estimate = false

  @Option(
    parsing: .unconditional, help: "Worker threads. 0: one per usable processor. The result does not depend on it.")
  var threads = 0

  @Option(help: "The type of the weights that are written: f32, bf16 or f16. Default: as the given model's.")
  var weights: String?

  mutating func validate() throws {
    guard (recipe != nil) != resume else { throw ValidationError("give either --recipe or --resume") }
    guard (0...1024).contains(threads) else { throw ValidationError("--threads must be 0 to 1024") }
    guard !(resume && estimate) else { throw ValidationError("--estimate is for a run that has not begun") }
  }

  /// - Parameter kinds: what the command is for.
  func run(_ kinds: Set<Recipe.Kind.Name>, as command: String) throws {
    Interrupt.watch()
    let folder = resume ? try RunFolder(resuming: output) : nil
    let recipe = try readRecipe(folder)
    let kind = recipe.kind.name
    guard kinds.contains(kind) else {
      throw InputError(
        "the recipe is one to \(kind.rawValue), this is dms \(command)",
        remedy: "use dms \(kind == .pretrain ? "pretrain" : "retrofit")")
    }
    let machine = try Machine(threads: threads)
    let needs = try TrainingEstimate(recipe, model: model, on: machine)
    if estimate { return printAnswer(needs.text()) }
    try MemoryLimits.require(
      needs.bytes, for: "what the run needs",
      remedy: "set recompute, lower tokens_at_once, or shorten the stages' sequences")
    let training = try TrainingRun(recipe, model: model, folder: folder ?? RunFolder(new: output), on: machine)
    let display = TrainingDisplay()
    let end = try training.run(isCancelled: { Interrupt.isRequested }) { display.show($0) }
    display.finish()
    guard end == .finished else {
      printError("dms: interrupted; the run is saved: go on with dms \(command) \(model) \(output) --resume")
      throw Interrupt.exitCode
    }
    printError("\(training.folder.model), report.json and report.svg are in \(output)")
  }

  /// - Parameter folder: of a run that goes on.
  private func readRecipe(_ folder: RunFolder?) throws -> Recipe {
    let overrides =
      self.overrides + (recompute ? ["recompute=true"] : []) + (weights.map { ["weights=\($0)"] } ?? [])
    if let folder { return try Recipe(file: folder.recipe, overrides: overrides) }
    let name = recipe ?? ""
    // A file counts more than a name, but a folder of that name is none.
    var status = stat()
    let isFile = stat(name, &status) == 0 && status.st_mode & S_IFMT != S_IFDIR
    return try isFile ? Recipe(file: name, overrides: overrides) : Recipe(named: name, overrides: overrides)
  }
}

struct RetrofitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "retrofit", abstract: "Teach a model to forget: turn it into a DMS model.",
    discussion: """
      The model learns from its own predictions while its memory becomes less. Recipes: paper-cr8 (the paper's, all weights), \
      nvidia-adapter (an adapter alone), smollm2-cr4 and smollm2-cr8 (the adapters in Models), tiny (the small models \
      there), and fade, which prepares a model for a retrofit that borrows a neuron. Ctrl-C saves and stops; --resume goes on as if nothing had happened.
      """)

  @OptionGroup var arguments: TrainingArguments

  mutating func run() throws { try arguments.run([.retrofit, .fade], as: "retrofit") }
}

struct PretrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pretrain", abstract: "Train a model on next tokens, from random numbers or from a checkpoint.",
    discussion: """
      MODEL has a config.json and a tokenizer (dms tokenizer train makes one). If it has weights, they are the start. Ctrl-C \
      saves and stops; --resume goes on as if nothing had happened.
      """)

  @OptionGroup var arguments: TrainingArguments

  mutating func run() throws { try arguments.run([.pretrain], as: "pretrain") }
}
