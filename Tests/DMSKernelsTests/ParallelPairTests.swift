import DMSPlatform
import Testing

@testable import DMSKernels

struct ParallelPairTests {
  private struct Mark: ParallelWork {
    let counts: UnsafeMutablePointer<Int>
    func run(task: Int, worker: Int) { counts[task] += 1 }
  }

  /// Every task once, and half of a joint fork is half of each work.
  @Test(arguments: [(1, 1), (7, 3), (3, 7), (96, 16), (0, 5), (5, 0), (280, 280)])
  func tasksAreDealtOutEvenly(shape: (first: Int, second: Int)) {
    let counts = UnsafeMutablePointer<Int>.allocate(capacity: shape.first + shape.second)
    defer { counts.deallocate() }
    counts.initialize(repeating: 0, count: shape.first + shape.second)
    let pair = ParallelPair(
      Mark(counts: counts), tasks: shape.first, Mark(counts: counts + shape.first), tasks: shape.second)
    #expect(pair.tasks == shape.first + shape.second)
    for task in 0..<pair.tasks / 2 { pair.run(task: task, worker: 0) }
    let ofFirst = (0..<shape.first).filter { counts[$0] == 1 }
    #expect(ofFirst == Array(0..<ofFirst.count))
    #expect(abs(2 * ofFirst.count - shape.first) <= 2)
    for task in pair.tasks / 2..<pair.tasks { pair.run(task: task, worker: 0) }
    #expect((0..<pair.tasks).allSatisfy { counts[$0] == 1 })
  }
}
