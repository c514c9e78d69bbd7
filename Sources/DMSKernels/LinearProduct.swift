// Y = X Wᵀ (+ b) by the kernel that the weights' form and the kind of call ask for: the one place that chooses.

import DMSPlatform
import DMSTensor

/// `Y = X Wᵀ (+ b)` by the kernel that the weights' form and the kind of call ask for.
public enum LinearProduct: ParallelWork {
  /// Stored weights, one vector per sequence.
  case vectors(MatrixVectorProduct)
  /// Weights in blocks as what they stand for, one vector per sequence.
  case widened(WidenedVectorProduct)
  /// Any weights as what they stand for, the rows of a chunk.
  case rows(MatrixProduct)
  /// Weights in blocks, vectors rounded to 8 bits: one kernel for both.
  case blocks(BlockProduct)

  /// Tasks of the kernel.
  public var tasks: Int {
    switch self {
    case .vectors(let work): work.tasks
    case .widened(let work): work.tasks
    case .rows(let work): work.tasks
    case .blocks(let work): work.tasks
    }
  }

  /// Runs a task of the kernel.
  public func run(task: Int, worker: Int) {
    switch self {
    case .vectors(let work): work.run(task: task, worker: worker)
    case .widened(let work): work.run(task: task, worker: worker)
    case .rows(let work): work.run(task: task, worker: worker)
    case .blocks(let work): work.run(task: task, worker: worker)
    }
  }
}
