// The model behind the endpoints: loaded while the server already answers that it is not ready.

import DMSCache
import DMSGeneration
import DMSModel
import DMSPlatform
import Synchronization

/// A model, the scheduler that runs it, and what clients call it.
public struct ServedModel: Sendable {
  /// What clients call it.
  public let name: String
  let model: LanguageModel
  let scheduler: Scheduler
  let context: Int
  /// Bytes that all caches may take together.
  let cacheLimit: Int?
  /// Requests that are answered at once.
  let parallel: Int
  /// Requests that may wait.
  let queue: Int
  /// Seconds since 1970.
  let created: Int
  /// Differs between weights.
  let fingerprint: String
  let replies = ReplyMemory()
  private let policy: EvictionPolicy
  private let budgetCap: @Sendable (CacheBudget) throws -> EvictionPolicy

  /// - Parameters:
  ///   - engine: of this model; nobody else may use it from now on.
  /// - Throws: as `Scheduler`.
  public init(
    _ name: String, _ model: LanguageModel, on engine: sending Engine,
    _ options: Scheduler.Options = Scheduler.Options()
  ) throws {
    self.name = name
    self.model = model
    context = engine.context
    cacheLimit = engine.cacheLimit
    policy = engine.policy
    parallel = engine.batch
    queue = options.queue
    created = secondsSince1970()
    fingerprint = "dms_" + hexadecimal(model.decoder.fingerprint)
    budgetCap = engine.policyUnderBudget
    scheduler = try Scheduler(model, on: engine, options)
  }

  /// What it has room for, in a line.
  public var summary: String {
    "context of \(context) tokens" + (cacheLimit.map { ", caches of up to \(byteCount($0))" } ?? "")
  }

  /// Whether its caches forget by its own decisions.
  var forgets: Bool {
    switch policy {
    case .delayed, .capped: true
    case .keepAll, .sliding, .drawn, .budgeted, .quest, .triAttention: false
    }
  }

  /// Keeping every token; `nil` for a model that is made to lose sight of them.
  var densePolicy: EvictionPolicy? { if case .sliding = policy { nil } else { .keepAll } }

  /// The model's own policy under a cap.
  func policy(budget: CacheBudget) throws -> EvictionPolicy { try budgetCap(budget) }
}

/// Whether there is a model yet.
final class ModelSlot: Sendable {
  private enum State {
    case loading
    case ready(ServedModel)
    case closing(ServedModel)
  }

  private let state = Mutex(State.loading)

  /// - Throws: 503 while it is loaded or about to go.
  func model() throws -> ServedModel {
    switch state.withLock({ $0 }) {
    case .ready(let model): return model
    case .loading:
      throw APIError(
        status: .serviceUnavailable, message: "the model is being loaded", type: "server_error", code: "loading",
        retryAfter: 5)
    case .closing: throw APIError(Scheduler.Refusal.isClosing)
    }
  }

  func set(_ model: ServedModel) { state.withLock { $0 = .ready(model) } }

  /// No new requests from now on.
  func close() {
    state.withLock { if case .ready(let model) = $0 { $0 = .closing(model) } }
  }
}

/// Sixteen digits.
func hexadecimal(_ number: UInt64) -> String {
  let digits = String(number, radix: 16)
  return String(repeating: "0", count: 16 - digits.count) + digits
}
