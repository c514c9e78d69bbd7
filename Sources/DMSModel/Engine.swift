// Where a model runs: a machine, cache memory and workspace around a decoder. What a call does inside: Forward.swift.

import DMSCache
import DMSCheckpoint
import DMSKernels
import DMSPlatform
import DMSTensor
import Logging
import Synchronization

/// Runs a decoder on a machine. Not for several threads at once, nor are several engines of one machine.
///
/// A call is a step: a chunk of one sequence's prompt, or a token of each of several sequences. Its memory is reserved before
/// the first layer, so a call that does not fit leaves every cache as it was. A call that breaks off inside (cancelled, or
/// numbers that are not finite) leaves its caches of no use: later calls refuse them.
public final class Engine {
  /// What an engine is made for.
  public struct Options: Sendable {
    /// Positions that a cache has room for, forgotten tokens included; `nil` means the model's context.
    public var context: Int?
    /// How keys and values are stored. `nil` means F32 for F32 weights and BF16 for all others.
    public var kvType: KVType?
    /// What decides which tokens stay. `nil`: a DMS model's own decisions, and a dense cache for others.
    public var policy: PolicyName?
    /// Whether anything is forgotten. Without, a DMS model's borrowed channels stay zero all the same. Sliding windows are part
    /// of a model, and stay.
    public var eviction: Bool {
      get { policy != .dense }
      set { policy = newValue ? nil : .dense }
    }
    /// Random decisions in the place of the model's, for measuring speed; the text then means nothing.
    public var drawn: DrawnDecisions?
    /// The most that the cache of a sequence may hold: what policies without training are told, and a bound where a model decides.
    public var budget: CacheBudget?
    /// Bytes that the pages of all sequences may take together; `nil`: as many as the system gives.
    public var cacheLimit: Int?
    /// What TriAttention knows of the model's queries.
    public var calibration: QueryCalibration?
    /// The most sequences of one decode step.
    public var batch = 1
    /// The most tokens that go through the layers at once; longer prompts go in several chunks.
    public var chunk = 512

    /// Receives what was chosen (debug), and what is odd about the machine (warning).
    public var logger = Logger(label: "dms")

    /// One sequence of the model's context, whose evictions the model decides.
    public init() {}
  }

  /// The model that runs; other engines may share it.
  public let decoder: Decoder
  /// Positions that a cache has room for, forgotten tokens included.
  public let context: Int
  /// How keys and values are stored.
  public let kvType: KVType
  /// How caches treat their tokens.
  public let policy: EvictionPolicy
  /// Whose threads and instructions the engine uses.
  public let machine: Machine
  /// The most sequences of one decode step.
  public let batch: Int
  /// The most tokens that go through the layers at once.
  public let chunk: Int
  let faults: RowFaults
  /// The heads of each memory node: its threads serve them first.
  let headShares: TaskShares
  let cachePool: KVPool
  let workspace: Workspace
  let policyScratch: PolicyScratch
  let chosenPages: ChosenPages
  /// One warning serves the process.
  private static let hasWarned = Atomic(false)
  /// Sees intermediate values of every call, for tracing; not kept alive.
  public weak var observer: (any ForwardObserver)?

  /// Allocates the workspace of a call; caches take memory as tokens come.
  ///
  /// - Throws: `InputError` for options that cannot be, and for lack of memory.
  public init(_ decoder: Decoder, on machine: Machine, _ options: Options = Options()) throws {
    let shape = decoder.configuration
    let placement = machine.placement(kvHeads: shape.kvHeads)
    let type = options.kvType ?? (decoder.computesInF32 ? .f32 : .bf16)
    self.decoder = decoder
    self.machine = machine
    context = options.context ?? shape.context
    guard (1...(1 << 30)).contains(context) else {
      throw InputError("a context of \(context) tokens is out of range", remedy: "use 1 to \(1 << 30)")
    }
    kvType = type
    batch = max(1, options.batch)
    // No call has more rows than the context or than a decode step has sequences.
    chunk = max(1, min(options.chunk, context))
    let layout = KVLayout(headDim: shape.headDim, type: type)
    policy = try shape.policy(options, context: context, layout: layout)
    headShares = TaskShares(
      placement.memoryNodes.indices.map { node in placement.nodeOfHead.count { $0 == node } })
    cachePool = try KVPool(
      layout: layout, memoryNodes: placement.memoryNodes,
      arenaOfHead: placement.nodeOfHead, limit: options.cacheLimit)
    if !machine.notes.isEmpty, !Self.hasWarned.exchange(true, ordering: .relaxed) {
      for note in machine.notes { options.logger.warning("\(note)") }
    }
    if let note = differenceFromBase(decoder.distanceFromBase) { options.logger.warning("\(note)") }
    options.logger.debug(
      "\(machine.threads) threads, \(placement.memoryNodes.count) memory nodes, \(machine.instructions.rawValue) instructions, cache in \(type.rawValue)"
    )
    faults = RowFaults(rows: max(chunk, batch))
    let needs = Workspace.Needs(
      shape: shape, rows: max(chunk, batch), batch: batch, workers: machine.threads,
      blocks: decoder.weights.hasBlocks)
    try MemoryLimits.require(
      Workspace.bytes(needs), for: "the workspace", remedy: "use a smaller --context or fewer --threads")
    workspace = Workspace(needs)
    policyScratch = PolicyScratch(
      pool: machine.pool, instructions: machine.instructions, kvHeads: shape.kvHeads)
    chosenPages = ChosenPages(heads: batch * shape.kvHeads)
  }

  var pool: ThreadPool { machine.pool }
  var instructions: InstructionSet { machine.instructions }

  /// An empty cache for one sequence, for this engine only. Sequences of one batch may have different policies.
  ///
  /// - Parameters:
  ///   - policy: how its tokens are treated; `nil`: as the engine's options say.
  ///   - length: how long the sequence will be, prompt and answer, where that is known: policies without training take a budget
  ///     that is a ratio as a share of it, as their papers do. Otherwise the ratio is one of the tokens seen so far.
  /// - Throws: `InputError` for lack of memory for its tables.
  public func makeCache(policy: EvictionPolicy? = nil, length: Int? = nil) throws -> SequenceCache {
    let shape = decoder.configuration
    let policy = policy ?? self.policy
    return try SequenceCache(
      pool: cachePool, layers: shape.layers, group: shape.heads / shape.kvHeads, capacity: context,
      policy: length.map { policy.fixed(length: min($0, context)) } ?? policy)
  }

  /// What a policy's name and a budget mean for this engine's model: for sequences that are treated otherwise than `policy` says.
  ///
  /// - Throws: `InputError` for what cannot serve, saying why.
  public func policy(
    _ name: PolicyName, budget: CacheBudget? = nil, calibration: QueryCalibration? = nil
  ) throws -> EvictionPolicy {
    var options = Options()
    options.calibration = calibration
    options.policy = name
    options.budget = budget
    return try decoder.configuration.policy(options, context: context, layout: cachePool.layout)
  }

  /// The engine's policy under a budget of its own for a sequence. Knows the engine's shape, and nothing of its state.
  package var policyUnderBudget: @Sendable (CacheBudget) throws -> EvictionPolicy {
    let (shape, layout) = (decoder.configuration, cachePool.layout)
    return { [policy, context] budget in
      switch policy {
      case .delayed(let window, let shift), .capped(let window, let shift, _):
        return .capped(
          window: window, shift: shift,
          try budget.cap(window: window, context: context, heads: shape.layers * shape.kvHeads, layout: layout))
      case .budgeted, .quest, .triAttention:
        var options = Options()
        if case .triAttention(_, let calibration) = policy { options.calibration = calibration }
        options.policy = PolicyName(rawValue: policy.name)
        options.budget = budget
        return try shape.policy(options, context: context, layout: layout)
      case .keepAll, .sliding, .drawn:
        throw InputError("this model makes no decisions in whose order a cache could be held to a budget")
      }
    }
  }

  /// Bytes that are missing under the limit for a call of `tokens` tokens in each of these caches; 0: it fits.
  package func shortage(tokens: Int, in caches: [SequenceCache]) -> Int {
    cachePool.shortage(tokens: tokens, in: caches)
  }

  /// Bytes that all pages may take together.
  package var cacheLimit: Int? { cachePool.limit }

  /// Bytes of a page of sixteen tokens of one head.
  package var pageBytes: Int { cachePool.pageBytes }

  /// Bytes of pages that all sequences of this engine hold, each page counted once however many share it.
  public var cacheBytesHeld: Int { cachePool.bytesHeld }

  /// Bytes of address space that were taken for pages.
  package var cacheBytesReserved: Int { cachePool.bytesReserved }

  /// The logits `[vocabulary]` that the last call left for sequence `index` of a decode step, or for the last token of a
  /// prefill. Valid until the next call.
  public func logits(_ index: Int = 0) -> UnsafeBufferPointer<Float> {
    precondition((0..<batch).contains(index), "a sequence of the batch")
    let count = decoder.configuration.vocabulary
    return UnsafeBufferPointer(start: workspace.logits.base + index * count, count: count)
  }

  /// Reads tokens into a cache, a chunk at a time. Leaves the logits after the last one.
  ///
  /// - Parameters:
  ///   - ids: token ids; none is a call without effect.
  ///   - onLogits: receives the logits `[rows, vocabulary]` of all tokens, a few rows at a time, in order. Those of stored
  ///     weights go through OpenBLAS and may differ in the last digits from those that `logits()` gives for the last token.
  ///   - isCancelled: asked between chunks, where the cache keeps what it has read, and between the layers of a chunk, where
  ///     it is of no use afterwards.
  /// - Throws: `InputError` for an id outside the vocabulary or more tokens than the cache has room for, before anything
  ///   is done; for lack of memory, before the chunk that it lacks for; for numbers that are not finite.
  ///   `CancellationError`.
  public func prefill(
    _ ids: [Int], into cache: SequenceCache,
    onLogits: ((_ rows: Int, UnsafeBufferPointer<Float>) throws -> Void)? = nil, isCancelled: () -> Bool = { false }
  ) throws {
    try check(ids, count: ids.count, cache)
    for first in stride(from: 0, to: ids.count, by: chunk) {
      if isCancelled() { throw CancellationError() }
      let count = min(chunk, ids.count - first)
      try ids.withUnsafeBufferPointer { ids in
        try prefillStep(UnsafeBufferPointer(rebasing: ids[first..<first + count]), cache, isCancelled, onLogits)
      }
      if first + count == ids.count { try lastLogits(firstRow: count - 1, rows: 1) }
    }
  }

  /// Reads one token into each of several caches and leaves the logits after it. A result depends on its own sequence only.
  ///
  /// - Precondition: as many ids as caches, at most `batch`, no cache twice.
  /// - Throws: as `prefill`.
  public func decode(_ ids: [Int], in caches: [SequenceCache]) throws {
    precondition(ids.count == caches.count && ids.count <= batch, "one id per cache, at most `batch`")
    for cache in caches { try check(ids, count: 1, cache) }
    try ids.withUnsafeBufferPointer { ids in
      try caches.withUnsafeBufferPointer { try decodeStep(ids, $0) }
    }
  }

  /// Reads one token into a cache and leaves the logits after it. Allocates nothing once the cache has its pages.
  /// - Throws: as `prefill`.
  public func decode(_ id: Int, in cache: SequenceCache) throws {
    try withUnsafePointer(to: id) { id in
      let ids = UnsafeBufferPointer(start: id, count: 1)
      try check(ids, count: 1, cache)
      try withUnsafePointer(to: cache) { try decodeStep(ids, UnsafeBufferPointer(start: $0, count: 1)) }
    }
  }

  /// - Throws: `InputError` for an id outside the vocabulary.
  package func check(ids: some Collection<Int>) throws {
    let vocabulary = decoder.configuration.vocabulary
    for id in ids where id < 0 || id >= vocabulary {
      throw InputError("token id \(id) is outside the vocabulary of \(vocabulary)")
    }
  }

  /// - Parameter count: tokens that the cache is to take.
  private func check(_ ids: some Collection<Int>, count: Int, _ cache: SequenceCache) throws {
    try check(ids: ids)
    guard cache.isWhole else {
      throw InputError("this sequence ended in an earlier call that broke off", remedy: "begin it again")
    }
    let room = cache.capacity - cache.tokensSeen
    guard count <= room else {
      throw InputError(
        "\(count) tokens do not fit: the context of \(context) tokens has room for \(room)",
        remedy: "shorten the text or raise --context")
    }
  }
}
