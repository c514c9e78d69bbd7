// The weights of attention, beside a plain softmax in double precision.

import DMSPlatform
import DMSTensor
import Testing

@testable import DMSKernels

struct AttentionWeightsTests {
  struct Shape: Sendable, CustomTestStringConvertible {
    let dim: Int
    let group: Int
    var testDescription: String { "D \(dim), R \(group)" }
  }

  static let shapes = [(2, 1), (8, 3), (24, 2), (64, 6), (40, 5)].map { Shape(dim: $0.0, group: $0.1) }

  /// Positions that slots may have after others were given up: not in order, some after the first queries.
  private func positions(_ slots: Int, last: Int, seed: UInt64) -> [Int] {
    var random = SplitMix(seed)
    return Array((0...last).shuffled(using: &random).prefix(slots))
  }

  @Test(arguments: KVType.allCases, shapes)
  func theyAreThoseOfTheTwin(type: KVType, shape: Shape) throws {
    for (count, queryCount) in [1, 15, 16, 17, 255, 256, 257, 700].flatMap({ count in [1, 5].map { (count, $0) } }) {
      let heads = [
        Slots(KVLayout(headDim: shape.dim, type: type), count, seed: UInt64(count)),
        Slots(KVLayout(headDim: shape.dim, type: type), max(1, count - 1), seed: 3) { $0 % 3 == 1 },
      ]
      var random = SplitMix(9)
      let last = count + 7
      let positions = heads.enumerated().map { self.positions($1.count, last: last, seed: UInt64($0)) }
      let queries = random.floats(queryCount * 2 * shape.group * shape.dim)
      for reduction in [AttentionWeights.Reduction.sum, .largest] {
        let expected = heads.indices.map {
          twin(heads[$0], positions[$0], queries, queryCount, last, reduction, shape.group, $0)
        }
        // A score's error δ makes a weight off by e^δ − 1; so many weights up to 1 are summed.
        let terms = Double(queryCount * (reduction == .sum ? shape.group : 1))
        let tolerance = terms * (4 * sumTolerance(shape.dim) + sumTolerance(count))
        for instructions in InstructionSet.available {
          let ours = try weights(heads, positions, queries, queryCount, last, reduction, shape.group, instructions)
          for head in 0..<2 {
            let difference = zip(ours[head], expected[head]).reduce(0) { max($0, abs(Double($1.0) - $1.1)) }
            #expect(
              ours[head].count == expected[head].count && ours[head].allSatisfy(\.isFinite) && difference <= tolerance,
              "\(count) slots, \(queryCount) queries, \(instructions), \(reduction)")
          }
        }
      }
    }
  }

  @Test func aQueryThatSeesNothingGivesNoWeights() throws {
    let head = Slots(KVLayout(headDim: 8, type: .f32), 3, seed: 1)
    var random = SplitMix(2)
    let queries = random.floats(2 * 8)
    let two = try weights([head], [[9, 9, 9]], queries, 2, 9, .sum, 1, .portable)
    let one = try weights([head], [[9, 9, 9]], Array(queries[8...]), 1, 9, .sum, 1, .portable)
    #expect(two == one && abs(two[0].reduce(0, +) - 1) < 1e-6)
  }

  private func weights(
    _ heads: [Slots], _ positions: [[Int]], _ queries: [Float], _ count: Int, _ last: Int,
    _ reduction: AttentionWeights.Reduction, _ group: Int, _ instructions: InstructionSet
  ) throws -> [[Float]] {
    let stride = AttentionWeights.padded(heads.map(\.count).max() ?? 0)
    let need = AttentionWeights.scratchCount(slots: stride, group: group, headDim: heads[0].layout.headDim)
    let (out, scratch, places) = (
      FloatBuffer(heads.count * stride), FloatBuffer(2 * need), FloatBuffer(heads.count * stride)
    )
    for (head, positions) in positions.enumerated() {
      for (slot, position) in positions.enumerated() { places.base[head * stride + slot] = Float(position) }
    }
    let pool = try ThreadPool(threads: 2)
    withExtendedLifetime((heads, scratch, places)) {
      heads.map(\.span).withUnsafeBufferPointer { spans in
        queries.withUnsafeBufferPointer { queries in
          guard let spans = spans.baseAddress, let queries = queries.baseAddress else { return }
          let work = AttentionWeights(
            of: .init(queries, count: count, last: last), spans: spans,
            positions: .init(UnsafePointer(places.base), stride: stride), reduction: reduction,
            output: .init(out.base, stride: stride), heads: (heads.count, group),
            scratch: .init(scratch.base, stride: need), instructions: instructions)
          pool.run(tasks: work.tasks, work)
        }
      }
    }
    return heads.indices.map { head in (0..<heads[head].count).map { out.base[head * stride + $0] } }
  }

  private func twin(
    _ slots: Slots, _ positions: [Int], _ queries: [Float], _ count: Int, _ last: Int,
    _ reduction: AttentionWeights.Reduction, _ group: Int, _ head: Int
  ) -> [Double] {
    let dim = slots.layout.headDim
    var out = [Double](repeating: 0, count: slots.count)
    for query in 0..<count {
      let seen = positions.indices.filter { positions[$0] <= last - (count - 1 - query) }
      var best = [Double](repeating: 0, count: slots.count)
      for member in 0..<group {
        let first = ((query * 2 + head) * group + member) * dim
        let weights = Reference.attentionWeights(
          query: Array(queries[first..<first + dim]), keys: seen.map { slots.keys[$0] })
        for (slot, weight) in zip(seen, weights) {
          if reduction == .sum { out[slot] += weight }
          best[slot] = max(best[slot], weight)
        }
      }
      if reduction == .largest { for slot in out.indices { out[slot] += best[slot] } }
    }
    return out
  }
}
