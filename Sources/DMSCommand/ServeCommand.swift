// `dms serve`: an OpenAI-compatible server over one model.

import ArgumentParser
import DMSEvaluation
import DMSGeneration
import DMSModel
import DMSPlatform
import DMSServer
import Synchronization

struct ServeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve", abstract: "Serve a model over HTTP, for OpenAI's clients.",
    discussion: """
      Many requests are answered at once: each step decodes a token of every running one and reads a chunk of one prompt, \
      --chunk tokens or 256: the longest that an answer waits for others. They are let in by the memory that their live tokens \
      take, not by their lengths. SIGTERM or Ctrl-C lets those that run come to their end.
      """)

  @Argument(help: "A Hugging Face model folder, or a GGUF file.")
  var model: String

  @Option(help: "The address to listen at. The default is reached from this machine only.")
  var host = "127.0.0.1"

  @Option(help: "The port; 0 takes a free one, and says which.")
  var port = 8080

  @Option(help: "A file of API keys, one a line: every request must then bring one.")
  var apiKeyFile: String?

  @Option(help: "What clients call the model. Default: the last part of its path.")
  var modelName: String?

  @Option(help: "The most requests that are answered at once.")
  var parallel = 16

  @Option(help: "The most requests that wait; more are told to come back.")
  var queue = 256

  @Option(
    help: """
      The most that the caches of all requests may take together, as 4GiB. Default: half of what is left once the model is \
      loaded.
      """)
  var cacheMemory: ByteSize?

  @Option(help: "Seconds that running requests have after the signal to stop.")
  var grace = 30

  @Flag(help: "Pass over fields of requests that are not known, with a header that names them, instead of refusing.")
  var lenient = false

  @OptionGroup var engineOptions: EngineOptions

  /// Tokens of a prompt that are read between two decode steps.
  private static let usualChunk = 256

  mutating func validate() throws {
    guard (0...65535).contains(port) else { throw ValidationError("--port must be 0 to 65535") }
    guard (1...1024).contains(parallel) else { throw ValidationError("--parallel must be 1 to 1024") }
    guard queue > 0 else { throw ValidationError("--queue must be positive") }
    guard (0...86400).contains(grace) else { throw ValidationError("--grace must be 0 to 86400 seconds") }
  }

  mutating func run() throws {
    // What is no model is said before anything listens.
    _ = try engineOptions.source(model)
    var options = ServerOptions()
    (options.host, options.port, options.isLenient) = (host, port, lenient)
    options.grace = .seconds(grace)
    options.apiKeys = try apiKeyFile.map(readKeys) ?? []
    let isLoopback = ["127.0.0.1", "::1", "localhost"].contains(host)
    if !isLoopback, options.apiKeys.isEmpty {
      printError("dms: warning: everybody who reaches \(host) may use this server; --api-key-file asks for a key")
    }
    let command = self
    let server = Server(options) { try command.load() }
    let shown = host.contains(":") ? "[\(host)]" : host
    try waitFor {
      try await server.run { port in
        printError("dms: listening at http://\(shown):\(port), loading \(command.model)")
      } onReady: { served in
        printError("dms: ready: \(served.name), \(served.summary)")
      }
    }
  }

  private func load() throws -> ServedModel {
    let machine = try engineOptions.machine()
    let model = try LanguageModel(engineOptions.source(self.model), on: machine, engineOptions.loading())
    var options = try engineOptions.options(model.decoder)
    (options.batch, options.chunk) = (parallel, engineOptions.chunk ?? Self.usualChunk)
    let left = MemoryLimits.current().map(\.free).min().map { max(64 << 20, $0 / 2) }
    options.cacheLimit = cacheMemory?.bytes ?? left
    var scheduling = Scheduler.Options()
    scheduling.queue = queue
    return try ServedModel(
      modelName ?? lastPart(self.model), model, on: Engine(model.decoder, on: machine, options), scheduling)
  }

  private func lastPart(_ path: String) -> String {
    path.split(separator: "/").last { $0 != "." && $0 != ".." }.map(String.init) ?? "model"
  }

  private func readKeys(_ path: String) throws -> [String] {
    let keys = try readText(path).split(whereSeparator: \.isNewline).map { AnswerText.trimmed(String($0)) }
    let used = keys.filter { !$0.isEmpty && !$0.hasPrefix("#") }
    guard !used.isEmpty else {
      throw InputError("there is no key", at: path, remedy: "write one a line, or leave --api-key-file out")
    }
    return used
  }

  /// Runs what is asynchronous to its end, while this thread waits.
  private func waitFor(_ work: @escaping @Sendable () async throws -> Void) throws {
    let (outcome, bell) = (Outcome(), Doorbell())
    let before = bell.count
    Task {
      do { try await work() } catch { outcome.error.withLock { $0 = error } }
      bell.ring()
    }
    bell.wait(after: before)
    if let error = outcome.error.withLock({ $0 }) { throw error }
  }

  private final class Outcome: Sendable {
    let error = Mutex<(any Error)?>(nil)
  }
}
