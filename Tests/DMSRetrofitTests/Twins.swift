// The slow twins of the operations: their formulas in double precision, forward only. A twin's gradient is found by finite
// differences, so that a backward is checked against nothing that was derived by hand.

import Foundation

@testable import DMSRetrofit

/// A function of several arrays to one.
typealias Twin = ([[Double]]) -> [Double]

enum Twins {
  /// y[n, o] = Σ x[n, k] w[o, k] + b[o] of (x, w, b).
  static func linear(rows: Int, inputs: Int, outputs: Int) -> Twin {
    { arguments in
      let (x, w, b) = (arguments[0], arguments[1], arguments[2])
      return (0..<rows).flatMap { n in
        (0..<outputs).map { o in
          b[o] + (0..<inputs).reduce(0) { $0 + x[n * inputs + $1] * w[o * inputs + $1] }
        }
      }
    }
  }

  static func norm(_ x: ArraySlice<Double>, _ gain: [Double], epsilon: Double) -> [Double] {
    let scale = 1 / (x.reduce(0) { $0 + $1 * $1 } / Double(x.count) + epsilon).squareRoot()
    return zip(x, gain).map { $0 * scale * $1 }
  }

  /// Of (x, gain).
  static func norm(rows: Int, size: Int, epsilon: Double) -> Twin {
    { arguments in
      (0..<rows).flatMap { norm(arguments[0][$0 * size..<($0 + 1) * size], arguments[1], epsilon: epsilon) }
    }
  }

  /// h = g σ(g) u of ([g | u]).
  static func gated(rows: Int, size: Int) -> Twin {
    { arguments in
      (0..<rows).flatMap { row in
        (0..<size).map { index in
          let (g, u) = (arguments[0][row * 2 * size + index], arguments[0][row * 2 * size + size + index])
          return g / (1 + exp(-g)) * u
        }
      }
    }
  }

  /// Shapes of the heads.
  struct Heads {
    var heads = 4
    var kvHeads = 2
    var headDim = 6
    var group: Int { heads / kvHeads }
    var width: Int { (heads + 2 * kvHeads) * headDim }
  }

  /// Queries `[G, N, R, D]`, keys `[G, N, D]` and a `[N, G]`, one after the other, of (projected, query gain, key gain).
  static func preparation(
    _ shape: Heads, positions: [Int], frequencies: [Double], normed: Bool, zeroes: Bool, reads: Bool, epsilon: Double
  ) -> Twin {
    { arguments in
      let (rows, dim) = (positions.count, shape.headDim)
      var queries = [Double](repeating: 0, count: shape.heads * rows * dim)
      var keys = [Double](repeating: 0, count: shape.kvHeads * rows * dim)
      var decisions = [Double](repeating: 0, count: rows * shape.kvHeads)
      for row in 0..<rows {
        for head in 0..<shape.heads + shape.kvHeads {
          let first = row * shape.width + head * dim
          let isQuery = head < shape.heads
          var x = Array(arguments[0][first..<first + dim])
          if normed { x = norm(x[...], arguments[isQuery ? 1 : 2], epsilon: epsilon) }
          let borrows = zeroes && isQuery && head % shape.group == 0
          if borrows {
            if reads { decisions[row * shape.kvHeads + head / shape.group] = x[dim - 1] }
            x[dim - 1] = 0
          }
          var y = x
          for channel in 0..<dim / 2 {
            let angle = Double(positions[row]) * frequencies[channel]
            y[channel] = x[channel] * cos(angle) - x[channel + dim / 2] * sin(angle)
            y[channel + dim / 2] = x[channel + dim / 2] * cos(angle) + x[channel] * sin(angle)
          }
          if borrows { y[dim - 1] = 0 }
          for channel in 0..<dim {
            if isQuery {
              queries[((head / shape.group * rows + row) * shape.group + head % shape.group) * dim + channel] =
                y[channel]
            } else {
              keys[((head - shape.heads) * rows + row) * dim + channel] = y[channel]
            }
          }
        }
      }
      return queries + keys + decisions
    }
  }

  /// The output `[N, H, D]` of (queries, keys, values `[N, G, D]`, bias `[G, N]`).
  static func attention(_ shape: Heads, documents: [Range<Int>], window: Int?) -> Twin {
    { arguments in
      let (rows, dim, group) = (documents.last?.upperBound ?? 0, shape.headDim, shape.group)
      let (queries, keys, values, bias) = (arguments[0], arguments[1], arguments[2], arguments[3])
      var output = [Double](repeating: 0, count: rows * shape.heads * dim)
      for document in documents {
        for query in document {
          for head in 0..<shape.heads {
            let kvHead = head / group
            let visible = document.lowerBound...query
            let scores = visible.map { key in
              let product = (0..<dim).reduce(0.0) {
                $0 + queries[((kvHead * rows + query) * group + head % group) * dim + $1]
                  * keys[(kvHead * rows + key) * dim + $1]
              }
              let hasLeft = window.map { query - key > $0 } ?? false
              return product / Double(dim).squareRoot() + (hasLeft ? bias[kvHead * rows + key] : 0)
            }
            let weights = scores.map { exp($0 - (scores.max() ?? 0)) }
            let sum = weights.reduce(0, +)
            for (weight, key) in zip(weights, visible) {
              for channel in 0..<dim {
                output[(query * shape.heads + head) * dim + channel] +=
                  weight / sum * values[(key * shape.kvHeads + kvHead) * dim + channel]
              }
            }
          }
        }
      }
      return output
    }
  }

  /// The bias `[G, N]` of keys that have left, then for each sequence Σ p, of (a `[N, G]`).
  static func decision(_ decision: EvictionDecision, _ batch: TokenBatch, noise: [Double]) -> Twin {
    { arguments in
      let kvHeads = decision.kvHeads
      func z(_ row: Int, _ kvHead: Int) -> Double {
        let a = arguments[0][row * kvHeads + (decision.perLayer ? 0 : kvHead)]
        let logit = a * Double(decision.scale) - Double(decision.offset)
        return (logit + noise[row * kvHeads + kvHead]) / Double(decision.tau)
      }
      let bias = (0..<kvHeads).flatMap { kvHead in
        batch.documents.flatMap { document in
          document.map { row in
            let about = row + decision.shift
            return about < document.upperBound ? -log(1 + exp(z(about, kvHead))) : 0
          }
        }
      }
      let shares = batch.sequences.map { sequence in
        sequence.reduce(0.0) { sum, row in sum + (0..<kvHeads).reduce(0.0) { $0 + 1 / (1 + exp(-z(row, $1))) } }
      }
      return bias + shares
    }
  }

  /// The mean loss of scored rows, of (student's logits `[N, V]`).
  static func loss(_ objective: Objective, targets: [Int], teacher: [Double], vocabulary: Int) -> Twin {
    { arguments in
      func logs(_ values: ArraySlice<Double>) -> [Double] {
        let sum = log(values.reduce(0) { $0 + exp($1) })
        return values.map { $0 - sum }
      }
      let scored = targets.indices.filter { targets[$0] >= 0 }
      let losses = scored.map { row in
        let range = row * vocabulary..<(row + 1) * vocabulary
        let (s, t) = (logs(arguments[0][range]), logs(teacher[range]))
        switch objective {
        case .nextToken: return -s[targets[row]]
        case .distillation(.studentTeacher): return zip(s, t).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
        case .distillation(.teacherStudent): return zip(s, t).reduce(0) { $0 + exp($1.1) * ($1.1 - $1.0) }
        }
      }
      return [losses.reduce(0, +) / Double(scored.count)]
    }
  }

  /// ∂(Σ c y) / ∂ arguments by central differences. With a step of 1e-5 and values about 1, the error is about 1e-9.
  static func gradients(_ twin: Twin, _ arguments: [[Double]], _ c: [Double]) -> [[Double]] {
    func value(_ arguments: [[Double]]) -> Double { zip(twin(arguments), c).reduce(0) { $0 + $1.0 * $1.1 } }
    let step = 1e-5
    return arguments.indices.map { argument in
      arguments[argument].indices.map { place in
        var moved = arguments
        moved[argument][place] += step
        let above = value(moved)
        moved[argument][place] -= 2 * step
        return (above - value(moved)) / (2 * step)
      }
    }
  }
}

func cosine(_ x: Double) -> Double { cos(x) }
func sine(_ x: Double) -> Double { sin(x) }
