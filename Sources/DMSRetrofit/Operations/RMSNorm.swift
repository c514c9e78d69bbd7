// y = x · s · g, s = 1 / sqrt(mean(x²) + ε) (Zhang and Sennrich, 2019).
//
// N rows · C columns
//
//   dx = s (g·dy) − x s³ Σ(g·dy·x) / C        dg += Σ rows of dy·x·s

import DMSPlatform

struct RMSNorm {
  let gain: UnsafePointer<Float>  // [C]
  let epsilon: Float
  let size: Int

  /// - Parameter scales: `[N]`, receives s.
  func forward(_ x: UnsafePointer<Float>, rows: Int, to y: Floats, scales: Floats, _ pool: ThreadPool) {
    pool.forPieces(of: rows, size: PartialSums.rowsPerPart) { _, rows in
      for row in rows { scales[row] = forward(x + row * size, to: y + row * size) }
    }
  }

  /// Adds to `dx`, or replaces it.
  func backward(
    _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>, scales: UnsafePointer<Float>, rows: Int, to dx: Floats,
    accumulating: Bool, gain runs: [GradientRun], partials: Floats, _ pool: ThreadPool
  ) {
    let sums = PartialSums(parts: partials, size: size)
    pool.forPieces(of: rows, size: PartialSums.rowsPerPart) { part, rows in
      let dgain = runs.isEmpty ? nil : sums.start(part)
      for row in rows {
        backward(
          dy + row * size, x + row * size, scale: scales[row], to: dx + row * size, accumulating: accumulating, dgain)
      }
    }
    for run in runs { sums.add(run.first..<run.first + run.count, rows: rows, to: run.gradient) }
  }

  /// One vector; returns s. `x` and `y` may be the same.
  @inline(__always)
  func forward(_ x: UnsafePointer<Float>, to y: Floats) -> Float {
    let scale = 1 / (dot(x, x, size) / Float(size) + epsilon).squareRoot()
    for index in 0..<size { y[index] = x[index] * scale * gain[index] }
    return scale
  }

  /// One vector.
  @inline(__always)
  func backward(
    _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>, scale: Float, to dx: Floats, accumulating: Bool,
    _ dgain: Floats?
  ) {
    var lanes = SIMD8<Float>()
    var index = 0
    while index + 8 <= size {
      lanes += load8(dy + index) * load8(gain + index) * load8(x + index)
      index += 8
    }
    var sum = sumOfLanes(lanes)
    while index < size {
      sum += dy[index] * gain[index] * x[index]
      index += 1
    }
    let inner = sum * scale * scale * scale / Float(size)
    if accumulating {
      for index in 0..<size { dx[index] += scale * gain[index] * dy[index] - x[index] * inner }
    } else {
      for index in 0..<size { dx[index] = scale * gain[index] * dy[index] - x[index] * inner }
    }
    guard let dgain else { return }
    for index in 0..<size { dgain[index] += dy[index] * x[index] * scale }
  }
}

@inline(__always)
func load8(_ pointer: UnsafePointer<Float>) -> SIMD8<Float> {
  UnsafeRawPointer(pointer).loadUnaligned(as: SIMD8<Float>.self)
}

@inline(__always)
func sumOfLanes(_ s: SIMD8<Float>) -> Float { ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7])) }

/// Σ a·b, in eight partial sums.
@inline(__always)
func dot(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ size: Int) -> Float {
  var lanes = SIMD8<Float>()
  var index = 0
  while index + 8 <= size {
    lanes += load8(a + index) * load8(b + index)
    index += 8
  }
  var sum = sumOfLanes(lanes)
  while index < size {
    sum += a[index] * b[index]
    index += 1
  }
  return sum
}
