// x[n] = E[id[n]].
//
// N rows · C columns
//
//   dE[id] += Σ of dx[n] over the rows n of that id

import DMSPlatform

enum Embedding {
  static func forward(
    _ ids: [Int32], _ table: UnsafePointer<Float>, size: Int, to x: Floats, _ pool: ThreadPool
  ) {
    pool.forPieces(of: ids.count, size: 256) { _, rows in
      for row in rows { (x + row * size).update(from: table + Int(ids[row]) * size, count: size) }
    }
  }

  /// Each task takes some columns of all rows: rows of one id meet in one task, in order.
  static func backward(
    _ dx: UnsafePointer<Float>, _ ids: [Int32], size: Int, table runs: [GradientRun], _ pool: ThreadPool
  ) {
    for run in runs {
      pool.forPieces(of: size, size: 64) { _, columns in
        for (row, id) in ids.enumerated() {
          let place = Int(id) - run.first
          guard (0..<run.count).contains(place) else { continue }
          let (from, to) = (dx + row * size, run.gradient + place * size)
          for column in columns { to[column] += from[column] }
        }
      }
    }
  }
}
