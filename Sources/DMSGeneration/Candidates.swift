// The tokens of a vocabulary that may be chosen, with their weights, and the draw among them: top-k, top-p, min-p.
//
//   weight = e^((logit − largest) / temperature), in fp32; sums in double
//
// A vocabulary is large and sorting it slow (150,000 tokens: 20 ms, half a decode step), so nothing is sorted that the draw does
// not need. Weights fall into groups by their exponent and three bits of the mantissa. What top-p keeps, the most likely
// first, is whole groups and the beginning of one more; the draw ends in one of them. Those two alone are sorted.
//
// V tokens of the vocabulary

import DMSKernels

/// What may be chosen in the place of one token. Allocates nothing but the members of two groups.
struct Candidates {
  /// What top-k left, in order; empty: all of the vocabulary.
  private var ids: [Int32] = []
  /// `[V]`, or of `ids`.
  private var weights: [Float] = []
  /// The sum of each group's weights, for top-p.
  private var masses = [Double](repeating: 0, count: 128 * 8)

  init(vocabulary: Int) { weights.reserveCapacity(vocabulary) }

  /// A token of those that `options` leave. Cost: O(V) without, O(V log k) with top-k.
  ///
  /// - Parameters:
  ///   - largest: the largest logit, finite.
  ///   - uniform: a random number of [0, 1).
  mutating func draw(_ logits: [Float], largest: Float, _ options: SamplingOptions, uniform: Double) -> Int {
    weigh(logits, largest, options)
    return options.topP < 1 ? drawByLikelihood(logits, options, uniform) : drawByID(Float(options.minP), uniform)
  }

  private mutating func weigh(_ logits: [Float], _ largest: Float, _ options: SamplingOptions) {
    ids.removeAll(keepingCapacity: true)
    weights.removeAll(keepingCapacity: true)
    if options.topK > 0, options.topK < logits.count {
      ids = Self.mostLikely(options.topK, logits)
      for id in ids { weights.append(logits[Int(id)]) }
    } else {
      weights.append(contentsOf: logits)
    }
    // Neither 0 nor infinite: the largest weight is 1, and that of -inf is 0, at any temperature.
    let inverse = Float(min(max(1 / options.temperature, 1e-30), 1e30))
    weights.withUnsafeMutableBufferPointer { weights in
      guard let base = weights.baseAddress else { return }
      forSixteens(weights.count, base) { exponential(($1 - largest) * inverse) }
    }
  }

  /// A token's id, by its place among the weights.
  private func id(_ place: Int) -> Int { ids.isEmpty ? place : Int(ids[place]) }

  private func drawByID(_ least: Float, _ uniform: Double) -> Int {
    var total = 0.0
    for weight in weights where weight >= least { total += Double(weight) }
    let target = uniform * total
    var (seen, last) = (0.0, 0)
    for place in weights.indices where weights[place] >= least && weights[place] > 0 {
      seen += Double(weights[place])
      last = place
      if seen > target { break }
    }
    return id(last)
  }

  // MARK: Top-p

  private mutating func drawByLikelihood(_ logits: [Float], _ options: SamplingOptions, _ uniform: Double) -> Int {
    masses.withUnsafeMutableBufferPointer { masses in
      masses.update(repeating: 0)
      for weight in weights { masses[Self.group(weight)] += Double(weight) }
    }
    // A token stays while those before it have less than p; the first one always does.
    let most = options.topP * masses.reduce(0, +)
    let least = Float(options.minP)
    var (end, before) = (0, 0.0)
    while end < masses.count - 1, end < Self.group(least), before + masses[end] < most {
      before += masses[end]
      end += 1
    }
    var (kept, mass) = ([Int](), before)
    for place in members(of: end, logits) {
      guard weights[place] >= least, mass < most || mass == 0 else { break }
      kept.append(place)
      mass += Double(weights[place])
    }
    // A random number near 1 may round to the whole mass.
    let target = min(uniform * mass, mass.nextDown)
    var seen = 0.0
    for group in 0..<end {
      guard seen + masses[group] <= target else {
        kept = members(of: group, logits)
        break
      }
      seen += masses[group]
    }
    for place in kept {
      seen += Double(weights[place])
      if seen > target { return id(place) }
    }
    // A group's sum in another order rounds otherwise.
    return kept.last.map(id) ?? 0
  }

  /// Groups of falling weights: a weight of 1 is in the first, those of a group differ by less than an eighth.
  private static func group(_ weight: Float) -> Int {
    let bitsBelowOne = Int(Float(1).bitPattern) - Int(weight.bitPattern)
    return min(128 * 8 - 1, max(0, bitsBelowOne + (1 << 20) - 1) >> 20)
  }

  /// The places of a group's weights, the most likely first; of equal logits the smaller id.
  private func members(of group: Int, _ logits: [Float]) -> [Int] {
    let places = weights.indices.filter { Self.group(weights[$0]) == group }
    return places.sorted { Self.isBefore(id($0), id($1), logits) }
  }

  private static func isBefore(_ a: Int, _ b: Int, _ logits: [Float]) -> Bool { (logits[b], a) < (logits[a], b) }

  // MARK: Top-k

  /// The k most likely tokens, by id: a heap whose root is the least of them, so that the cost is V log k at worst.
  private static func mostLikely(_ k: Int, _ logits: [Float]) -> [Int32] {
    var heap = Array(0..<k)
    func sink(_ start: Int) {
      var parent = start
      while true {
        var child = 2 * parent + 1
        guard child < k else { return }
        if child + 1 < k, isBefore(heap[child], heap[child + 1], logits) { child += 1 }
        guard isBefore(heap[parent], heap[child], logits) else { return }
        heap.swapAt(parent, child)
        parent = child
      }
    }
    for parent in stride(from: k / 2, through: 0, by: -1) { sink(parent) }
    for id in k..<logits.count where isBefore(id, heap[0], logits) {
      heap[0] = id
      sink(0)
    }
    return heap.sorted().map { Int32($0) }
  }
}
