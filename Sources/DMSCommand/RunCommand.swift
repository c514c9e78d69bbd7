// `dms run`: one prompt, one answer on stdout.

import ArgumentParser
import DMSCache
import DMSCheckpoint
import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText
import Glibc

struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Answer a prompt: the text goes to stdout, a summary to stderr.",
    discussion: """
      The prompt is an argument, a file, a pipe on stdin, or token ids. It goes through the checkpoint's chat template, \
      unless --raw is given or the checkpoint has none.
      """)

  @Argument(help: "A Hugging Face model folder, or a GGUF file.")
  var model: String

  @Argument(help: "The prompt. Without it, stdin is read if it is a pipe.")
  var prompt: String?

  @Option(help: "Read the prompt from a file.")
  var promptFile: String?

  @Option(help: "Token ids instead of a text: a JSON list, or a .safetensors file with input_ids.")
  var tokens: String?

  @Flag(help: "Continue the text as it is, without the chat template.")
  var raw = false

  @Option(parsing: .unconditional, help: "A system message before the prompt.")
  var system: String?

  @Option(help: "A JSON list of tools that the model may call, as OpenAI's clients send them.")
  var tools: String?

  @Option(help: "Whether a model that can think before it answers does so: on or off. Default: the template's own.")
  var thinking: Switch?

  @Flag(help: "Print one JSON object instead of text.")
  var json = false

  @OptionGroup var engineOptions: EngineOptions
  @OptionGroup var sampling: SamplingArguments

  mutating func validate() throws {
    guard [prompt != nil, promptFile != nil, tokens != nil].count(where: { $0 }) <= 1 else {
      throw ValidationError("give the prompt once: as an argument, with --prompt-file, or with --tokens")
    }
    if let option = templateOption, raw || tokens != nil {
      throw ValidationError("\(option) needs the chat template: leave out --raw and --tokens")
    }
    if prompt == nil, promptFile == nil, tokens == nil, isatty(STDIN_FILENO) != 0 {
      throw ValidationError("there is no prompt: give one as an argument, with --prompt-file, or through a pipe")
    }
  }

  /// An option that means nothing without a chat template; `nil` if none is given.
  private var templateOption: String? {
    system != nil ? "--system" : tools != nil ? "--tools" : thinking != nil ? "--thinking" : nil
  }

  mutating func run() throws {
    // Before anything is loaded: a file that is missing is noticed at once.
    let given = try prompt ?? promptFile.map { try notEmpty(withoutLineEnd(readText($0)), $0) }
    let tools = try tools.map(readTools)
    let machine = try engineOptions.machine()
    let model = try LanguageModel(engineOptions.source(model), on: machine, engineOptions.loading())
    var prompt = try readPrompt(model, given, tools)
    // There will be no second turn to come back to.
    prompt.stable = nil
    let engine = try engineOptions.engine(model.decoder, on: machine)
    let options = sampling.options(model)
    let session = try Session(engine, length: options.length(after: prompt.ids.count))
    sampling.sayWhatHasNoEffect(model.generation)
    Interrupt.watch()
    let work = Provenance.work(machine, Provenance.policy(engine))
    let answer = try model.answer(prompt, in: session, options) { piece in
      if !json { try writeAnswer(piece) }
    } isCancelled: {
      Interrupt.isRequested
    }
    let summary = Summary(answer, model.decoder.arithmetic)
    if json {
      let hash = try Provenance.hash(model.decoder)
      printAnswer(summary.json(promptIDs: prompt.ids, modelHash: hash, producedBy: work))
    } else {
      if !answer.text.isEmpty || answer.generation.reason != .cancelled, !answer.text.hasSuffix("\n") {
        try writeAnswer("\n")
      }
      printError(summary.line)
    }
    if answer.generation.reason == .cancelled { throw Interrupt.exitCode }
  }

  /// What brought nothing has gone wrong before: a pipe whose other end failed, a script without a terminal.
  private func notEmpty(_ text: String, _ source: String) throws -> String {
    guard text.isEmpty else { return text }
    throw InputError("the prompt is empty", at: source, remedy: "write something, or give \"\" as an argument")
  }

  private func readTools(_ path: String) throws -> ToolDescriptions {
    try ToolDescriptions(JSON(parsing: readText(path), source: path), source: path)
  }

  private func readPrompt(
    _ model: LanguageModel, _ given: String?, _ tools: ToolDescriptions?
  ) throws -> LanguageModel.Prompt {
    if let tokens { return LanguageModel.Prompt(ids: try readTokens(tokens)) }
    let text = try given ?? notEmpty(withoutLineEnd(readStandardInput()), "stdin")
    if raw || model.template == nil {
      if let option = templateOption {
        throw InputError("this model has no chat template for \(option)", at: self.model, remedy: "leave it out")
      }
      return LanguageModel.Prompt(ids: model.ids(raw: text))
    }
    var messages: [ChatMessage] = []
    if let system { messages.append(ChatMessage(role: "system", content: system)) }
    messages.append(ChatMessage(role: "user", content: text))
    return try model.prompt(messages, tools: tools, thinking: thinking?.isOn)
  }
}

enum Switch: String, ExpressibleByArgument, CaseIterable {
  case on, off
  var isOn: Bool { self == .on }
}
