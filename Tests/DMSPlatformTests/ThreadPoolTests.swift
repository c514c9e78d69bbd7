import Synchronization
import Testing

@testable import DMSPlatform

/// Counts how often each task ran.
private struct Count: ParallelWork {
  let hits: UnsafeMutablePointer<Int>
  func run(task: Int, worker: Int) { hits[task] += 1 }
}

/// Marks workers as busy to see that none is used by two tasks at once.
private struct Exclusive: ParallelWork {
  let busy: UnsafeMutablePointer<Atomic<Int>>
  let clashes: UnsafeMutablePointer<Atomic<Int>>
  func run(task: Int, worker: Int) {
    if busy[worker].add(1, ordering: .relaxed).oldValue != 0 { clashes.pointee.add(1, ordering: .relaxed) }
    for _ in 0..<100 { _ = busy[worker].load(ordering: .relaxed) }
    busy[worker].subtract(1, ordering: .relaxed)
  }
}

struct ThreadPoolTests {
  @Test(arguments: [1, 2, 3, 8])
  func everyTaskRunsExactlyOnce(threads: Int) throws {
    let pool = try ThreadPool(threads: threads)
    let hits = UnsafeMutablePointer<Int>.allocate(capacity: 1000)
    defer { hits.deallocate() }
    hits.initialize(repeating: 0, count: 1000)
    var expected = [Int](repeating: 0, count: 1000)
    for round in 0..<2000 {
      let tasks = round % 7 == 0 ? round % 1000 : round % 5
      pool.run(tasks: tasks, Count(hits: hits))
      for task in 0..<tasks { expected[task] += 1 }
    }
    #expect(Array(UnsafeBufferPointer(start: hits, count: 1000)) == expected)
  }

  @Test(arguments: [[0, 0, 1, 1], [0, 1], [2, 0, 1]])
  func everyTaskRunsOnceWithSeveralNodes(nodes: [Int]) throws {
    let pool = try ThreadPool(threads: nodes.count, nodes: nodes)
    let hits = UnsafeMutablePointer<Int>.allocate(capacity: 100)
    defer { hits.deallocate() }
    hits.initialize(repeating: 0, count: 100)
    var expected = [Int](repeating: 0, count: 100)
    let shares = [TaskShares([3, 0, 5]), TaskShares([1, 1, 1]), TaskShares([0, 0, 1])]
    for round in 0..<600 {
      let tasks = round % 100
      let nodeCount = 1 + (nodes.max() ?? 0)
      pool.run(tasks: tasks, shares: nodeCount == 3 ? shares[round % 3] : nil, Count(hits: hits))
      for task in 0..<tasks { expected[task] += 1 }
    }
    #expect(Array(UnsafeBufferPointer(start: hits, count: 100)) == expected)
  }

  @Test func sharesCoverAllTasksInOrder() {
    let shares = TaskShares([2, 0, 6])
    #expect((0...3).map { shares.first(of: $0, tasks: 24) } == [0, 6, 6, 24])
    #expect((0...3).map { shares.first(of: $0, tasks: 1) } == [0, 0, 0, 1])
  }

  @Test func aWorkerHoldsOneTaskAtATime() throws {
    let pool = try ThreadPool(threads: 4)
    let counters = UnsafeMutablePointer<Atomic<Int>>.allocate(capacity: 5)
    for index in 0..<5 { (counters + index).initialize(to: Atomic(0)) }
    defer { counters.deallocate() }
    for _ in 0..<200 { pool.run(tasks: 64, Exclusive(busy: counters, clashes: counters + 4)) }
    #expect(counters[4].load(ordering: .relaxed) == 0)
  }

  @Test func poolsLiveAndDieIndependently() throws {
    let hits = UnsafeMutablePointer<Int>.allocate(capacity: 8)
    defer { hits.deallocate() }
    hits.initialize(repeating: 0, count: 8)
    for _ in 0..<50 {
      let first = try ThreadPool(threads: 3)
      let second = try ThreadPool(threads: 2, processors: [[], [0]])
      first.run(tasks: 8, Count(hits: hits))
      second.run(tasks: 8, Count(hits: hits))
    }
    #expect(Array(UnsafeBufferPointer(start: hits, count: 8)) == [Int](repeating: 100, count: 8))
  }
}
