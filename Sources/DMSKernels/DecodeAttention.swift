// Attention of one new token over a head's live slots: softmax(q Kᵀ / √D) V, with the softmax folded in as the blocks go by
// (Milakov and Gimelshein, 2018), so that scratch memory does not grow with the context. All query heads of a KV head's
// group go together and share each load of its keys and values.
//
// A head with many slots is cut into pieces of a fixed length, so that a few heads can keep many processors busy; what the
// pieces found is put together in their order. Where the cuts are depends on the slots alone, and so does the result.
//
// S sequences · H query heads · G KV heads · R = H / G · D head dim

import DMSPlatform
import DMSTensor

/// Attention of one new token of each sequence over the live slots of its heads, `softmax(q Kᵀ / √D) V`. One task per
/// (KV head, sequence, piece), head by head, so that a memory node's heads are a run of tasks. Where a head has several
/// pieces, `combination` is to be run afterwards.
public struct DecodeAttention: ParallelWork {
  /// Slots whose scores are held at once.
  static let block = 256

  /// Slots of a piece of a head; whole blocks.
  public static let piece = 1024

  let spans: UnsafePointer<KVSpan>
  let queries: UnsafePointer<Float>
  let output: UnsafeMutablePointer<Float>
  let sequences: Int
  let kvHeads: Int
  let group: Int
  let scratch: UnsafeMutablePointer<Float>
  let scratchStride: Int
  let partials: UnsafeMutablePointer<Float>
  let instructions: InstructionSet
  /// Pieces of the longest head.
  let pieces: Int

  /// Prepares the attention of S sequences with G KV heads and `group` query heads for each.
  ///
  /// - Parameters:
  ///   - spans: `[S, G]`.
  ///   - queries: `[S, H, D]`, after RoPE, not scaled.
  ///   - output: `[S, H, D]`.
  ///   - scratch: for each worker `scratchStride` numbers, at least `scratchCount`.
  ///   - partials: `partialCount` numbers for each (sequence, KV head), by the longest of the heads.
  public init(
    spans: UnsafePointer<KVSpan>, queries: UnsafePointer<Float>, output: UnsafeMutablePointer<Float>, sequences: Int,
    kvHeads: Int, group: Int, scratch: UnsafeMutablePointer<Float>, scratchStride: Int,
    partials: UnsafeMutablePointer<Float>, instructions: InstructionSet
  ) {
    self.partials = partials
    var longest = 0
    for place in 0..<sequences * kvHeads { longest = max(longest, spans[place].slots) }
    pieces = Self.pieces(longest)
    self.instructions = instructions
    self.spans = spans
    self.queries = queries
    self.output = output
    self.sequences = sequences
    self.kvHeads = kvHeads
    self.group = group
    self.scratch = scratch
    self.scratchStride = scratchStride
  }

  /// Numbers of scratch memory that a worker needs: scaled queries, one page, scores and the state of each query.
  public static func scratchCount(group: Int, headDim: Int) -> Int {
    group * headDim + KVLayout.slotsPerPage * headDim + group * block + 2 * group
  }

  private static func pieces(_ slots: Int) -> Int { max(1, (slots + piece - 1) / piece) }

  /// Numbers that a head of up to `slots` slots needs for what its pieces found; 0 for a head of one piece.
  public static func partialCount(slots: Int, group: Int, headDim: Int) -> Int {
    slots > piece ? pieces(slots) * group * (headDim + 2) : 0
  }

  /// Pieces of all heads, as many for each as the longest has.
  public var tasks: Int { sequences * kvHeads * pieces }

  /// Attends to a piece of a head.
  public func run(task: Int, worker: Int) {
    let place = task / pieces % sequences * kvHeads + task / pieces / sequences
    let start = task % pieces * Self.piece
    let span = spans[place]
    guard start < span.slots else { return }
    let end = min(span.slots, start + Self.piece)
    let dim = span.layout.headDim
    let scaled = scratch + worker * scratchStride
    let page = scaled + group * dim
    let scores = page + KVLayout.slotsPerPage * dim
    let isWhole = span.slots <= Self.piece
    let out = isWhole ? output + place * group * dim : partial(place, task % pieces, dim)
    let maxima = isWhole ? scores + group * Self.block : out + group * dim
    let sums = maxima + group
    let scale = 1 / Float(dim).squareRoot()
    // Channels by queries, so that the queries of a channel lie together.
    for query in 0..<group {
      let source = queries + (place * group + query) * dim
      for channel in 0..<dim { scaled[channel * group + query] = source[channel] * scale }
    }
    out.update(repeating: 0, count: group * dim)
    let kernels = PageKernels(instructions: instructions, group: group, dim: dim, stride: Self.block)
    maxima.update(repeating: -.infinity, count: group)
    sums.update(repeating: 0, count: group)

    let lastPage = (span.slots - 1) / KVLayout.slotsPerPage
    var first = start
    while first < end {
      let count = min(Self.block, end - first)
      let firstPage = first / KVLayout.slotsPerPage
      let pages = firstPage..<firstPage + (count + KVLayout.slotsPerPage - 1) / KVLayout.slotsPerPage
      span.forEachRun(of: pages, .keys, kernels, scratch: page) { run, keys, type in
        let next =
          run.upperBound < pages.upperBound ? span.keyBytes(page: run.upperBound) : span.valueBytes(page: firstPage)
        kernels.score(scaled, keys, type, next: next, scores + (run.lowerBound - firstPage) * KVLayout.slotsPerPage)
      }
      let padded = pages.count * KVLayout.slotsPerPage
      for query in 0..<group {
        let row = scores + query * Self.block
        for slot in count..<padded { row[slot] = -.infinity }
        foldSoftmax(
          row, padded, maximum: &maxima[query], sum: &sums[query], output: out + query * dim, dim, instructions)
      }
      span.forEachRun(of: pages, .values, kernels, scratch: page) { run, values, type in
        let following = min(run.upperBound, lastPage)
        let next = run.upperBound < pages.upperBound ? span.valueBytes(page: following) : span.keyBytes(page: following)
        let slot = (run.lowerBound - firstPage) * KVLayout.slotsPerPage
        let live = min(run.count * KVLayout.slotsPerPage, count - slot)
        kernels.weigh(scores + slot, values, type, next: next, live: live, out)
      }
      first += count
    }
    guard isWhole else { return }
    for query in 0..<group {
      let inverse = 1 / sums[query]
      for channel in 0..<dim { out[query * dim + channel] *= inverse }
    }
  }

  /// What a piece found: the outputs `[R, D]`, relative to the maxima `[R]`, and the sums `[R]`.
  private func partial(_ place: Int, _ piece: Int, _ dim: Int) -> UnsafeMutablePointer<Float> {
    partials + (place * pieces + piece) * group * (dim + 2)
  }

  /// Work to be run after this one; `nil` where no head has several pieces.
  public var combination: Combination? { pieces > 1 ? Combination(attention: self) : nil }

  /// Puts the pieces of each head together, in their order. One task per (sequence, KV head).
  public struct Combination: ParallelWork {
    let attention: DecodeAttention

    /// KV heads of all sequences.
    public var tasks: Int { attention.sequences * attention.kvHeads }

    /// Puts a head's pieces together.
    public func run(task place: Int, worker: Int) {
      let span = attention.spans[place]
      guard span.slots > DecodeAttention.piece else { return }
      let (group, dim) = (attention.group, span.layout.headDim)
      let pieces = DecodeAttention.pieces(span.slots)
      for query in 0..<group {
        var maximum = -Float.infinity
        for piece in 0..<pieces {
          maximum = max(maximum, attention.partial(place, piece, dim)[group * dim + query])
        }
        let out = attention.output + (place * group + query) * dim
        out.update(repeating: 0, count: dim)
        var sum: Float = 0
        for piece in 0..<pieces {
          let found = attention.partial(place, piece, dim)
          let weight = exponential(SIMD16(repeating: found[group * dim + query] - maximum))[0]
          sum += found[group * dim + group + query] * weight
          for channel in 0..<dim { out[channel] += found[query * dim + channel] * weight }
        }
        for channel in 0..<dim { out[channel] /= sum }
      }
    }
  }
}
