// Attention of a chunk of one sequence: over the head's cached slots as they were before the chunk, and over the chunk's
// own tokens, each visible from its own position until it is evicted. Blocks of queries against blocks of keys, products
// by OpenBLAS, softmax folded in block by block; keys that no query of a block can see are not read.
//
// T tokens of the chunk · H query heads · G KV heads · R = H / G · D head dim

import DMSPlatform
import DMSTensor

/// Until when the keys of a head are visible: the position of the last query that may read each.
public struct KeyLifetimes {
  /// Marks a key that is still visible when the chunk ends.
  public static let lasting = Int32.max

  /// `[slots]` for the cached slots of a head; `nil` if all of them outlive the chunk.
  public let cached: UnsafePointer<Int32>?
  /// `[T]` for the chunk's own tokens.
  public let chunk: UnsafePointer<Int32>

  /// Borrows the tables of a head.
  public init(cached: UnsafePointer<Int32>?, chunk: UnsafePointer<Int32>) {
    self.cached = cached
    self.chunk = chunk
  }
}

/// Attention of a chunk's tokens over the cached slots and the chunk itself, each query as far as its keys are visible.
/// One task per (KV head, block of queries), head by head, so that a memory node's heads are a run of tasks.
public struct PrefillAttention: ParallelWork {
  /// Keys of one block.
  static let keyBlock = 256

  let spans: UnsafePointer<KVSpan>
  let lifetimes: UnsafePointer<KeyLifetimes>
  let queries: UnsafePointer<Float>
  let keys: UnsafePointer<Float>
  let values: UnsafePointer<Float>
  let output: UnsafeMutablePointer<Float>
  let firstPosition: Int
  let tokens: Int
  let kvHeads: Int
  let group: Int
  let scratch: UnsafeMutablePointer<Float>
  let scratchStride: Int
  let instructions: InstructionSet

  /// Prepares the attention of T tokens with G KV heads and `group` query heads for each.
  ///
  /// - Parameters:
  ///   - spans, lifetimes: `[G]`.
  ///   - queries: `[T, H, D]`, after RoPE, not scaled.
  ///   - keys, values: `[T, G, D]`, keys after RoPE, both rounded to the cache's type.
  ///   - output: `[T, H, D]`.
  ///   - firstPosition: the position of the chunk's first token.
  ///   - scratch: for each worker `scratchStride` numbers, at least `scratchCount`.
  public init(
    spans: UnsafePointer<KVSpan>, lifetimes: UnsafePointer<KeyLifetimes>, queries: UnsafePointer<Float>,
    keys: UnsafePointer<Float>, values: UnsafePointer<Float>, output: UnsafeMutablePointer<Float>, firstPosition: Int,
    tokens: Int, kvHeads: Int, group: Int, scratch: UnsafeMutablePointer<Float>, scratchStride: Int,
    instructions: InstructionSet
  ) {
    self.instructions = instructions
    self.spans = spans
    self.lifetimes = lifetimes
    self.queries = queries
    self.keys = keys
    self.values = values
    self.output = output
    self.firstPosition = firstPosition
    self.tokens = tokens
    self.kvHeads = kvHeads
    self.group = group
    self.scratch = scratch
    self.scratchStride = scratchStride
  }

  /// Positions of one block of queries: about 384 rows, whatever the group.
  static func queryBlock(group: Int) -> Int { max(16, 384 / group) }

  /// Numbers of scratch memory that a worker needs.
  public static func scratchCount(group: Int, headDim: Int) -> Int {
    let rows = queryBlock(group: group) * group
    return 2 * rows * headDim + rows * keyBlock + 2 * rows + 2 * keyBlock * headDim + 2 * keyBlock
      + KVLayout.slotsPerPage * headDim
  }

  private var blocks: Int { (tokens + Self.queryBlock(group: group) - 1) / Self.queryBlock(group: group) }

  /// Blocks of queries of all KV heads.
  public var tasks: Int { blocks * kvHeads }

  /// Attends for a block of queries.
  public func run(task: Int, worker: Int) {
    let block = Self.queryBlock(group: group)
    let head = task / blocks
    let first = task % blocks * block
    var state = QueryBlock(
      self, head: head, tokens: first..<min(tokens, first + block), scratch: scratch + worker * scratchStride)
    state.loadQueries()
    let span = spans[head]
    for page in 0..<(span.slots + KVLayout.slotsPerPage - 1) / KVLayout.slotsPerPage { state.add(page: page, of: span) }
    for token in 0..<state.tokens.upperBound { state.add(token: token) }
    state.attend()
    state.storeOutput()
  }
}

/// The work of one task: the queries, the keys gathered so far, the running softmax.
private struct QueryBlock {
  let work: PrefillAttention
  let head: Int
  let tokens: Range<Int>
  let dim: Int
  let rows: Int
  let queries: UnsafeMutablePointer<Float>  // [rows, D]
  let sums: UnsafeMutablePointer<Float>  // [rows, D]
  let scores: UnsafeMutablePointer<Float>  // [rows, keyBlock]
  let maxima: UnsafeMutablePointer<Float>  // [rows]
  let totals: UnsafeMutablePointer<Float>  // [rows]
  let keys: UnsafeMutablePointer<Float>  // [keyBlock, D]
  let values: UnsafeMutablePointer<Float>  // [keyBlock, D]
  let visibleFrom: UnsafeMutablePointer<Int32>  // [keyBlock]
  let visibleTo: UnsafeMutablePointer<Int32>  // [keyBlock]
  let page: UnsafeMutablePointer<Float>  // [16, D]
  var gathered = 0

  init(_ work: PrefillAttention, head: Int, tokens: Range<Int>, scratch: UnsafeMutablePointer<Float>) {
    self.work = work
    self.head = head
    self.tokens = tokens
    dim = work.spans[head].layout.headDim
    rows = tokens.count * work.group
    let keyBlock = PrefillAttention.keyBlock
    queries = scratch
    sums = queries + rows * dim
    scores = sums + rows * dim
    maxima = scores + rows * keyBlock
    totals = maxima + rows
    keys = totals + rows
    values = keys + keyBlock * dim
    page = values + keyBlock * dim
    let lifetimes = UnsafeMutableRawPointer(page + KVLayout.slotsPerPage * dim)
    visibleFrom = lifetimes.bindMemory(to: Int32.self, capacity: 2 * keyBlock)
    visibleTo = visibleFrom + keyBlock
    sums.update(repeating: 0, count: rows * dim)
    maxima.update(repeating: -.infinity, count: rows)
    totals.update(repeating: 0, count: rows)
  }

  private var heads: Int { work.kvHeads * work.group }

  func loadQueries() {
    let scale = 1 / Float(dim).squareRoot()
    let width = work.group * dim
    for (place, token) in tokens.enumerated() {
      let source = work.queries + (token * heads + head * work.group) * dim
      for index in 0..<width { queries[place * width + index] = source[index] * scale }
    }
  }

  /// Gathers those slots of a page that some query of the block can see.
  mutating func add(page index: Int, of span: KVSpan) {
    let first = index * KVLayout.slotsPerPage
    let count = min(KVLayout.slotsPerPage, span.slots - first)
    let last = work.lifetimes[head].cached
    let earliest = Int32(work.firstPosition + tokens.lowerBound)
    var visible: UInt32 = 0
    for slot in 0..<count where last.map({ $0[first + slot] >= earliest }) ?? true { visible |= 1 << UInt32(slot) }
    guard visible != 0 else { return }
    if gathered + visible.nonzeroBitCount > PrefillAttention.keyBlock { attend() }
    let place = gathered
    let wide = span.keys(page: index, scratch: page)
    forEachBit(visible) { slot in
      for channel in 0..<dim { keys[gathered * dim + channel] = wide[channel * KVLayout.slotsPerPage + slot] }
      visibleFrom[gathered] = 0
      visibleTo[gathered] = last.map { $0[first + slot] } ?? KeyLifetimes.lasting
      gathered += 1
    }
    gathered = place
    let rows = span.values(page: index, scratch: page)
    forEachBit(visible) { slot in
      (values + gathered * dim).update(from: rows + slot * dim, count: dim)
      gathered += 1
    }
  }

  mutating func add(token: Int) {
    let last = work.lifetimes[head].chunk[token]
    guard last >= Int32(work.firstPosition + tokens.lowerBound) else { return }
    if gathered == PrefillAttention.keyBlock { attend() }
    let source = (token * work.kvHeads + head) * dim
    (keys + gathered * dim).update(from: work.keys + source, count: dim)
    (values + gathered * dim).update(from: work.values + source, count: dim)
    visibleFrom[gathered] = Int32(work.firstPosition + token)
    visibleTo[gathered] = last
    gathered += 1
  }

  /// Attends to the gathered keys and forgets them.
  mutating func attend() {
    guard gathered > 0 else { return }
    let stride = PrefillAttention.keyBlock
    multiply(rows, gathered, dim, queries, dim, keys, dim, transposed: true, scores, stride, accumulating: false)
    maskInvisible()
    // A whole number of vectors; what is added weighs nothing.
    let padded = min(stride, (gathered + 15) / 16 * 16)
    for row in 0..<rows {
      for key in gathered..<padded { scores[row * stride + key] = -.infinity }
      foldSoftmax(
        scores + row * stride, padded, maximum: &maxima[row], sum: &totals[row], output: sums + row * dim, dim,
        work.instructions)
    }
    multiply(rows, dim, gathered, scores, stride, values, dim, transposed: false, sums, dim, accumulating: true)
    gathered = 0
  }

  private func maskInvisible() {
    let first = Int32(work.firstPosition + tokens.lowerBound)
    let last = Int32(work.firstPosition + tokens.upperBound - 1)
    for key in 0..<gathered where visibleFrom[key] > first || visibleTo[key] < last {
      for (place, token) in tokens.enumerated() {
        let position = Int32(work.firstPosition + token)
        guard position < visibleFrom[key] || position > visibleTo[key] else { continue }
        for member in 0..<work.group {
          scores[(place * work.group + member) * PrefillAttention.keyBlock + key] = -.infinity
        }
      }
    }
  }

  func storeOutput() {
    let width = work.group * dim
    for (place, token) in tokens.enumerated() {
      let out = work.output + (token * heads + head * work.group) * dim
      for member in 0..<work.group {
        let inverse = 1 / totals[place * work.group + member]
        for channel in 0..<dim { out[member * dim + channel] = sums[place * width + member * dim + channel] * inverse }
      }
    }
  }
}

@inline(__always)
private func forEachBit(_ bits: UInt32, _ body: (Int) -> Void) {
  var left = bits
  while left != 0 {
    body(left.trailingZeroBitCount)
    left &= left - 1
  }
}
