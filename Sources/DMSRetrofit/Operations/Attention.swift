// Causal attention within documents, with a bias for keys that have left the window. Scores of one block of queries at a
// time: never T × T for a head, let alone for all.
//
// N rows · T tokens of a document · G KV heads · R query heads of a group · D head dim · w window
//
//   S[t, i] = q_t · k_i / √D (+ bias[i] where t − i > w), i ≤ t        P = softmax(S)        O = P V
//
//   dV = Pᵀ dO    dP = dO Vᵀ    dS = P (dP − Σ dO·O)    dQ = dS K / √D    dK = dSᵀ Q / √D    dbias[i] = Σ dS[t, i], t − i > w

import DMSKernels
import DMSPlatform
import Glibc

struct Attention {
  let kvHeads: Int
  let group: Int
  let headDim: Int
  /// `nil`: nothing leaves.
  let window: Int?
  let products: ProductType

  /// Queries of a block, times R rows of scores.
  static let block = 64

  /// Numbers of scratch memory for each worker.
  func scratch(longest: Int) -> Int { Self.block * group * (2 * longest + headDim + 1) }

  /// A task's place: a document and a KV head.
  private struct Place {
    let first: Int
    let tokens: Int
    let kvHead: Int
  }

  /// Where things lie. Values are read in place, in rows of `[queries | keys | values]`.
  struct Inputs {
    let queries: UnsafePointer<Float>  // [G, N, R, D]
    let keys: UnsafePointer<Float>  // [G, N, D]
    let values: UnsafePointer<Float>  // the values' part of [N, P]
    let valueStride: Int  // P
    let bias: UnsafePointer<Float>?  // [G, N]
    let rows: Int
    let documents: [Range<Int>]
  }

  private var scale: Float { 1 / Float(headDim).squareRoot() }

  /// - Parameters:
  ///   - output: `[N, H, D]`.
  ///   - logSums: `[G, N, R]`, log Σ exp S of each query.
  ///   - scratch: for each worker.
  func forward(
    _ inputs: Inputs, to output: Floats, logSums: Floats, scratch: Floats, stride scratchStride: Int, _ pool: ThreadPool
  ) {
    forPlaces(inputs, pool) { place, worker in
      let scores = scratch + worker * scratchStride
      let sums = scores + Self.block * group * place.tokens
      forBlocks(place) { first, count in
        let keys = first + count
        self.scores(inputs, place, first, count, to: scores)
        let logSum = logSums + (place.kvHead * inputs.rows + place.first + first) * group
        let shares = sums + Self.block * group * headDim
        for row in 0..<count * group {
          (logSum[row], shares[row]) = softmax(scores + row * keys, visible: first + row / group + 1, of: keys)
        }
        multiply(
          count * group, headDim, keys, scores, keys, values(inputs, place), inputs.valueStride, transposed: false,
          sums,
          headDim, accumulating: false, in: products)
        for row in 0..<count * group {
          let (out, sum) = (self.row(output, place, first, row), sums + row * headDim)
          for channel in 0..<headDim { out[channel] = sum[channel] * shares[row] }
        }
      }
    }
  }

  /// - Parameters:
  ///   - output, dOutput: `[N, H, D]`.
  ///   - dQueries: `[G, N, R, D]`, replaced.
  ///   - dKeys: `[G, N, D]`, replaced.
  ///   - dValues: the values' part of `[N, P]`, replaced.
  ///   - dBias: `[G, N]`, replaced.
  func backward(
    _ inputs: Inputs, output: Floats, logSums: UnsafePointer<Float>, dOutput: Floats, dQueries: Floats, dKeys: Floats,
    dValues: Floats, dBias: Floats, scratch: Floats, stride scratchStride: Int, _ pool: ThreadPool
  ) {
    forPlaces(inputs, pool) { place, worker in
      let p = scratch + worker * scratchStride
      let dp = p + Self.block * group * place.tokens
      let dOut = dp + Self.block * group * place.tokens
      let head = place.kvHead * inputs.rows + place.first
      let (dKey, dValue) = (dKeys + head * headDim, dValues + place.first * inputs.valueStride + place.kvHead * headDim)
      let (queries, keys) = (inputs.queries + head * group * headDim, inputs.keys + head * headDim)
      dKey.update(repeating: 0, count: place.tokens * headDim)
      for token in 0..<place.tokens { (dValue + token * inputs.valueStride).update(repeating: 0, count: headDim) }
      (dBias + head).update(repeating: 0, count: place.tokens)
      forBlocks(place) { first, count in
        let (seen, rows) = (first + count, count * group)
        scores(inputs, place, first, count, to: p)
        for row in 0..<rows {
          (dOut + row * headDim).update(from: self.row(dOutput, place, first, row), count: headDim)
        }
        multiply(
          rows, seen, headDim, dOut, headDim, values(inputs, place), inputs.valueStride, transposed: true, dp, seen,
          accumulating: false, in: products)
        for row in 0..<rows {
          let visible = first + row / group + 1
          let inner = dot(dOut + row * headDim, self.row(output, place, first, row), headDim)
          softmaxBackward(
            p + row * seen, dp + row * seen, logSum: logSums[(head + first) * group + row], inner: inner,
            visible: visible, of: seen)
          guard let window, inputs.bias != nil else { continue }
          let (ds, sums) = (dp + row * seen, dBias + head)
          for key in 0..<max(0, visible - 1 - window) { sums[key] += ds[key] }
        }
        multiply(
          seen, headDim, rows, p, seen, transposedA: true, dOut, headDim, transposed: false, dValue, inputs.valueStride,
          accumulating: true, in: products)
        multiply(
          rows, headDim, seen, dp, seen, keys, headDim, transposed: false,
          dQueries + (head + first) * group * headDim, headDim, accumulating: false, alpha: scale, in: products)
        multiply(
          seen, headDim, rows, dp, seen, transposedA: true, queries + first * group * headDim, headDim,
          transposed: false, dKey, headDim, accumulating: true, alpha: scale, in: products)
      }
    }
  }

  /// Long documents first: what is left at the end is short.
  private func forPlaces(_ inputs: Inputs, _ pool: ThreadPool, _ body: (Place, _ worker: Int) -> Void) {
    let order = inputs.documents.indices.sorted {
      (-inputs.documents[$0].count, $0) < (-inputs.documents[$1].count, $1)
    }
    pool.forEach(order.count * kvHeads) { task, worker in
      let document = inputs.documents[order[task / kvHeads]]
      body(Place(first: document.lowerBound, tokens: document.count, kvHead: task % kvHeads), worker)
    }
  }

  private func forBlocks(_ place: Place, _ body: (_ first: Int, _ count: Int) -> Void) {
    for first in stride(from: 0, to: place.tokens, by: Self.block) {
      body(first, min(Self.block, place.tokens - first))
    }
  }

  /// A row of a block in `[N, H, D]`.
  @inline(__always)
  private func row(_ base: Floats, _ place: Place, _ first: Int, _ row: Int) -> Floats {
    base + (((place.first + first + row / group) * kvHeads + place.kvHead) * group + row % group) * headDim
  }

  private func values(_ inputs: Inputs, _ place: Place) -> UnsafePointer<Float> {
    inputs.values + place.first * inputs.valueStride + place.kvHead * headDim
  }

  /// S of a block, `[count · R, first + count]`, with the bias; what lies after a query's own token is arbitrary.
  private func scores(_ inputs: Inputs, _ place: Place, _ first: Int, _ count: Int, to scores: Floats) {
    let (head, keys) = (place.kvHead * inputs.rows + place.first, first + count)
    multiply(
      count * group, keys, headDim, inputs.queries + (head + first) * group * headDim, headDim,
      inputs.keys + head * headDim, headDim, transposed: true, scores, keys, accumulating: false, alpha: scale,
      in: products)
    guard let window, let bias = inputs.bias.map({ $0 + head }) else { return }
    for row in 0..<count * group {
      let out = scores + row * keys
      for key in 0..<max(0, first + row / group - window) { out[key] += bias[key] }
    }
  }
}

/// A row of scores to weights, zeros after the visible ones. Returns log Σ exp, and what makes the weights sum to 1.
private func softmax(_ row: Floats, visible: Int, of count: Int) -> (logSum: Float, share: Float) {
  let largest = largestOf(row, visible, atLeast: -.infinity)
  var lanes = SIMD16<Float>()
  forSixteens(visible, row) { index, x in
    var weights = exponential(x - largest)
    // The padding of the last call is no key.
    if index + 16 > visible { for lane in visible - index..<16 { weights[lane] = 0 } }
    lanes += weights
    return weights
  }
  var sum: Float = 0
  for lane in 0..<16 { sum += lanes[lane] }
  for index in visible..<count { row[index] = 0 }
  return (largest + log(sum), 1 / sum)
}

/// Scores to weights, and `dp` to dS.
private func softmaxBackward(_ row: Floats, _ dp: Floats, logSum: Float, inner: Float, visible: Int, of count: Int) {
  forSixteens(visible, row) { _, x in exponential(x - logSum) }
  for index in 0..<visible { dp[index] = row[index] * (dp[index] - inner) }
  for index in visible..<count {
    row[index] = 0
    dp[index] = 0
  }
}
