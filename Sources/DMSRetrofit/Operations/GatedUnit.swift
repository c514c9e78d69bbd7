// SwiGLU (Shazeer, 2020): h = silu(g) · u, silu(g) = g σ(g).
//
// N rows of [g | u], F numbers each
//
//   du = dh · g σ(g)        dg = dh · u · σ(g) (1 + g (1 − σ(g)))

import DMSKernels
import DMSPlatform

enum GatedUnit {
  private static let rowsPerTask = 32

  static func forward(_ gateUp: UnsafePointer<Float>, rows: Int, size: Int, to h: Floats, _ pool: ThreadPool) {
    pool.forPieces(of: rows, size: rowsPerTask) { _, rows in
      for row in rows {
        let (gate, out) = (gateUp + row * 2 * size, h + row * size)
        let up = gate + size
        out.update(from: gate, count: size)
        forSixteens(size, out) { _, g in g / (exponential(-g) + 1) }
        for index in 0..<size { out[index] *= up[index] }
      }
    }
  }

  /// - Parameter dGateUp: `[N, 2F]`, replaced.
  static func backward(
    _ dh: UnsafePointer<Float>, _ gateUp: UnsafePointer<Float>, rows: Int, size: Int, to dGateUp: Floats,
    _ pool: ThreadPool
  ) {
    pool.forPieces(of: rows, size: rowsPerTask) { _, rows in
      for row in rows {
        let gate = gateUp + row * 2 * size
        let (up, dy) = (gate + size, dh + row * size)
        let dGate = dGateUp + row * 2 * size
        let dUp = dGate + size
        // σ(g) first, in the place of dg.
        dGate.update(from: gate, count: size)
        forSixteens(size, dGate) { _, g in 1 / (exponential(-g) + 1) }
        for index in 0..<size {
          let (g, sigmoid) = (gate[index], dGate[index])
          dUp[index] = dy[index] * g * sigmoid
          dGate[index] = dy[index] * up[index] * sigmoid * (1 + g * (1 - sigmoid))
        }
      }
    }
  }
}
