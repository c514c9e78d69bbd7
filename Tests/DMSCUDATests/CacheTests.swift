// Admission and attention on a device: slot for slot what the CPU's cache does, and attention as the definition of
// visibility says (DMS, section 3).

import DMSCUDA
import DMSKernels
import DMSPlatform
import Testing

@testable import DMSCache

struct CacheTests {
  struct Case: CustomTestStringConvertible {
    var window: Int?
    var shift = 1
    var heads = 6
    var kvHeads = 2
    var dim = 16
    var type = KVType.f32
    var turns = EmulatedDevice.Turns.forward
    /// Tokens of the calls; 0 is a decode step.
    var calls = [1, 0, 0, 40, 1, 0, 0, 0, 129, 3, 0, 0, 60, 0]

    var testDescription: String { "w \(window ?? -1) shift \(shift) \(heads)/\(kvHeads) x \(dim) \(type) \(turns)" }
  }

  static let cases = [
    Case(), Case(window: 0), Case(window: 0, shift: 0), Case(window: 1), Case(window: 5, turns: .backward),
    Case(window: 5, shift: 0), Case(window: 31, heads: 9, kvHeads: 1, dim: 34, type: .bf16),
    Case(window: 127, heads: 7, kvHeads: 7, dim: 64, turns: .backward, calls: [140, 0, 130, 0]),
    Case(window: 128, heads: 8, kvHeads: 1, dim: 66, type: .f16, calls: [200, 0, 0, 20]),
    Case(window: 130, heads: 2, kvHeads: 2, dim: 128, calls: [0, 135, 135, 0]),
    Case(window: 20, heads: 5, kvHeads: 1, dim: 130, turns: .backward, calls: [0, 0, 70, 0]),
    Case(window: 7, heads: 4, kvHeads: 2, dim: 256, type: .bf16, calls: [33, 0, 9, 0]), Case(window: 500),
  ]

  @Test(arguments: cases) func slotsAndAttentionAreThoseOfTheCPU(_ now: Case) throws {
    let tokens = now.calls.reduce(0) { $0 + max(1, $1) }
    let layers = 2
    let device = EmulatedDevice(now.turns)
    let shape = DeviceCache.Shape(
      layers: layers, heads: now.heads, kvHeads: now.kvHeads, headDim: now.dim, sequences: 2, context: tokens,
      type: now.type, delay: now.window.map { ($0, now.shift) }, pages: 2 * layers * now.kvHeads * (tokens / 16 + 1))
    let cache = try DeviceCache(shape, on: device)
    let pages = try cache.freePagesLeft()
    var twin = try CacheTwin(now, layers: layers, tokens: tokens)
    // The second of two sequences, so that a wrong stride shows.
    let sequence = try device.integers([1])
    for size in now.calls {
      let (count, position) = (max(1, size), twin.seen)
      let scratch = try DeviceBuffer(device, bytes: DeviceCache.Call.scratchBytes(rows: count, kvHeads: now.kvHeads))
      let positions = try device.integers([position])
      let call = DeviceCache.Call(
        sequences: sequence.address, positions: positions.address, count: 1, tokens: count, kvHeads: now.kvHeads,
        scratch: scratch)
      twin.begin()
      for layer in 0..<layers {
        let rows = twin.draw(count, layer: layer)
        let (queries, keys, values) = (
          try device.floats(rows.queries), try device.floats(rows.keys), try device.floats(rows.values)
        )
        let (output, decisions) = (try device.room(count * now.heads * now.dim), try device.floats(rows.decisions))
        let vectors = DeviceCache.Vectors(
          queries: queries.address, keys: keys.address, values: values.address, output: output.address)
        if size == 0 {
          let partials = try DeviceBuffer(device, bytes: cache.partialBytes(sequences: 1, longest: position + 1))
          try cache.decode(
            call, layer: layer, vectors, decisions: decisions.address, longest: position + 1, partials: partials)
        } else {
          try cache.prefill(
            call, sequence: 1, position: position, layer: layer, vectors, decisions: decisions.address)
        }
        let slots = try scratch.download(Int32.self, count * now.kvHeads)
        #expect(try twin.admit(rows, count, layer: layer, attendsFirst: size > 0) == slots)
        let expected = twin.attention(rows, count, layer: layer)
        #expect(largestDifference(try output.floats(), expected) <= 4 * sumTolerance(now.dim + position + count))
      }
      twin.end(count)
      #expect(try cache.liveTokens(sequence: 1) == twin.liveTokens)
    }
    #expect(try cache.liveTokens(sequence: 0).allSatisfy { $0 == 0 })
    let held = twin.liveTokens.reduce(0) { $0 + ($1 + 15) / 16 }
    #expect(try cache.freePagesLeft() == pages - held)
    try cache.release(sequence: 1)
    #expect(try cache.freePagesLeft() == pages)
  }

  @Test func sequencesOfABatchDoNotSeeEachOther() throws {
    var random = SplitMix(4)
    let (heads, kvHeads, dim) = (4, 2, 16)
    func cache(_ device: EmulatedDevice) throws -> DeviceCache {
      try DeviceCache(
        DeviceCache.Shape(
          layers: 1, heads: heads, kvHeads: kvHeads, headDim: dim, sequences: 3, context: 300, type: .f32,
          delay: (3, 1), pages: 120), on: device)
    }
    let device = EmulatedDevice()
    let (batch, alone) = (try cache(device), try cache(device))
    let lengths = [150, 1, 37]
    // The batch names its sequences in another order than they lie in.
    let places = [2, 0, 1]
    let scratch = try DeviceBuffer(device, bytes: DeviceCache.Call.scratchBytes(rows: 150, kvHeads: kvHeads))
    func vectors(_ rows: Int) throws -> (DeviceCache.Vectors, [DeviceBuffer], decisions: DeviceBuffer) {
      let buffers = try [heads, kvHeads, kvHeads].map { try device.floats(random.floats(rows * $0 * dim)) }
      let output = try device.room(rows * heads * dim)
      return (
        DeviceCache.Vectors(
          queries: buffers[0].address, keys: buffers[1].address, values: buffers[2].address, output: output.address),
        buffers + [output], try device.floats(random.floats(rows * kvHeads))
      )
    }
    for (length, place) in zip(lengths, places) {
      let (rows, kept, decisions) = try vectors(length)
      let (sequence, zero) = (try device.integers([place]), try device.integers([0]))
      for cache in [batch, alone] {
        let call = DeviceCache.Call(
          sequences: sequence.address, positions: zero.address, count: 1, tokens: length, kvHeads: kvHeads,
          scratch: scratch)
        try cache.prefill(
          call, sequence: place, position: 0, layer: 0, rows, decisions: decisions.address)
      }
      withExtendedLifetime(kept) {}
    }
    let (rows, kept, decisions) = try vectors(3)
    let (sequences, positions) = (try device.integers(places), try device.integers(lengths))
    func step(_ cache: DeviceCache, _ index: Int, of count: Int, longest: Int) throws -> [Float] {
      let call = DeviceCache.Call(
        sequences: sequences.address + UInt64(4 * index), positions: positions.address + UInt64(4 * index),
        count: count, tokens: 1, kvHeads: kvHeads, scratch: scratch)
      func from(_ buffer: DeviceBuffer, _ width: Int) -> DeviceAddress { buffer.address + UInt64(4 * index * width) }
      let own = DeviceCache.Vectors(
        queries: from(kept[0], heads * dim), keys: from(kept[1], kvHeads * dim), values: from(kept[2], kvHeads * dim),
        output: from(kept[3], heads * dim))
      let partials = try DeviceBuffer(device, bytes: cache.partialBytes(sequences: count, longest: longest))
      try cache.decode(
        call, layer: 0, own, decisions: from(decisions, kvHeads), longest: longest, partials: partials)
      return try kept[3].download(Float.self, from: index * heads * dim, count * heads * dim)
    }
    withExtendedLifetime(rows) {}
    let together = try step(batch, 0, of: 3, longest: 151)
    let apart = try (0..<3).flatMap { try step(alone, $0, of: 1, longest: lengths[$0] + 1) }
    #expect(together == apart)
  }
}

/// The CPU's cache for the slots, and all that ever went in for the attention.
struct CacheTwin {
  let now: CacheTests.Case
  let layers: Int
  private let cache: SequenceCache
  private let assignment: SlotAssignment
  private var random = SplitMix(99)
  /// By layer, all tokens: `[T, G, D]`, rounded as the cache rounds them.
  private var keys: [[Float]]
  private var values: [[Float]]
  /// By layer: `[T, G]`.
  private var decisions: [[Float]]
  private(set) var seen = 0

  struct Rows { let queries, keys, values, decisions: [Float] }

  init(_ now: CacheTests.Case, layers: Int, tokens: Int) throws {
    self.now = now
    self.layers = layers
    let pool = try KVPool(
      layout: KVLayout(headDim: now.dim, type: now.type), memoryNodes: [0],
      arenaOfHead: Array(repeating: 0, count: now.kvHeads))
    cache = try SequenceCache(
      pool: pool, layers: layers, group: now.heads / now.kvHeads, capacity: tokens,
      policy: now.window.map { .delayed(window: $0, shift: now.shift) } ?? .keepAll)
    assignment = SlotAssignment(kvHeads: now.kvHeads, capacity: tokens)
    keys = Array(repeating: [], count: layers)
    values = keys
    decisions = keys
  }

  func begin() { cache.begin() }

  mutating func end(_ tokens: Int) {
    cache.advance(by: tokens)
    seen += tokens
  }

  var liveTokens: [Int] {
    (0..<layers).flatMap { layer in (0..<now.kvHeads).map { cache.liveTokens(layer: layer, kvHead: $0) } }
  }

  mutating func draw(_ tokens: Int, layer: Int) -> Rows {
    let width = now.kvHeads * now.dim
    let rows = Rows(
      queries: random.floats(tokens * now.heads * now.dim), keys: random.floats(tokens * width),
      values: random.floats(tokens * width), decisions: random.floats(tokens * now.kvHeads))
    func rounded(_ numbers: [Float]) -> [Float] {
      var numbers = numbers
      numbers.withUnsafeMutableBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return }
        KVLayout(headDim: now.dim, type: now.type).round(base, tokens * now.kvHeads)
      }
      return numbers
    }
    keys[layer] += rounded(rows.keys)
    values[layer] += rounded(rows.values)
    decisions[layer] += rows.decisions
    return rows
  }

  /// The slots that the CPU gives a call's tokens, `[T, G]`.
  func admit(_ rows: Rows, _ tokens: Int, layer: Int, attendsFirst: Bool) throws -> [Int32] {
    rows.decisions.withUnsafeBufferPointer {
      cache.admit(
        layer: layer, tokens: tokens, decisions: $0.baseAddress, attendsFirst: attendsFirst, into: assignment)
    }
    return (0..<tokens).flatMap { token in
      (0..<now.kvHeads).map { assignment.slots[$0 * assignment.capacity + token] }
    }
  }

  /// Key i is visible to query t iff i ≤ t and (t − i ≤ w or not evict(i)).
  func attention(_ rows: Rows, _ tokens: Int, layer: Int) -> [Double] {
    let (heads, kvHeads, dim) = (now.heads, now.kvHeads, now.dim)
    func part(_ numbers: [Float], _ token: Int, _ head: Int, of width: Int) -> [Float] {
      Array(numbers[(token * width + head) * dim..<(token * width + head + 1) * dim])
    }
    return (0..<tokens).flatMap { token in
      (0..<heads).flatMap { head -> [Double] in
        let (kvHead, query) = (head / (heads / kvHeads), seen + token)
        let visible = (0...query).filter { key in
          guard let window = now.window, query - key > window else { return true }
          return decisions[layer][(key + now.shift) * kvHeads + kvHead] <= 0
        }
        return Reference.attention(
          query: part(rows.queries, token, head, of: heads),
          keys: visible.map { part(keys[layer], $0, kvHead, of: kvHeads) },
          values: visible.map { part(values[layer], $0, kvHead, of: kvHeads) })
      }
    }
  }
}
