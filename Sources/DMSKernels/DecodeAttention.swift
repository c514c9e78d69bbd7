// Attention of one new token over a head's live slots: softmax(q Kᵀ / √D) V, with the softmax folded in as the blocks go by
// (Milakov and Gimelshein, 2018), so that scratch memory does not grow with the context. All query heads of a KV head's
// group go together and share each load of its keys and values.
//
// S sequences · H query heads · G KV heads · R = H / G · D head dim

import DMSPlatform
import DMSTensor

/// One task per (KV head, sequence), head by head, so that a memory node's heads are a run of tasks. The sums run in the
/// order of the slots: the result depends on nothing else.
public struct DecodeAttention: ParallelWork {
  /// Slots whose scores are held at once.
  static let block = 256

  let spans: UnsafePointer<KVSpan>
  let queries: UnsafePointer<Float>
  let output: UnsafeMutablePointer<Float>
  let sequences: Int
  let kvHeads: Int
  let group: Int
  let scratch: UnsafeMutablePointer<Float>
  let scratchStride: Int
  let instructions: InstructionSet

  /// - Parameters:
  ///   - spans: `[S, G]`.
  ///   - queries: `[S, H, D]`, after RoPE, not scaled.
  ///   - output: `[S, H, D]`.
  ///   - scratch: for each worker `scratchStride` numbers, at least `scratchCount`.
  public init(
    spans: UnsafePointer<KVSpan>, queries: UnsafePointer<Float>, output: UnsafeMutablePointer<Float>, sequences: Int,
    kvHeads: Int, group: Int, scratch: UnsafeMutablePointer<Float>, scratchStride: Int,
    instructions: InstructionSet
  ) {
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

  public var tasks: Int { sequences * kvHeads }

  public func run(task: Int, worker: Int) {
    let place = task % sequences * kvHeads + task / sequences
    let span = spans[place]
    let dim = span.layout.headDim
    let scaled = scratch + worker * scratchStride
    let page = scaled + group * dim
    let scores = page + KVLayout.slotsPerPage * dim
    let maxima = scores + group * Self.block
    let sums = maxima + group
    let out = output + place * group * dim
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
    var first = 0
    while first < span.slots {
      let count = min(Self.block, span.slots - first)
      let firstPage = first / KVLayout.slotsPerPage
      let pages = (count + KVLayout.slotsPerPage - 1) / KVLayout.slotsPerPage
      for index in 0..<pages {
        let (keys, type) = span.keys(page: firstPage + index, for: kernels, scratch: page)
        let next = index + 1 < pages ? span.keyBytes(page: firstPage + index + 1) : span.valueBytes(page: firstPage)
        kernels.score(scaled, keys, type, next: next, scores + index * KVLayout.slotsPerPage)
      }
      for query in 0..<group {
        let row = scores + query * Self.block
        for slot in count..<(pages * KVLayout.slotsPerPage) { row[slot] = -.infinity }
        foldSoftmax(
          row, pages * KVLayout.slotsPerPage, maximum: &maxima[query], sum: &sums[query], output: out + query * dim,
          dim,
          instructions)
      }
      for index in 0..<pages {
        let (values, type) = span.values(page: firstPage + index, for: kernels, scratch: page)
        let following = min(firstPage + index + 1, lastPage)
        let next = index + 1 < pages ? span.valueBytes(page: following) : span.keyBytes(page: following)
        let live = min(KVLayout.slotsPerPage, count - index * KVLayout.slotsPerPage)
        kernels.weigh(scores + index * KVLayout.slotsPerPage, values, type, next: next, live: live, out)
      }
      first += count
    }
    for query in 0..<group {
      let inverse = 1 / sums[query]
      for channel in 0..<dim { out[query * dim + channel] *= inverse }
    }
  }
}
