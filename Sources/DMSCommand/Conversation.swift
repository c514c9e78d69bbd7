// The state of a chat: messages, the session behind them, and what is shown.

import DMSCache
import DMSCheckpoint
import DMSGeneration
import DMSModel
import DMSPlatform
import DMSText
import Glibc

struct Conversation {
  private let model: LanguageModel
  private let engine: Engine
  private let thinking: Bool?
  private let sampling: SamplingArguments
  private let file: String?
  private var hidesThinking: Bool
  private var session: Session
  private var messages: [ChatMessage] = []
  private var lastSummary: Summary?

  /// Continues the conversation in `file`, if it exists.
  init(
    _ model: LanguageModel, _ engine: Engine, system: String?, thinking: Bool?, hidesThinking: Bool,
    sampling: SamplingArguments, file: String?
  ) throws {
    self.model = model
    self.engine = engine
    self.thinking = thinking
    self.hidesThinking = hidesThinking
    self.sampling = sampling
    self.file = file
    if let file, access(file, F_OK) == 0 {
      let saved = try SessionFile.load(file, on: engine)
      session = saved.session
      messages = try Self.messages(saved.note, source: file)
      let turns = messages.count { $0.role == "user" }
      printError("\(file): \(turns) turns, \(session.ids.count) tokens in the cache")
    } else {
      session = try Session(engine)
    }
    if let system { setSystem(system) }
  }

  /// Answers a line or carries out a command; `false` ends the chat.
  mutating func handle(_ line: ChatLine) throws -> Bool {
    switch line {
    case .message(let text), .unknown(let text): try answer(text)
    case .misused(let problem): throw InputError(problem, remedy: "/help lists the commands")
    case .system(let text):
      try reset()
      setSystem(text)
      try save()
    case .command(.bye): return false
    case .command(let command): try carryOut(command)
    }
    return true
  }

  private mutating func carryOut(_ command: ChatLine.Command) throws {
    switch command {
    case .help:
      printError(
        """
        /system TEXT   set the system message and begin anew
        /reset         forget the conversation
        /stats         what the cache has seen and holds
        /thinking      show or hide the model's thinking
        /bye           end (Ctrl-D does too); Ctrl-C stops an answer
        Everything else is a message, whether it begins with a slash or not.
        """)
    case .reset:
      try reset()
      try save()
    case .stats: printStatistics()
    case .thinking:
      hidesThinking.toggle()
      printError(hidesThinking ? "thinking is hidden" : "thinking is shown")
    case .bye: break
    }
  }

  private mutating func setSystem(_ text: String) {
    messages.removeAll { $0.role == "system" }
    messages.insert(ChatMessage(role: "system", content: text), at: 0)
  }

  private mutating func reset() throws {
    messages.removeAll { $0.role != "system" }
    session = try Session(engine)
    lastSummary = nil
  }

  private func printStatistics() {
    guard let lastSummary else {
      printError("nothing yet: \(session.ids.count) tokens in the cache")
      return
    }
    printError(lastSummary.line)
    printError("\(session.room) of \(engine.context) tokens are free")
  }

  private mutating func answer(_ text: String) throws {
    let turn = messages + [ChatMessage(role: "user", content: text)]
    let prompt = try model.prompt(turn, thinking: thinking)
    guard prompt.ids.count < engine.context else {
      throw InputError(
        "the context of \(engine.context) tokens is full: this turn would need \(prompt.ids.count)",
        remedy: "/reset, or start again with a larger --context")
    }
    var splitter = ThinkingSplitter(insideThinking: prompt.insideThinking)
    let answer = try model.answer(prompt, in: session, sampling.options(model)) { piece in
      try show(splitter.append(piece))
    } isCancelled: {
      Interrupt.isRequested
    }
    try show(splitter.finish())
    // A question that was taken back before a word was said has not been asked.
    guard answer.generation.reason != .cancelled || !answer.text.isEmpty else { return printError("") }
    try writeAnswer("\n")
    messages = turn + [ChatMessage(role: "assistant", content: answer.text)]
    lastSummary = Summary(answer, model.decoder.arithmetic)
    if answer.generation.reason == .context {
      printError(
        "dms: warning: the context of \(engine.context) tokens is full: /reset, or start again with a larger --context")
    }
    try save()
  }

  private func show(_ parts: [ThinkingSplitter.Part]) throws {
    for part in parts {
      switch part {
      case .thinking(let text): if !hidesThinking { showProgress(text) }
      case .answer(let text): try writeAnswer(text)
      }
    }
  }

  private func save() throws {
    guard let file else { return }
    try SessionFile.save(session, note: Self.json(messages), to: file)
  }

  private static func json(_ messages: [ChatMessage]) -> String {
    JSON.array(messages.map { .members(["role": .string($0.role), "content": .string($0.content)]) }).line
  }

  private static func messages(_ json: String, source: String) throws -> [ChatMessage] {
    try (JSON(parsing: json, source: source).array ?? []).map { message in
      guard let role = message["role"]?.string, let content = message["content"]?.string else {
        throw InputError("the session's messages cannot be read", at: source, remedy: "start a new session")
      }
      return ChatMessage(role: role, content: content)
    }
  }
}
