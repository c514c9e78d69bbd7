// Where a model runs: threads, cache memory and workspace around a decoder. Two engines in one process do not meet.

import DMSCache
import DMSCheckpoint
import DMSKernels
import DMSPlatform
import DMSTensor
import Logging
import Synchronization

/// Runs a decoder. Not for several threads at once: it is one machine, with threads of its own inside.
public final class Engine {
  public struct Options: Sendable {
    /// Worker threads; 0 means one per usable processor.
    public var threads = 0
    /// Positions that a cache has room for; `nil` means the model's context.
    public var context: Int?
    /// How keys and values are stored: F32, BF16 or F16. `nil` means F32 for F32 weights and BF16 for 16-bit weights.
    public var kvType: KVType?
    /// Whether a DMS model forgets. Without, its borrowed channels stay zero all the same.
    public var eviction = true
    /// Random decisions in the place of the model's, for measuring speed; the text then means nothing.
    public var simulatedEviction: SimulatedEviction?
    /// The most sequences of one decode step.
    public var batch = 1
    /// The inner loops' instructions; `nil` chooses the best that the processor has.
    public var instructions: InstructionSet?
    /// The most tokens that go through the layers at once; longer prompts go in several chunks.
    public var chunk = 512

    /// What was chosen (debug), and what is odd about the machine (warning).
    public var logger = Logger(label: "dms")

    public init() {}
  }

  public let decoder: Decoder
  /// Positions that a cache has room for.
  public let context: Int
  public let kvType: KVType
  public let policy: EvictionPolicy
  public let instructions: InstructionSet
  /// The most sequences of one decode step.
  public let batch: Int
  let chunk: Int
  let simulated: SimulatedEviction?
  let pool: ThreadPool
  /// The heads of each memory node: its threads serve them first.
  let headShares: TaskShares
  let cachePool: KVPool
  let workspace: Workspace
  /// One warning serves the process.
  private static let hasWarnedOfBLAS = Atomic(false)
  /// Sees intermediate values; for tracing.
  public weak var observer: (any ForwardObserver)?

  /// - Throws: `InputError` for options that cannot be.
  public init(_ decoder: Decoder, _ options: Options = Options()) throws {
    let shape = decoder.configuration
    let workers = try Workers(asked: options.threads, kvHeads: shape.kvHeads)
    let placement = workers.placement
    let type = options.kvType ?? (decoder.computesInF32 ? .f32 : .bf16)
    self.decoder = decoder
    context = options.context ?? shape.context
    guard (1...(1 << 30)).contains(context) else {
      throw InputError("a context of \(context) tokens is out of range", remedy: "use 1 to \(1 << 30)")
    }
    kvType = type
    batch = max(1, options.batch)
    // No call has more rows than the context or than a decode step has sequences.
    chunk = max(1, min(options.chunk, context))
    simulated = options.eviction ? options.simulatedEviction : nil
    if let simulated {
      guard simulated.ratio >= 1, (1...(1 << 20)).contains(simulated.window) else {
        throw InputError("a simulated ratio is 1 or more, its window 1 to \(1 << 20)")
      }
      policy = .delayed(window: simulated.window, shift: shape.dms?.shift ?? 0)
    } else if options.eviction, let dms = shape.dms, !dms.evictionDisabled {
      policy = .delayed(window: dms.window, shift: dms.shift)
    } else {
      policy = .keepAll
    }
    instructions = options.instructions ?? .best
    guard instructions.isAvailable else {
      throw InputError(
        "this processor has no \(instructions.rawValue)", remedy: "use one of \(InstructionSet.available)")
    }
    useOneBLASThread()
    pool = try workers.pool()
    headShares = TaskShares(
      placement.memoryNodes.indices.map { node in placement.nodeOfHead.count { $0 == node } })
    cachePool = try KVPool(
      layout: KVLayout(headDim: shape.headDim, type: type), memoryNodes: placement.memoryNodes,
      arenaOfHead: placement.nodeOfHead)
    if let better = BLASProcessor.better, !Self.hasWarnedOfBLAS.exchange(true, ordering: .relaxed) {
      options.logger.warning(
        "OpenBLAS does not know this processor and uses its kernels for \(BLASProcessor.chosen): start the program with \(BLASProcessor.variable)=\(better)"
      )
    }
    if let note = workers.topology.note { options.logger.warning("\(note); taking the machine for one memory node") }
    options.logger.debug(
      "\(workers.count) threads, \(placement.memoryNodes.count) memory nodes, \(instructions.rawValue) instructions, cache in \(type.rawValue)"
    )
    workspace = Workspace(
      shape, rows: max(chunk, batch), batch: batch, workers: pool.count,
      blocks: decoder.weightFormat.blocks != nil)
  }

  public var threads: Int { pool.count }

  /// An empty cache for one sequence.
  public func makeCache() throws -> SequenceCache {
    try SequenceCache(pool: cachePool, layers: decoder.configuration.layers, capacity: context, policy: policy)
  }

  /// Bytes of pages that all sequences of this engine hold, shared pages once.
  public var cacheBytesHeld: Int { cachePool.bytesHeld }

  /// The logits `[vocabulary]` that the last call left for sequence `index` of a decode step, or for the last token of a
  /// prefill. Valid until the next call.
  public func logits(_ index: Int = 0) -> UnsafeBufferPointer<Float> {
    precondition((0..<batch).contains(index), "a sequence of the batch")
    let count = decoder.configuration.vocabulary
    return UnsafeBufferPointer(start: workspace.logits.base + index * count, count: count)
  }

  /// Reads tokens into a cache. Leaves the logits after the last one.
  ///
  /// - Parameters:
  ///   - ids: token ids; none is a call without effect.
  ///   - onLogits: receives the logits `[rows, vocabulary]` of all tokens, a few rows at a time, in order. Those of stored
  ///     weights go through OpenBLAS and may differ in the last digits from those that `logits()` gives for the last token.
  /// - Throws: `InputError` for an id outside the vocabulary or more tokens than the cache has room for, before anything
  ///   is done; for lack of memory in between, after which the cache is unusable.
  public func prefill(
    _ ids: [Int], into cache: SequenceCache, onLogits: ((_ rows: Int, UnsafeBufferPointer<Float>) throws -> Void)? = nil
  ) throws {
    try check(ids, room: cache.capacity - cache.tokensSeen, for: ids.count)
    var first = 0
    while first < ids.count {
      let count = min(chunk, ids.count - first)
      try ids.withUnsafeBufferPointer { ids in
        try prefillChunk(UnsafeBufferPointer(rebasing: ids[first..<first + count]), cache, onLogits)
      }
      first += count
      if first == ids.count { lastLogits(firstRow: count - 1, rows: 1) }
    }
  }

  /// Reads one token into each of several caches and leaves the logits after it. A result depends on its own sequence only.
  ///
  /// - Precondition: as many ids as caches, at most `batch`, no cache twice.
  public func decode(_ ids: [Int], in caches: [SequenceCache]) throws {
    precondition(ids.count == caches.count && ids.count <= batch, "one id per cache, at most `batch`")
    for cache in caches { try check(ids, room: cache.capacity - cache.tokensSeen, for: 1) }
    try ids.withUnsafeBufferPointer { ids in
      try caches.withUnsafeBufferPointer { try decodeStep(ids, $0) }
    }
  }

  /// Reads one token into a cache and leaves the logits after it. Allocates nothing once the cache has its pages.
  public func decode(_ id: Int, in cache: SequenceCache) throws {
    try withUnsafePointer(to: id) { id in
      let ids = UnsafeBufferPointer(start: id, count: 1)
      try check(ids, room: cache.capacity - cache.tokensSeen, for: 1)
      try withUnsafePointer(to: cache) { try decodeStep(ids, UnsafeBufferPointer(start: $0, count: 1)) }
    }
  }

  private func check(_ ids: some Collection<Int>, room: Int, for count: Int) throws {
    let vocabulary = decoder.configuration.vocabulary
    for id in ids where id < 0 || id >= vocabulary {
      throw InputError("token id \(id) is outside the vocabulary of \(vocabulary)")
    }
    guard count <= room else {
      throw InputError(
        "\(count) tokens do not fit: the context of \(context) tokens has room for \(room)",
        remedy: "shorten the text or raise --context")
    }
  }
}
