// Ctrl-C ends the work at hand, not the program: a flag that the work asks for.

import Glibc
import Synchronization

enum Interrupt {
  private static let flag = Atomic<Bool>(false)

  /// Turns Ctrl-C into the flag. A second Ctrl-C, before anybody has looked, ends the program as usual.
  static func watch() {
    signal(SIGINT) { _ in
      if Interrupt.flag.exchange(true, ordering: .relaxed) { signal(SIGINT, SIG_DFL) }
    }
  }

  static var isRequested: Bool { flag.load(ordering: .relaxed) }
  static func clear() { flag.store(false, ordering: .relaxed) }
}
