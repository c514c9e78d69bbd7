// A cache that is fed queries, keys and values without a model, and tells which tokens are still there.

import DMSKernels
import DMSPlatform

@testable import DMSCache

/// Random queries, keys and values of one layer, and a cache that has read some of them.
struct PolicyRun {
  static let kvHeads = 2
  static let group = 3
  static let headDim = 8

  /// What a sequence consists of: token by token.
  struct Text {
    var queries: [[Float]] = []  // [T][H · D]
    var keys: [[Float]] = []  // [T][G · D]
    var values: [[Float]] = []  // [T][G · D]

    /// Numbers that repeat: keys come from a few directions, so that some are alike.
    init(_ tokens: Int, seed: UInt64) {
      var index = 0
      func numbers(_ count: Int) -> [Float] {
        (0..<count).map { _ in
          index += 1
          return Float(RandomNumbers.normal(seed: seed, sequence: 0, position: index))
        }
      }
      let width = PolicyRun.kvHeads * PolicyRun.headDim
      let themes = (0..<5).map { _ in numbers(width) }
      for token in 0..<tokens {
        queries.append(numbers(PolicyRun.group * width))
        keys.append(zip(themes[token % 5], numbers(width)).map { $0 + 0.5 * $1 })
        values.append(numbers(width))
      }
    }

    static func + (left: Text, right: Text) -> Text {
      var text = left
      text.queries += right.queries
      text.keys += right.keys
      text.values += right.values
      return text
    }

    var tokens: Int { keys.count }

    func key(_ token: Int, _ kvHead: Int) -> [Float] { part(keys[token], kvHead) }
    func value(_ token: Int, _ kvHead: Int) -> [Float] { part(values[token], kvHead) }
    func query(_ token: Int, _ kvHead: Int, _ member: Int) -> [Float] {
      part(queries[token], kvHead * PolicyRun.group + member)
    }

    private func part(_ row: [Float], _ index: Int) -> [Float] {
      Array(row[index * PolicyRun.headDim..<(index + 1) * PolicyRun.headDim])
    }
  }

  private(set) var cache: SequenceCache
  private(set) var text: Text
  private let assignment = SlotAssignment(kvHeads: kvHeads, capacity: 4096)
  private let scratch: PolicyScratch

  init(_ policy: EvictionPolicy, _ text: Text, capacity: Int = 4096) throws {
    let pool = try KVPool(
      layout: KVLayout(headDim: Self.headDim, type: .f32), memoryNodes: [nil],
      arenaOfHead: Array(repeating: 0, count: Self.kvHeads))
    cache = try SequenceCache(pool: pool, layers: 1, group: Self.group, capacity: capacity, policy: policy)
    self.text = text
    scratch = PolicyScratch(
      pool: try ThreadPool(threads: 2), instructions: InstructionSet.available.last ?? .portable,
      kvHeads: Self.kvHeads)
  }

  /// A sequence with another cache, or another text after what was read.
  func with(_ cache: SequenceCache? = nil, _ text: Text? = nil) -> PolicyRun {
    var other = self
    other.cache = cache ?? self.cache
    other.text = text ?? self.text
    return other
  }

  /// Reads the next tokens in one call.
  mutating func read(_ count: Int, isPrompt: Bool = false) throws {
    let tokens = cache.tokensSeen..<cache.tokensSeen + count
    let (queries, keys, values) = (
      Array(text.queries[tokens].joined()), Array(text.keys[tokens].joined()), Array(text.values[tokens].joined())
    )
    try withUnsafePointer(to: cache) {
      try cache.slots.pool.reserve(tokens: count, in: UnsafeBufferPointer(start: $0, count: 1))
    }
    let before = cache.slots.pool.bytesReserved
    cache.begin()
    cache.admit(layer: 0, tokens: count, decisions: nil, attendsFirst: count > 1, into: assignment)
    try cache.place(layer: 0, tokens: count, in: assignment)
    try keys.withUnsafeBufferPointer { keys in
      try values.withUnsafeBufferPointer { values in
        try queries.withUnsafeBufferPointer { queries in
          guard let keys = keys.baseAddress, let values = values.baseAddress, let queries = queries.baseAddress else {
            return
          }
          let store = SlotAssignment.Store(
            assignment, layout: cache.layout, keys: keys, values: values, tokens: count, kvHeads: Self.kvHeads)
          for kvHead in 0..<Self.kvHeads { store.run(task: kvHead, worker: 0) }
          if cache.settles {
            try cache.settle(layer: 0, tokens: count, queries: queries, isPrompt: isPrompt, with: scratch)
          }
        }
      }
    }
    cache.advance(by: count)
    precondition(cache.slots.pool.bytesReserved == before, "what a call takes was reserved")
  }

  /// Reads everything that is left, in calls of `call` tokens.
  mutating func readAll(by call: Int, _ afterCall: (PolicyRun) throws -> Void = { _ in }) throws {
    while cache.tokensSeen < text.tokens {
      try read(min(call, text.tokens - cache.tokensSeen))
      try afterCall(self)
    }
  }

  /// The tokens of a head that are still there, told by their keys.
  func survivors(_ kvHead: Int) -> [Int] {
    let bytes = cache.exportHead(layer: 0, kvHead: kvHead).keys
    let keys = bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    let owners = Dictionary(
      (0..<cache.tokensSeen).map { (text.key($0, kvHead), $0) }, uniquingKeysWith: { first, _ in first })
    return stride(from: 0, to: keys.count, by: Self.headDim).map {
      owners[Array(keys[$0..<$0 + Self.headDim])] ?? -1
    }.sorted()
  }
}
