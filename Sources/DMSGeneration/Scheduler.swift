// Many requests on one engine, each as if it were alone. This file is what a program sees: requests go in from any thread, their
// events come out as asynchronous sequences. What a step does: SchedulerLoop.swift.
//
// Priorities: a result that no neighbour changes, by a bit; then that who is being answered waits little for who is being read;
// then memory: as many sequences as their live tokens allow, not their lengths.

import DMSCache
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText
import Synchronization

/// Answers many requests at once: every step decodes a token of each running sequence and reads a chunk of one prompt.
///
/// ```swift
/// let scheduler = try Scheduler(model, on: Engine(model.decoder, on: machine, options))
/// for try await event in try scheduler.submit(Scheduler.Request(prompt, AnswerOptions(model))) {
///   if case .token(let token) = event { print(token.text, terminator: "") }
/// }
/// ```
/// Tokens of a request are those that it gets alone: prompts are cut at multiples of the engine's chunk, whoever else is
/// there. Decoding waits for at most one chunk at a time. Sequences are admitted by the bytes that their live tokens are
/// expected to take within the engine's `cacheLimit`; where that was too hopeful, the youngest makes room, and is read again
/// later: its prompt in the same chunks, its answer token by token, so that it goes on as if nothing had been.
///
/// What sequences have in common is read once: up to a multiple of the chunk, where it changes no bit; and a conversation goes on
/// from the end of its last answer, as a `Session` would, unless what its policy keeps depends on the calls.
public final class Scheduler: Sendable {
  /// Bounds.
  public struct Options: Sendable {
    /// Requests that may wait until there is room.
    public var queue = 256
    /// Events that may wait for their reader before its sequence waits for it.
    public var unread = 256
    /// Bytes that beginnings of earlier sequences may take, so that later ones need not read them again; 0 keeps none. `nil`: half
    /// of the engine's `cacheLimit`, or 1 GiB without one. Sequences that run come first in any case.
    public var prefixBytes: Int?

    /// 256 of both.
    public init() {}
  }

  /// What is to be answered, and how.
  public struct Request: Sendable {
    /// What the answer goes on from.
    public var prompt: LanguageModel.Prompt
    /// How tokens are chosen, and when the answer ends.
    public var options: AnswerOptions
    /// How its cache treats tokens; `nil`: as the engine's.
    public var policy: EvictionPolicy?
    /// With each token so many of the most likely ones and their log-probabilities; `nil`: not even its own.
    public var scores: Int?
    /// Whether the prompt's tokens get scores as well.
    public var scoresPrompt = false
    /// What the answer may be; `nil`: anything.
    public var constraint: (any TokenConstraint)?

    /// A request without scores, under the engine's policy.
    public init(_ prompt: LanguageModel.Prompt, _ options: AnswerOptions) {
      self.prompt = prompt
      self.options = options
    }
  }

  /// Why a request is not taken.
  public enum Refusal: Error, Equatable, CustomStringConvertible {
    /// As many wait as may.
    case queueIsFull(waiting: Int)
    /// No new requests are taken.
    case isClosing
    /// The prompt does not fit the context.
    case promptTooLong(tokens: Int, context: Int)
    /// The prompt's cache would not fit the memory, were it alone.
    case neverFits(bytes: Int, limit: Int)

    /// One line.
    public var description: String {
      switch self {
      case .queueIsFull(let waiting): "\(waiting) requests wait already; try again later"
      case .isClosing: "the server is closing"
      case .promptTooLong(let tokens, let context):
        "the prompt of \(tokens) tokens is longer than the context of \(context)"
      case .neverFits(let bytes, let limit):
        "the prompt's cache needs \(byteCount(bytes)), and all caches together may take \(byteCount(limit))"
      }
    }
  }

  /// What goes on.
  public struct Status: Sendable, Equatable {
    /// Sequences that are read or answered.
    public var running = 0
    /// Requests that wait, those included that had to make room.
    public var waiting = 0
    /// Since the beginning: answers that came to their end, requests that were given up, sequences that made room.
    public var (completed, cancelled, preempted) = (0, 0, 0)
    /// Since the beginning: tokens of prompts that were read, tokens of prompts that were in a cache, tokens of answers.
    public var (promptTokens, cachedTokens, answerTokens) = (0, 0, 0)
    /// Of running sequences: tokens seen, and live ones, the mean over heads.
    public var (tokensSeen, liveTokens) = (0, 0.0)
    /// Beginnings that are kept for later sequences.
    public var prefixes = 0
    /// Bytes of pages in use, and address space taken for pages.
    public var (bytesHeld, bytesReserved) = (0, 0)
    /// Since the beginning: time in the engine's calls.
    public var (readTime, decodeTime) = (Duration.zero, Duration.zero)

    /// Nothing.
    public init() {}
  }

  /// The most tokens of a sequence.
  public let context: Int
  private let board: Board
  private let thread: BackgroundThread
  private let model: LanguageModel
  private let limits: Limits
  private let options: Options

  /// Starts a thread that runs the engine from now on; nobody else may.
  ///
  /// - Parameter engine: of this model; its `batch` is the most sequences that run at once, its `chunk` how much of a prompt is
  ///   read between two decode steps, its `cacheLimit` what the caches may take together.
  /// - Throws: `InputError` for a thread that cannot be started.
  public init(_ model: LanguageModel, on engine: sending Engine, _ options: Options = Options()) throws {
    self.model = model
    self.options = options
    context = engine.context
    limits = Limits(engine)
    let board = Board()
    self.board = board
    // The engine goes over to the thread, whole.
    let loop = Handover(SchedulerLoop(model, engine, board, prefixBytes: options.prefixBytes))
    thread = try BackgroundThread { loop.value.run() }
  }

  /// Gives up what is running, and waits for the step under way.
  deinit {
    close()
    thread.join()
  }

  /// Puts a request into the queue.
  ///
  /// - Returns: its events, as they come.
  /// - Throws: `Refusal`; `InputError` for a prompt without tokens or outside the vocabulary, and options out of range.
  public func submit(_ request: Request) throws -> ScheduledAnswer {
    let (ids, vocabulary) = (request.prompt.ids, model.decoder.configuration.vocabulary)
    guard !ids.isEmpty else { throw InputError("a prompt has no tokens", remedy: "write something") }
    if let id = ids.first(where: { !(0..<vocabulary).contains($0) }) {
      throw InputError("token id \(id) is outside the vocabulary of \(vocabulary)")
    }
    try request.options.sampling.validate()
    guard ids.count <= context else { throw Refusal.promptTooLong(tokens: ids.count, context: context) }
    if let limit = limits.cacheLimit {
      let bytes = limits.leastBytes(ids.count, policy: request.policy ?? limits.policy)
      guard bytes <= limit else { throw Refusal.neverFits(bytes: bytes, limit: limit) }
    }
    let mailbox = Mailbox(bell: board.bell, room: max(1, options.unread))
    try board.arrive(request, mailbox, most: options.queue)
    return ScheduledAnswer(mailbox, from: self)
  }

  /// What goes on now, as of the last step.
  public var status: Status { board.status }

  /// Takes no new requests, and returns when those that are there have ended.
  public func drain() async { await board.drain() }

  /// Takes no new requests, and gives up those that are there within a step: their readers get a `CancellationError`.
  public func close() { board.close() }

  /// What is known of an engine before a request is taken.
  private struct Limits: Sendable {
    let cacheLimit: Int?
    let policy: EvictionPolicy
    let chunk: Int
    let bytesPerPages: Int

    init(_ engine: Engine) {
      cacheLimit = engine.cacheLimit
      policy = engine.policy
      chunk = engine.chunk
      let shape = engine.decoder.configuration
      bytesPerPages = shape.layers * shape.kvHeads * engine.pageBytes
    }

    /// What a prompt needs at the very least: all of it, if nothing is forgotten; else a chunk's room.
    func leastBytes(_ tokens: Int, policy: EvictionPolicy) -> Int {
      let tokens = policy.keepsAll ? tokens : min(tokens, chunk)
      let size = KVLayout.slotsPerPage
      return (tokens + size - 1) / size * bytesPerPages
    }
  }
}

/// A value that changes threads once.
private struct Handover<Value>: @unchecked Sendable {
  let value: Value
  init(_ value: Value) { self.value = value }
}
