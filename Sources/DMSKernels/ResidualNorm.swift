// x += delta, y = RMSNorm(x): what stands before every block of the decoder, row by row.

import DMSPlatform

/// `x += delta`, `output = RMSNorm(x)`, for rows of `size` numbers; a task takes eight of them.
public struct ResidualNorm: ParallelWork {
  static let rowsPerTask = 8

  let x: UnsafeMutablePointer<Float>
  let delta: UnsafePointer<Float>?
  let rows: Int
  let size: Int
  let gain: UnsafePointer<Float>
  let epsilon: Float
  let output: UnsafeMutablePointer<Float>
  let faults: RowFaults.Stage?

  /// Prepares the sum and its norm.
  ///
  /// - Parameters:
  ///   - x: `[rows, size]`, updated.
  ///   - delta: `[rows, size]`; `nil` adds nothing.
  ///   - gain: `[size]`.
  ///   - output: `[rows, size]`.
  ///   - faults: learns of rows that are not finite, once `delta` is in them.
  public init(
    x: UnsafeMutablePointer<Float>, delta: UnsafePointer<Float>?, rows: Int, size: Int, gain: UnsafePointer<Float>,
    epsilon: Float, output: UnsafeMutablePointer<Float>, faults: RowFaults.Stage? = nil
  ) {
    self.x = x
    self.delta = delta
    self.rows = rows
    self.size = size
    self.gain = gain
    self.epsilon = epsilon
    self.output = output
    self.faults = faults
  }

  /// Runs of eight rows.
  public var tasks: Int { (rows + Self.rowsPerTask - 1) / Self.rowsPerTask }

  /// Adds and normalises a task's rows.
  public func run(task: Int, worker: Int) {
    let first = task * Self.rowsPerTask
    let count = min(Self.rowsPerTask, rows - first)
    if let delta {
      for index in first * size..<(first + count) * size { x[index] += delta[index] }
    }
    for row in first..<first + count {
      let isFinite = rmsNorm(
        x + row * size, count: 1, size: size, stride: size, gain: gain, epsilon: epsilon, output: output + row * size)
      if !isFinite { faults?.note(row: row) }
    }
  }
}
