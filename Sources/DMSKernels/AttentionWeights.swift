// The weights that attention gave to a head's slots, computed once more for those who must know them: attention itself folds its
// softmax in as blocks go by and has no weights to show. Policies that do not ask pay nothing.
//
//   w[n, r, j] = softmax over j of q[n, r] · k[j] / √D,   j over the slots whose token is not after the query's
//   sum:     out[j] = Σ_n Σ_r w[n, r, j]
//   largest: out[j] = Σ_n max_r w[n, r, j]
//
// N queries · H query heads · G KV heads · R = H / G · D head dim · S slots

import DMSPlatform
import DMSTensor

/// The attention weights of the last queries of one sequence over the live slots of a layer's heads, summed over the queries.
/// One task per KV head. Cost: N · H · S · D multiplications, and the keys are read N times from cache.
public struct AttentionWeights: ParallelWork {
  /// What becomes of the weights of a KV head's query heads.
  public enum Reduction: Sendable { case sum, largest }

  /// The sequence's last queries.
  public struct Queries {
    let base: UnsafePointer<Float>
    let count: Int
    let last: Int

    /// - Parameters:
    ///   - base: `[N, H, D]`, after RoPE, not scaled, in the order of their positions, which leaves none out.
    ///   - last: the position of the last one.
    public init(_ base: UnsafePointer<Float>, count: Int, last: Int) {
      self.base = base
      self.count = count
      self.last = last
    }
  }

  /// A row of numbers for each KV head.
  public struct Rows<Number> {
    let base: Number
    let stride: Int

    /// - Parameter stride: numbers from one head's row to the next one's.
    public init(_ base: Number, stride: Int) {
      self.base = base
      self.stride = stride
    }
  }

  let spans: UnsafePointer<KVSpan>
  let positions: Rows<UnsafePointer<Float>>
  let queries: Queries
  let reduction: Reduction
  let output: Rows<UnsafeMutablePointer<Float>>
  let group: Int
  let kvHeads: Int
  let scratch: Rows<UnsafeMutablePointer<Float>>
  let instructions: InstructionSet

  /// Prepares the weights of a layer.
  ///
  /// - Parameters:
  ///   - spans: `[G]`.
  ///   - positions: the position of each slot's token.
  ///   - output: S numbers for each head, and room up to the next multiple of 16.
  ///   - heads: KV heads, and query heads of each.
  ///   - scratch: `scratchCount` numbers for each worker.
  public init(
    of queries: Queries, spans: UnsafePointer<KVSpan>, positions: Rows<UnsafePointer<Float>>, reduction: Reduction,
    output: Rows<UnsafeMutablePointer<Float>>, heads: (kv: Int, group: Int),
    scratch: Rows<UnsafeMutablePointer<Float>>, instructions: InstructionSet
  ) {
    self.queries = queries
    self.spans = spans
    self.positions = positions
    self.reduction = reduction
    self.output = output
    (kvHeads, group) = heads
    self.scratch = scratch
    self.instructions = instructions
  }

  /// Numbers of scratch memory that a worker needs: scaled queries, one page, scores.
  public static func scratchCount(slots: Int, group: Int, headDim: Int) -> Int {
    group * headDim + KVLayout.slotsPerPage * headDim + group * padded(slots)
  }

  /// Slots in whole pages.
  public static func padded(_ slots: Int) -> Int {
    (slots + KVLayout.slotsPerPage - 1) / KVLayout.slotsPerPage * KVLayout.slotsPerPage
  }

  /// KV heads.
  public var tasks: Int { kvHeads }

  /// Computes a head's weights.
  public func run(task kvHead: Int, worker: Int) {
    let span = spans[kvHead]
    let (dim, slots, padded) = (span.layout.headDim, span.slots, Self.padded(span.slots))
    let scaled = scratch.base + worker * scratch.stride
    let page = scaled + group * dim
    let scores = page + KVLayout.slotsPerPage * dim
    let out = output.base + kvHead * output.stride
    out.update(repeating: 0, count: padded)
    guard slots > 0 else { return }
    let kernels = PageKernels(instructions: instructions, group: group, dim: dim, stride: padded)
    let scale = 1 / Float(dim).squareRoot()
    for query in 0..<queries.count {
      let source = queries.base + (query * kvHeads + kvHead) * group * dim
      for member in 0..<group {
        for channel in 0..<dim { scaled[channel * group + member] = source[member * dim + channel] * scale }
      }
      score(span, scaled, page, scores, kernels)
      let position = queries.last - (queries.count - 1 - query)
      mask(scores, slots..<padded, after: position, positions.base + kvHead * positions.stride)
      fold(scores, padded, to: out)
    }
  }

  private func score(
    _ span: KVSpan, _ scaled: UnsafePointer<Float>, _ page: UnsafeMutablePointer<Float>,
    _ scores: UnsafeMutablePointer<Float>, _ kernels: PageKernels
  ) {
    let all = (span.slots + KVLayout.slotsPerPage - 1) / KVLayout.slotsPerPage
    let block = DecodeAttention.block / KVLayout.slotsPerPage
    for first in stride(from: 0, to: all, by: block) {
      let pages = first..<min(all, first + block)
      span.forEachRun(of: pages, .keys, kernels, scratch: page) { run, keys, type in
        let next = span.keyBytes(page: min(run.upperBound, all - 1))
        kernels.score(scaled, keys, type, next: next, scores + run.lowerBound * KVLayout.slotsPerPage)
      }
    }
  }

  /// Hides what is no slot, and slots whose tokens come after the query.
  private func mask(
    _ scores: UnsafeMutablePointer<Float>, _ padding: Range<Int>, after position: Int,
    _ positions: UnsafePointer<Float>
  ) {
    let hasLater = position < queries.last
    for member in 0..<group {
      let row = scores + member * padding.upperBound
      for slot in padding { row[slot] = -.infinity }
      guard hasLater else { continue }
      for slot in 0..<padding.lowerBound where positions[slot] > Float(position) { row[slot] = -.infinity }
    }
  }

  /// Adds a query's weights to the output.
  private func fold(_ scores: UnsafeMutablePointer<Float>, _ padded: Int, to out: UnsafeMutablePointer<Float>) {
    for member in 0..<group {
      let row = scores + member * padded
      var (maximum, sum) = (-Float.infinity, Float(0))
      foldSoftmax(row, padded, maximum: &maximum, sum: &sum, output: out, 0, instructions)
      // A query whose visible tokens have all gone gives no weights.
      let inverse = sum > 0 ? 1 / sum : 0
      forSixteens(padded, row) { _, weights in weights * inverse }
      guard reduction == .largest, member > 0 else { continue }
      forSixteens(padded, scores) { index, largest in
        let weights = UnsafeRawPointer(row + index).loadUnaligned(as: SIMD16<Float>.self)
        return largest.replacing(with: weights, where: weights .> largest)
      }
    }
    for member in 0..<(reduction == .sum ? group : 1) {
      let row = scores + member * padded
      forSixteens(padded, out) { index, sums in
        sums + UnsafeRawPointer(row + index).loadUnaligned(as: SIMD16<Float>.self)
      }
    }
  }
}
