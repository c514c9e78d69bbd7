// Fork and join in under a microsecond: a decode step forks a few hundred times, so this decides its speed.
//
// A fork publishes a ticket word; whoever is awake takes tasks from it one by one, the caller included. The join waits for
// the tasks, not for the threads: a worker that lost its core to another process costs at most the task that it holds, and
// one that never woke costs nothing. Waiting spins briefly, then sleeps on a futex, so an idle pool uses no CPU and a
// spinning caller never starves the worker it waits for.
//
// On a machine with several memory nodes each node has its own part of the tasks, and its threads take from that part first
// and help the others afterwards.
//
// Which worker runs a task is not deterministic; what a task writes must depend on its index alone.

import CKernels
import Glibc
import Synchronization

/// Work that falls into independent tasks. A struct of pointers and sizes: it is passed by address and never copied to the
/// heap, so that a fork allocates nothing.
public protocol ParallelWork: SendableMetatype {
  /// Runs one task. `worker` is below the pool's `count` and is held by one task at a time: an index for scratch memory.
  func run(task: Int, worker: Int)
}

/// How tasks are divided among memory nodes: the first `counts[0]` of every `total` belong to node 0, and so on.
public struct TaskShares: Sendable {
  let bounds: [Int]

  /// Shares in proportion to counts.
  ///
  /// - Parameter counts: for each node, not negative, and not all 0.
  public init(_ counts: [Int]) {
    var sum = 0
    bounds =
      [0]
      + counts.map { count in
        sum += count
        return sum
      }
    precondition(sum > 0, "some node has a share")
  }

  /// Where the tasks of node `node` begin; for the number of nodes, where they all end.
  func first(of node: Int, tasks: Int) -> Int { tasks * bounds[node] / bounds[bounds.count - 1] }
}

/// A fixed set of threads that run the tasks of one fork at a time. The thread that forks is worker 0.
///
/// Not reentrant: one thread forks at a time, and tasks do not fork.
public final class ThreadPool: @unchecked Sendable {
  /// Workers, the caller included. At least 1.
  public let count: Int
  /// Tasks by the number of workers on each node.
  @usableFromInline let evenShares: TaskShares
  @usableFromInline let shared: SharedState
  private var threads: [pthread_t] = []

  /// Starts the threads.
  ///
  /// - Parameter threads: workers, the calling thread included; values below 1 mean 1.
  /// - Parameter nodes: for each worker its memory node, numbered from 0; empty means one node for all.
  /// - Parameter processors: for each worker the processors it may run on; empty lets the system choose.
  /// - Throws: `InputError` for a thread that cannot be started.
  public init(threads: Int, nodes: [Int] = [], processors: [[Int]] = []) throws {
    count = max(1, threads)
    let nodes = (0..<count).map { $0 < nodes.count ? nodes[$0] : 0 }
    let nodeCount = 1 + (nodes.max() ?? 0)
    evenShares = TaskShares((0..<nodeCount).map { node in nodes.count { $0 == node } })
    shared = SharedState(nodes: nodeCount, callersNode: nodes[0])
    for worker in 1..<max(2, count) where worker < count {
      var thread = pthread_t()
      let start = Unmanaged.passRetained(
        Start(
          shared: shared, worker: worker, node: nodes[worker],
          processors: worker < processors.count ? processors[worker] : []))
      let code = pthread_create(&thread, nil, threadMain, start.toOpaque())
      guard code == 0 else {
        start.release()
        stop()
        throw InputError("cannot start thread \(worker + 1): \(systemMessage(code))", remedy: "use fewer --threads")
      }
      self.threads.append(thread)
    }
  }

  deinit { stop() }

  private func stop() {
    shared.stop()
    for thread in threads { pthread_join(thread, nil) }
    threads = []
  }

  /// Runs tasks `0..<tasks` on all workers and returns when every one is done. Allocates nothing.
  ///
  /// - Parameter shares: which node's workers take which tasks first; `nil` divides them by the number of workers.
  @inlinable
  public func run<Work: ParallelWork>(tasks: Int, shares: TaskShares? = nil, _ work: borrowing Work) {
    if count == 1 || tasks <= 1 {
      for task in 0..<max(0, tasks) { work.run(task: task, worker: 0) }
      return
    }
    withUnsafePointer(to: work) { pointer in
      shared.fork(tasks: tasks, shares: shares ?? evenShares, work: pointer) { work, task, worker in
        work.assumingMemoryBound(to: Work.self).pointee.run(task: task, worker: worker)
      }
    }
  }
}

/// What the threads share. A node's ticket holds the number of the fork in its upper half and the tasks not yet taken in its
/// lower half: one compare-and-exchange takes a task, and fails for a thread that is still looking at an earlier fork, so
/// the plain fields are read only while their fork cannot end.
@usableFromInline
final class SharedState: @unchecked Sendable {
  @usableFromInline typealias Body = @Sendable (UnsafeRawPointer, Int, Int) -> Void
  private static let spins = 4_000

  private let nodes: Int
  private let callersNode: Int
  private let tickets: UnsafeMutablePointer<Atomic<UInt64>>  // [nodes]
  /// Where each node's tasks end. A plain field, as `work` and `body`.
  private let ends: UnsafeMutablePointer<Int>  // [nodes]
  /// Tasks not yet finished; a futex word for the caller.
  private let unfinished = UnsafeMutablePointer<Atomic<UInt32>>.allocate(capacity: 1)
  /// Changes with every fork; a futex word for the workers.
  private let epoch = UnsafeMutablePointer<Atomic<UInt32>>.allocate(capacity: 1)
  private let sleepers = UnsafeMutablePointer<Atomic<UInt32>>.allocate(capacity: 1)
  private let callerSleeps = UnsafeMutablePointer<Atomic<UInt32>>.allocate(capacity: 1)
  private let stopping = UnsafeMutablePointer<Atomic<Bool>>.allocate(capacity: 1)
  private var work: UnsafeRawPointer?
  private var body: Body?

  init(nodes: Int, callersNode: Int) {
    self.nodes = nodes
    self.callersNode = callersNode
    tickets = .allocate(capacity: nodes)
    ends = .allocate(capacity: nodes)
    for node in 0..<nodes {
      (tickets + node).initialize(to: Atomic(0))
      (ends + node).initialize(to: 0)
    }
    unfinished.initialize(to: Atomic(0))
    epoch.initialize(to: Atomic(0))
    sleepers.initialize(to: Atomic(0))
    callerSleeps.initialize(to: Atomic(0))
    stopping.initialize(to: Atomic(false))
  }

  deinit {
    tickets.deallocate()
    ends.deallocate()
    unfinished.deallocate()
    epoch.deallocate()
    sleepers.deallocate()
    callerSleeps.deallocate()
    stopping.deallocate()
  }

  @usableFromInline
  func fork(tasks: Int, shares: borrowing TaskShares, work: UnsafeRawPointer, body: @escaping Body) {
    precondition(tasks <= Int(UInt32.max), "a fork has at most 2^32 - 1 tasks")
    precondition(shares.bounds.count == nodes + 1, "a share for each node")
    self.work = work
    self.body = body
    for node in 0..<nodes { ends[node] = shares.first(of: node + 1, tasks: tasks) }
    unfinished.pointee.store(UInt32(tasks), ordering: .relaxed)
    let number = epoch.pointee.load(ordering: .relaxed) &+ 1
    for node in 0..<nodes {
      let count = ends[node] - (node == 0 ? 0 : ends[node - 1])
      tickets[node].store(UInt64(number) << 32 | UInt64(count), ordering: .releasing)
    }
    epoch.pointee.store(number, ordering: .sequentiallyConsistent)
    if sleepers.pointee.load(ordering: .sequentiallyConsistent) > 0 { dms_futex_wake(epoch, Int32.max) }
    drain(fork: number, worker: 0, home: callersNode)
    join()
  }

  /// Takes and runs tasks of a fork until none is left to take: those of the worker's own node first.
  private func drain(fork number: UInt32, worker: Int, home: Int) {
    for offset in 0..<nodes { drain(fork: number, worker: worker, node: (home + offset) % nodes) }
  }

  private func drain(fork number: UInt32, worker: Int, node: Int) {
    var current = tickets[node].load(ordering: .acquiring)
    while UInt32(truncatingIfNeeded: current >> 32) == number, current & 0xFFFF_FFFF > 0 {
      let taken = tickets[node].weakCompareExchange(
        expected: current, desired: current - 1, ordering: .acquiringAndReleasing)
      guard taken.exchanged else {
        current = taken.original
        continue
      }
      if let body, let work { body(work, ends[node] - Int(current & 0xFFFF_FFFF), worker) }
      let left = unfinished.pointee.subtract(1, ordering: .sequentiallyConsistent).newValue
      if left == 0, callerSleeps.pointee.load(ordering: .sequentiallyConsistent) != 0 { dms_futex_wake(unfinished, 1) }
      current = tickets[node].load(ordering: .acquiring)
    }
  }

  private func join() {
    for _ in 0..<Self.spins {
      if unfinished.pointee.load(ordering: .acquiring) == 0 { return }
      dms_pause()
    }
    callerSleeps.pointee.store(1, ordering: .sequentiallyConsistent)
    while true {
      let left = unfinished.pointee.load(ordering: .sequentiallyConsistent)
      if left == 0 { break }
      dms_futex_wait(unfinished, left)
    }
    callerSleeps.pointee.store(0, ordering: .relaxed)
  }

  /// A worker's life: wait for a fork, help with it, again.
  func serve(worker: Int, home: Int) {
    var seen: UInt32 = 0
    while true {
      let number = nextFork(after: seen)
      if stopping.pointee.load(ordering: .acquiring) { return }
      seen = number
      drain(fork: number, worker: worker, home: home)
    }
  }

  private func nextFork(after seen: UInt32) -> UInt32 {
    for _ in 0..<Self.spins {
      let number = epoch.pointee.load(ordering: .acquiring)
      if number != seen { return number }
      dms_pause()
    }
    sleepers.pointee.add(1, ordering: .sequentiallyConsistent)
    defer { sleepers.pointee.subtract(1, ordering: .relaxed) }
    while true {
      let number = epoch.pointee.load(ordering: .sequentiallyConsistent)
      if number != seen { return number }
      dms_futex_wait(epoch, seen)
    }
  }

  func stop() {
    stopping.pointee.store(true, ordering: .releasing)
    epoch.pointee.add(1, ordering: .sequentiallyConsistent)
    dms_futex_wake(epoch, Int32.max)
  }
}

private final class Start: Sendable {
  let shared: SharedState
  let worker: Int
  let node: Int
  let processors: [Int]
  init(shared: SharedState, worker: Int, node: Int, processors: [Int]) {
    self.shared = shared
    self.worker = worker
    self.node = node
    self.processors = processors
  }
}

private func threadMain(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let argument else { return nil }
  let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
  if !start.processors.isEmpty {
    // A hint: where the system refuses (a container's mask), the thread runs where it may.
    var mask = [UInt64](repeating: 0, count: 1 + (start.processors.max() ?? 0) / 64)
    for processor in start.processors where processor >= 0 { mask[processor / 64] |= 1 << UInt64(processor % 64) }
    _ = dms_set_affinity(mask, Int32(mask.count))
  }
  start.shared.serve(worker: start.worker, home: start.node)
  return nil
}
