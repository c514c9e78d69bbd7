// Two independent pieces of work under one fork: query, key and value projections; gate and up.

import DMSPlatform

/// Two independent pieces of work under one fork. Their tasks are dealt out so that any run of them has the same share
/// of each: what the threads of a memory node take of a joint fork is what they would take of each alone, and so where
/// they placed its weights. Nest it for more.
public struct ParallelPair<First: ParallelWork, Second: ParallelWork>: ParallelWork {
  let first: First
  let firstTasks: Int
  let second: Second
  /// Tasks of both.
  public let tasks: Int

  /// Joins work of so many tasks each.
  public init(_ first: First, tasks firstTasks: Int, _ second: Second, tasks secondTasks: Int) {
    self.first = first
    self.firstTasks = firstTasks
    self.second = second
    tasks = firstTasks + secondTasks
  }

  /// Runs a task of one of the two.
  public func run(task: Int, worker: Int) {
    // So many of the tasks before this one are the first's.
    let before = task * firstTasks / tasks
    if (task + 1) * firstTasks / tasks > before {
      first.run(task: before, worker: worker)
    } else {
      second.run(task: task - before, worker: worker)
    }
  }
}
