// Two independent pieces of work under one fork: query, key and value projections; gate and up.

import DMSPlatform

/// The tasks of `First`, then those of `Second`. Nest it for more.
public struct ParallelPair<First: ParallelWork, Second: ParallelWork>: ParallelWork {
  let first: First
  let firstTasks: Int
  let second: Second

  public init(_ first: First, tasks: Int, _ second: Second) {
    self.first = first
    self.firstTasks = tasks
    self.second = second
  }

  public func run(task: Int, worker: Int) {
    if task < firstTasks {
      first.run(task: task, worker: worker)
    } else {
      second.run(task: task - firstTasks, worker: worker)
    }
  }
}
