// A thread for work that takes its time, and a bell that wakes it: a step of a model would hold up a thread of Swift's own pool,
// on which others wait. What the work is is not known here.

import CKernels
import Glibc
import Synchronization

/// Wakes one thread, from any other. A ring is never lost: whoever looks at the count before it looks at the work sees it.
package final class Doorbell: @unchecked Sendable {
  private let word = UnsafeMutablePointer<Atomic<UInt32>>.allocate(capacity: 1)

  /// A bell that nobody has rung.
  package init() { word.initialize(to: Atomic(0)) }

  deinit { word.deallocate() }

  /// How often it was rung.
  package var count: UInt32 { word.pointee.load(ordering: .acquiring) }

  /// Wakes who waits.
  package func ring() {
    word.pointee.add(1, ordering: .releasing)
    dms_futex_wake(word, Int32.max)
  }

  /// Returns once it was rung after `count` was read.
  package func wait(after count: UInt32) {
    while self.count == count { dms_futex_wait(word, count) }
  }
}

/// A thread that runs one closure.
package final class BackgroundThread: @unchecked Sendable {
  private let thread: pthread_t

  /// - Throws: `InputError` for a thread that cannot be started.
  package init(_ body: @escaping @Sendable () -> Void) throws {
    var thread = pthread_t()
    let work = Unmanaged.passRetained(Work(body))
    let code = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body()
        return nil
      }, work.toOpaque())
    guard code == 0 else {
      work.release()
      throw InputError("cannot start a thread: \(systemMessage(code))")
    }
    self.thread = thread
  }

  /// Waits until the closure has returned. To be called once, and not by the closure.
  package func join() { pthread_join(thread, nil) }

  private final class Work: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
}
