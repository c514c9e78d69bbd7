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

  /// - Parameters:
  ///   - spans: `[S, G]`.
  ///   - queries: `[S, H, D]`, after RoPE, not scaled.
  ///   - output: `[S, H, D]`.
  ///   - scratch: for each worker `scratchStride` numbers, at least `scratchCount`.
  public init(
    spans: UnsafePointer<KVSpan>, queries: UnsafePointer<Float>, output: UnsafeMutablePointer<Float>, sequences: Int,
    kvHeads: Int, group: Int, scratch: UnsafeMutablePointer<Float>, scratchStride: Int
  ) {
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
    for index in 0..<(group * dim) {
      scaled[index] = queries[place * group * dim + index] * scale
      out[index] = 0
    }
    maxima.update(repeating: -.infinity, count: group)
    sums.update(repeating: 0, count: group)

    var first = 0
    while first < span.slots {
      let count = min(Self.block, span.slots - first)
      let firstPage = first / KVLayout.slotsPerPage
      let pages = (count + KVLayout.slotsPerPage - 1) / KVLayout.slotsPerPage
      for index in 0..<pages {
        let keys = span.keys(page: firstPage + index, scratch: page)
        scorePage(scaled, keys, dim, scores + index * KVLayout.slotsPerPage)
      }
      for query in 0..<group {
        let row = scores + query * Self.block
        for slot in count..<(pages * KVLayout.slotsPerPage) { row[slot] = -.infinity }
        foldSoftmax(
          row, pages * KVLayout.slotsPerPage, maximum: &maxima[query], sum: &sums[query], output: out + query * dim, dim
        )
      }
      for index in 0..<pages {
        let values = span.values(page: firstPage + index, scratch: page)
        let live = min(KVLayout.slotsPerPage, count - index * KVLayout.slotsPerPage)
        weighPage(scores + index * KVLayout.slotsPerPage, values, dim, live, out)
      }
      first += count
    }
    for query in 0..<group {
      let inverse = 1 / sums[query]
      for channel in 0..<dim { out[query * dim + channel] *= inverse }
    }
  }

  /// Sixteen scores for each query of the group: `scores[r, 0..<16] = Σ_d q[r, d] · keys[d, 0..<16]`.
  @inline(__always)
  private func scorePage(
    _ q: UnsafePointer<Float>, _ keys: UnsafePointer<Float>, _ dim: Int, _ scores: UnsafeMutablePointer<Float>
  ) {
    var query = 0
    while query + 2 <= group {
      var first = SIMD16<Float>()
      var second = SIMD16<Float>()
      let (a, b) = (q + query * dim, q + (query + 1) * dim)
      for channel in 0..<dim {
        let row = UnsafeRawPointer(keys + channel * 16).loadUnaligned(as: SIMD16<Float>.self)
        first += row * a[channel]
        second += row * b[channel]
      }
      store(first, scores + query * Self.block)
      store(second, scores + (query + 1) * Self.block)
      query += 2
    }
    if query < group {
      var sum = SIMD16<Float>()
      for channel in 0..<dim {
        sum += UnsafeRawPointer(keys + channel * 16).loadUnaligned(as: SIMD16<Float>.self) * q[query * dim + channel]
      }
      store(sum, scores + query * Self.block)
    }
  }

  /// `out[r, d] += Σ_j weights[r, j] · values[j, d]` over the live slots of a page.
  @inline(__always)
  private func weighPage(
    _ weights: UnsafePointer<Float>, _ values: UnsafePointer<Float>, _ dim: Int, _ live: Int,
    _ out: UnsafeMutablePointer<Float>
  ) {
    for query in 0..<group {
      let weight = weights + query * Self.block
      let sums = out + query * dim
      var channel = 0
      while channel + 16 <= dim {
        var sum = UnsafeRawPointer(sums + channel).loadUnaligned(as: SIMD16<Float>.self)
        for slot in 0..<live {
          sum += UnsafeRawPointer(values + slot * dim + channel).loadUnaligned(as: SIMD16<Float>.self) * weight[slot]
        }
        store(sum, sums + channel)
        channel += 16
      }
      while channel < dim {
        var sum = sums[channel]
        for slot in 0..<live { sum += values[slot * dim + channel] * weight[slot] }
        sums[channel] = sum
        channel += 1
      }
    }
  }
}

@inline(__always)
private func store(_ vector: SIMD16<Float>, _ pointer: UnsafeMutablePointer<Float>) {
  UnsafeMutableRawPointer(pointer).storeBytes(of: vector, as: SIMD16<Float>.self)
}

/// Turns a block of scores into weights relative to the largest score so far, and brings the sum and the output of the
/// blocks before to the same base. A block of which nothing is visible (all −∞) changes nothing.
@inline(__always)
func foldSoftmax(
  _ scores: UnsafeMutablePointer<Float>, _ count: Int, maximum: inout Float, sum: inout Float,
  output: UnsafeMutablePointer<Float>, _ dim: Int
) {
  let largest = largestOf(scores, count, atLeast: maximum)
  let base = largest == -.infinity ? 0 : largest
  if largest != maximum {
    let correction = exponential(SIMD16(repeating: maximum - base))[0]
    sum *= correction
    for channel in 0..<dim { output[channel] *= correction }
    maximum = largest
  }
  var sums = SIMD16<Float>()
  var index = 0
  while index + 16 <= count {
    let raw = UnsafeMutableRawPointer(scores + index)
    let weights = exponential(raw.loadUnaligned(as: SIMD16<Float>.self) - base)
    raw.storeBytes(of: weights, as: SIMD16<Float>.self)
    sums += weights
    index += 16
  }
  var total: Float = 0
  for lane in 0..<16 { total += sums[lane] }
  while index < count {
    scores[index] = exponential(SIMD16(repeating: scores[index] - base))[0]
    total += scores[index]
    index += 1
  }
  sum += total
}

@inline(__always)
private func largestOf(_ scores: UnsafePointer<Float>, _ count: Int, atLeast least: Float) -> Float {
  var lanes = SIMD16<Float>(repeating: least)
  var index = 0
  while index + 16 <= count {
    let values = UnsafeRawPointer(scores + index).loadUnaligned(as: SIMD16<Float>.self)
    lanes.replace(with: values, where: values .> lanes)
    index += 16
  }
  var largest = least
  for lane in 0..<16 where lanes[lane] > largest { largest = lanes[lane] }
  while index < count {
    if scores[index] > largest { largest = scores[index] }
    index += 1
  }
  return largest
}
