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

  @Argument(help: "A Hugging Face model folder.")
  var model: String

  @Argument(help: "The prompt. Without it, stdin is read if it is a pipe.")
  var prompt: String?

  @Option(help: "Read the prompt from a file.")
  var promptFile: String?

  @Option(help: "Token ids instead of a text: a JSON list, or a .safetensors file with input_ids.")
  var tokens: String?

  @Flag(help: "Continue the text as it is, without the chat template.")
  var raw = false

  @Option(help: "A system message before the prompt.")
  var system: String?

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
    guard system == nil || !(raw || tokens != nil) else {
      throw ValidationError("--system needs the chat template: leave out --raw and --tokens")
    }
    if prompt == nil, promptFile == nil, tokens == nil, isatty(STDIN_FILENO) != 0 {
      throw ValidationError("there is no prompt: give one as an argument, with --prompt-file, or through a pipe")
    }
  }

  mutating func run() throws {
    let machine = try engineOptions.machine()
    let model = try LanguageModel(folder: model, on: machine, engineOptions.loading())
    var prompt = try readPrompt(model)
    // There will be no second turn to come back to.
    prompt.stable = nil
    let session = try Session(engineOptions.engine(model.decoder, on: machine))
    Interrupt.watch()
    let answer = try model.answer(prompt, in: session, sampling.options(model)) { piece in
      if !json { try writeAnswer(piece) }
    } isCancelled: {
      Interrupt.isRequested
    }
    let summary = Summary(answer)
    if json {
      print(summary.json(promptIDs: prompt.ids))
    } else {
      if !answer.text.isEmpty || answer.generation.reason != .cancelled, !answer.text.hasSuffix("\n") {
        try writeAnswer("\n")
      }
      printError(summary.line)
    }
    if answer.generation.reason == .cancelled { throw ExitCode(130) }
  }

  private func readPrompt(_ model: LanguageModel) throws -> LanguageModel.Prompt {
    if let tokens { return LanguageModel.Prompt(ids: try readTokens(tokens)) }
    let text = try prompt ?? withoutLastNewline(promptFile.map(readText) ?? readStandardInput())
    if raw || model.template == nil {
      if system != nil { throw InputError("this model has no chat template for --system", remedy: "leave it out") }
      return LanguageModel.Prompt(ids: model.ids(raw: text))
    }
    var messages: [ChatMessage] = []
    if let system { messages.append(ChatMessage(role: "system", content: system)) }
    messages.append(ChatMessage(role: "user", content: text))
    return try model.prompt(messages, thinking: thinking?.isOn)
  }
}

enum Switch: String, ExpressibleByArgument, CaseIterable {
  case on, off
  var isOn: Bool { self == .on }
}

/// A text as a file or a pipe ends it: the line's end is not part of it.
private func withoutLastNewline(_ text: String) -> String { text.last == "\n" ? String(text.dropLast()) : text }

/// A whole text file; it must be UTF-8.
func readText(_ path: String) throws -> String {
  let file = try MappedFile(path: path)
  let text = withExtendedLifetime(file) { String(validating: file.bytes, as: UTF8.self) }
  guard let text else { throw InputError("not UTF-8 text", at: path) }
  return text
}

func readStandardInput() throws -> String {
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 65_536)
  while true {
    let count = read(STDIN_FILENO, &buffer, buffer.count)
    if count < 0, errno == EINTR { continue }
    guard count >= 0 else { throw InputError("cannot be read: \(systemMessage(errno))", at: "stdin") }
    if count == 0 { break }
    bytes.append(contentsOf: buffer[..<count])
  }
  guard let text = String(validating: bytes, as: UTF8.self) else { throw InputError("not UTF-8 text", at: "stdin") }
  return text
}
