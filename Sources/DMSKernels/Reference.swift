// The slow twins: each kernel once more, in double precision and in the order of its formula. Tests compare the kernels with
// them; nothing else uses them.

import DMSTensor
import Glibc

package enum Reference {
  /// The numbers of a stored row, exactly.
  package static func numbers(_ source: UnsafeRawPointer, _ type: ElementType, _ count: Int) -> [Double] {
    (0..<count).map { index in
      switch type {
      case .f32: return Double(source.loadUnaligned(fromByteOffset: 4 * index, as: Float.self))
      case .bf16:
        let bits = source.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)
        return Double(Float(bitPattern: UInt32(bits) << 16))
      default:
        let bits = source.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)
        let (exponent, mantissa) = (Int(bits >> 10) & 31, Double(bits & 1023) / 1024)
        let magnitude =
          exponent == 0
          ? mantissa * 0x1p-14
          : exponent == 31 ? (mantissa == 0 ? .infinity : .nan) : (1 + mantissa) * pow(2, Double(exponent - 15))
        return bits & 0x8000 == 0 ? magnitude : -magnitude
      }
    }
  }

  /// `y[t, n] = Σ_k x[t, k] · w[n, k] + b[n]`.
  package static func product(_ weights: Matrix, _ x: [Float], bias: [Float]?) -> [Double] {
    let rows = weights.columns == 0 ? 0 : x.count / weights.columns
    return (0..<rows).flatMap { t in
      (0..<weights.rows).map { n in
        let row = numbers(weights.row(n), weights.type, weights.columns)
        let sum = row.indices.reduce(0.0) { $0 + row[$1] * Double(x[t * weights.columns + $1]) }
        return sum + Double(bias?[n] ?? 0)
      }
    }
  }

  /// The number at (row, column) of a matrix in blocks of an own format, by the layout's description.
  package static func number(_ weights: BlockMatrix, row: Int, column: Int) -> Double {
    let index = row / 16 * weights.columnBlocks + column / 32
    let (quad, lane) = (column % 32 / 4, row % 16 * 4 + column % 4)
    let bits = weights.scales.load(fromByteOffset: 2 * (index * 16 + row % 16), as: UInt16.self)
    let scale = Double(Float(bitPattern: UInt32(bits) << 16))
    let block = weights.blocks + index * weights.format.blockBytes
    switch weights.format {
    case .q8: return scale * (Double(block.load(fromByteOffset: quad * 64 + lane, as: UInt8.self)) - 128)
    case .q4:
      let pair = block.load(fromByteOffset: quad % 4 * 64 + lane, as: UInt8.self)
      return scale * (Double(quad < 4 ? pair & 15 : pair >> 4) - 8)
    default: preconditionFailure("what blocks of GGUF files stand for is told by widening them")
    }
  }

  /// A vector's numbers as 8 bits per block of 32 hold them: multiples of the largest magnitude / 127.
  package static func rounded(_ x: [Float]) -> [Double] {
    stride(from: 0, to: x.count, by: 32).flatMap { first in
      let block = x[first..<min(x.count, first + 32)]
      let scale = (block.map(abs).max() ?? 0) / 127
      return block.map { scale > 0 ? Double(scale) * Double(($0 * (1 / scale)).rounded(.toNearestOrEven)) : 0 }
    }
  }

  /// `softmax(q Kᵀ / √D)` over the given keys, `[D]` each.
  package static func attentionWeights(query: [Float], keys: [[Float]]) -> [Double] {
    let scale = 1 / Double(query.count).squareRoot()
    let scores = keys.map { key in zip(query, key).reduce(0.0) { $0 + Double($1.0) * Double($1.1) } * scale }
    let largest = scores.max() ?? 0
    let weights = scores.map { exp($0 - largest) }
    let total = weights.reduce(0, +)
    return weights.map { $0 / total }
  }

  /// How much keys `[D]`, in the order of their positions, repeat each other: the definition of `KeyRedundancy`.
  package static func redundancy(keys: [[Float]]) -> [Double] {
    func cosine(_ a: [Float], _ b: [Float]) -> Double {
      func dot(_ x: [Float], _ y: [Float]) -> Double { zip(x, y).reduce(0) { $0 + Double($1.0) * Double($1.1) } }
      return dot(a, b) / (dot(a, a) * dot(b, b)).squareRoot()
    }
    var means = [Double](repeating: 0, count: keys.count)
    for i in keys.indices {
      var row = keys.indices.map { $0 == i ? 0 : cosine(keys[i], keys[$0]) }
      if let latest = row.lastIndex(where: { $0 > 0.5 }) { row[latest] = 0 }
      for j in keys.indices { means[j] += row[j] / Double(keys.count) }
    }
    let weights = means.map { exp($0) }
    let total = weights.reduce(0, +)
    return weights.map { $0 / total }
  }

  /// `softmax(q Kᵀ / √D) V` over the given keys and values, `[D]` each.
  package static func attention(query: [Float], keys: [[Float]], values: [[Float]]) -> [Double] {
    let weights = attentionWeights(query: query, keys: keys)
    return query.indices.map { channel in
      zip(weights, values).reduce(0.0) { $0 + $1.0 * Double($1.1[channel]) }
    }
  }

  /// `x / √(mean(x²) + ε) · g`.
  package static func rmsNorm(_ x: [Float], gain: [Float], epsilon: Float) -> [Double] {
    let mean = x.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(x.count)
    return zip(x, gain).map { Double($0) / (mean + Double(epsilon)).squareRoot() * Double($1) }
  }

  /// `gate / (1 + e^−gate) · up`.
  package static func swiGLU(gate: Float, up: Float) -> Double { Double(gate) / (1 + exp(-Double(gate))) * Double(up) }
}
