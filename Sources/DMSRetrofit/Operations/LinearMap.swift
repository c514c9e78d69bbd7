// Y = X Wᵀ + b, on fixed tiles, each by one thread.
//
// N rows · K inputs · O outputs
//
//   dX = dY W        dW += dYᵀ X        db += Σ rows of dY

import DMSKernels
import DMSPlatform

struct LinearMap {
  let weights: UnsafePointer<Float>  // [O, K]
  let bias: UnsafePointer<Float>?  // [O]
  let outputs: Int
  let inputs: Int
  let products: ProductType

  private static let rowsPerTask = 256
  private static let outputsPerTask = 1024
  private static let weightRowsPerTask = 128

  /// - Parameter accumulating: adds to what `y` holds.
  func forward(_ x: UnsafePointer<Float>, rows: Int, to y: Floats, accumulating: Bool = false, _ pool: ThreadPool) {
    tiles(rows, outputs, pool) { rows, columns in
      if let bias {
        for row in rows {
          let out = y + row * outputs
          for column in columns { out[column] = (accumulating ? out[column] : 0) + bias[column] }
        }
      }
      multiply(
        rows.count, columns.count, inputs, x + rows.lowerBound * inputs, inputs, weights + columns.lowerBound * inputs,
        inputs, transposed: true, y + rows.lowerBound * outputs + columns.lowerBound, outputs,
        accumulating: accumulating || bias != nil, in: products)
    }
  }

  func backward(_ dy: UnsafePointer<Float>, rows: Int, toInputs dx: Floats, _ pool: ThreadPool) {
    tiles(rows, inputs, pool) { rows, columns in
      multiply(
        rows.count, columns.count, outputs, dy + rows.lowerBound * outputs, outputs, weights + columns.lowerBound,
        inputs, transposed: false, dx + rows.lowerBound * inputs + columns.lowerBound, inputs, accumulating: false,
        in: products)
    }
  }

  /// Adds the gradients of those rows of W that train.
  func backward(
    _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>, rows: Int, toWeights runs: [GradientRun], _ pool: ThreadPool
  ) {
    let tasks = runs.flatMap { run in
      stride(from: 0, to: run.count, by: Self.weightRowsPerTask).map { (run, $0) }
    }
    pool.forEach(tasks.count) { task, _ in
      let (run, first) = tasks[task]
      multiply(
        min(Self.weightRowsPerTask, run.count - first), inputs, rows, dy + run.first + first, outputs,
        transposedA: true,
        x, inputs, transposed: false, run.gradient + first * inputs, inputs, accumulating: true, in: products)
    }
  }

  func backward(_ dy: UnsafePointer<Float>, rows: Int, toBias runs: [GradientRun], _ pool: ThreadPool) {
    for run in runs {
      pool.forPieces(of: run.count, size: 64) { _, columns in
        for row in 0..<rows {
          let values = dy + row * outputs + run.first
          for column in columns { run.gradient[column] += values[column] }
        }
      }
    }
  }

  private func tiles(
    _ rows: Int, _ columns: Int, _ pool: ThreadPool, _ body: (_ rows: Range<Int>, _ columns: Range<Int>) -> Void
  ) {
    let across = (columns + Self.outputsPerTask - 1) / Self.outputsPerTask
    pool.forEach((rows + Self.rowsPerTask - 1) / Self.rowsPerTask * across) { task, _ in
      let (row, column) = (task / across * Self.rowsPerTask, task % across * Self.outputsPerTask)
      body(row..<min(rows, row + Self.rowsPerTask), column..<min(columns, column + Self.outputsPerTask))
    }
  }
}
