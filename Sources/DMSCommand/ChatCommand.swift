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
      Commands: /help, /system TEXT, /reset, /stats, /thinking (show or hide it), /bye. Ctrl-C stops an answer, a second one \
      ends the program. Without a terminal on stdin every line is a turn; one that fails is said on stderr, the others are \
      answered, and the exit code is 1.
      """)

  @Argument(help: "A Hugging Face model folder or a GGUF file, with a chat template.")
  var model: String

  @Option(parsing: .unconditional, help: "A system message.")
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
    // Before anything is loaded: a file that cannot take the answers is no place for them.
    let lock = try session.map(reserve)
    defer { withExtendedLifetime(lock) {} }
    let machine = try engineOptions.machine()
    let model = try LanguageModel(engineOptions.source(model), on: machine, engineOptions.loading())
    guard model.template != nil else {
      throw InputError(
        "this model has no chat template", at: self.model, remedy: "use dms run --raw to continue a text")
    }
    let engine = try engineOptions.engine(model.decoder, on: machine)
    var conversation = try Conversation(
      model, engine, system: system, thinking: thinking?.isOn, hidesThinking: hideThinking, sampling: sampling,
      file: session)
    sampling.sayWhatHasNoEffect(model.generation)
    if isatty(STDIN_FILENO) != 0 {
      try talk(&conversation)
    } else {
      try answerAll(&conversation)
    }
  }

  /// Makes sure that a session can be written and that nobody else writes it.
  private func reserve(_ file: String) throws -> FileLock {
    let lock = try FileLock(file: file)
    try checkCanBeWritten(file)
    return lock
  }

  /// With a person at a terminal, who sees what goes wrong and goes on.
  private func talk(_ conversation: inout Conversation) throws {
    printError("Type a message, or /help.")
    var lines = InputLines()
    while true {
      Interrupt.expectLine()
      showProgress("> ")
      do {
        switch try lines.next() {
        case .interrupted: printError("")
        case .damaged(let error): throw error
        case .end: return printError("")
        case .text(let text):
          guard let line = try ChatLine(text).flatMap({ try confirmed($0, &lines) }) else { continue }
          Interrupt.watch()
          guard try conversation.handle(line) else { return }
        }
      } catch let error as InputError where ![lostOutputPlace, InputLines.source].contains(error.location) {
        printError("dms: \(error)")
      }
      if Interrupt.endsProgram { throw Interrupt.exitCode }
    }
  }

  /// Asks whether a word that looks like a command is a message.
  private func confirmed(_ line: ChatLine, _ lines: inout InputLines) throws -> ChatLine? {
    guard case .unknown(let word) = line else { return line }
    showProgress("\(oneLine(word)) is no command (/help lists them). Send it to the model? [y/N] ")
    switch try lines.next() {
    case .text(let answer): return ["y", "yes"].contains(answer.lowercased().filter { !$0.isWhitespace }) ? line : nil
    case .damaged: return nil
    case .interrupted, .end:
      printError("")
      return nil
    }
  }

  /// Every line of a pipe is a turn. One that fails is said, and those after it are answered all the same.
  private func answerAll(_ conversation: inout Conversation) throws {
    Interrupt.watch()
    var lines = InputLines()
    var (goesOn, hasFailed) = (true, false)
    while goesOn {
      let next = try lines.next()
      do {
        switch next {
        case .interrupted: break
        case .damaged(let error): throw error
        case .end: goesOn = false
        case .text(let text): goesOn = try ChatLine(text).map { try conversation.handle($0) } ?? true
        }
      } catch let error as InputError where error.location != lostOutputPlace {
        hasFailed = true
        let isPlaced = error.location?.hasPrefix(InputLines.source) ?? false
        printError("dms: \(isPlaced ? "" : "\(lines.place): ")\(error)")
      }
      if Interrupt.isRequested { throw Interrupt.exitCode }
    }
    if hasFailed { throw ExitCode(1) }
  }
}
