// `dms chat`: a conversation. Lines in, answers out; on a terminal with a prompt and commands that begin with a slash.

import ArgumentParser
import DMSCache
import DMSCheckpoint
import DMSGeneration
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText
import Glibc

struct ChatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "chat", abstract: "Talk with a model.",
    discussion: """
      Commands: /help, /system TEXT, /reset, /stats, /thinking (show or hide it), /bye. Ctrl-C stops an answer. Without a \
      terminal on stdin every line is a turn.
      """)

  @Argument(help: "A Hugging Face model folder with a chat template.")
  var model: String

  @Option(help: "A system message.")
  var system: String?

  @Option(help: "Keep the conversation in this file, sparse cache included, and go on with it next time.")
  var session: String?

  @Option(help: "Whether a model that can think before it answers does so: on or off. Default: the template's own.")
  var thinking: Switch?

  @Flag(help: "Do not show the model's thinking.")
  var hideThinking = false

  @OptionGroup var engineOptions: EngineOptions
  @OptionGroup var sampling: SamplingArguments

  mutating func run() throws {
    let machine = try engineOptions.machine()
    let model = try LanguageModel(folder: model, on: machine, engineOptions.loading())
    guard model.template != nil else {
      throw InputError(
        "this model has no chat template", at: self.model, remedy: "use dms run --raw to continue a text")
    }
    let engine = try engineOptions.engine(model.decoder, on: machine)
    var conversation = try Conversation(
      model, engine, system: system, thinking: thinking?.isOn, hidesThinking: hideThinking, sampling: sampling,
      file: session)
    Interrupt.watch()
    let isTerminal = isatty(STDIN_FILENO) != 0
    if isTerminal { printError("Type a message, or /help.") }
    while true {
      Interrupt.clear()
      if isTerminal { showProgress("> ") }
      guard let line = readInputLine() else { break }
      if line.isEmpty { continue }
      do {
        guard try conversation.handle(line) else { break }
      } catch let error as InputError where isTerminal {
        printError("dms: \(error)")
      }
    }
    if isTerminal { printError("") }
  }

  /// A line of stdin; `nil` at its end. Ctrl-C while typing begins a new line.
  private func readInputLine() -> String? {
    var bytes: [UInt8] = []
    while true {
      var byte: UInt8 = 0
      let count = read(STDIN_FILENO, &byte, 1)
      if count < 0, errno == EINTR {
        if Interrupt.isRequested { return "" }
        continue
      }
      guard count == 1 else { return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self) }
      if byte == 0x0A { return String(decoding: bytes, as: UTF8.self) }
      bytes.append(byte)
    }
  }
}
