// Signals that ask the program to stop: Ctrl-C, SIGTERM, a terminal that is closed. They end the program as usual, or ask the
// work at hand to stop, or, while a line is typed, only for a new one. What the work is is not known here.

import ArgumentParser
import Glibc
import Synchronization

enum Interrupt {
  private enum Mode {
    /// The signal ends the program, once the terminal's line is clear.
    static let ends = 0
    /// The first signal sets the flag, the second ends the program.
    static let asks = 1
    /// Ctrl-C sets the flag, however often it comes; the other signals end the program.
    static let line = 2
  }

  private static let mode = Atomic<Int>(Mode.ends)
  /// The signal that asks; 0: none.
  private static let request = Atomic<Int32>(0)
  /// A pipe that has a byte for every request, so that waiting for input ends: both ends, or −1 without one.
  private static let reading = Atomic<Int32>(-1)
  private static let writing = Atomic<Int32>(-1)

  /// From now on signals end the program tidily. What the program's parent has it ignore (nohup, a script's background) stays
  /// ignored.
  static func install() {
    for number in [SIGINT, SIGTERM, SIGHUP] {
      var former = sigaction()
      sigaction(number, nil, &former)
      if unsafeBitCast(former.__sigaction_handler.sa_handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) {
        continue
      }
      signal(number) { Interrupt.receive($0) }
    }
  }

  /// Work begins: the first signal asks it to stop, the second ends the program.
  static func watch() {
    openPipe()
    clear()
    mode.store(Mode.asks, ordering: .relaxed)
  }

  /// A line is waited for, until the next work begins: Ctrl-C is no more than the wish for a new one.
  static func expectLine() {
    openPipe()
    mode.store(Mode.line, ordering: .relaxed)
    clear()
  }

  static var isRequested: Bool { request.load(ordering: .relaxed) != 0 }
  /// Whether it was asked for the program's end, not only for that of the work at hand.
  static var endsProgram: Bool { ![0, SIGINT].contains(request.load(ordering: .relaxed)) }
  /// What a program says that a signal has ended.
  static var exitCode: ExitCode {
    let number = request.load(ordering: .relaxed)
    return ExitCode(128 + (number == 0 ? SIGINT : number))
  }

  /// Forgets what was asked.
  static func clear() {
    request.store(0, ordering: .relaxed)
    var byte: UInt8 = 0
    while read(reading.load(ordering: .relaxed), &byte, 1) > 0 {}
  }

  /// Waits until a descriptor has input, or its end.
  /// - Returns: `false` if Ctrl-C came first.
  static func waitForInput(_ descriptor: Int32) -> Bool {
    var waited = [
      pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
      pollfd(fd: reading.load(ordering: .relaxed), events: Int16(POLLIN), revents: 0),
    ]
    while !isRequested {
      // A descriptor that cannot be waited for is read at once, and says itself what is wrong.
      if poll(&waited, nfds_t(waited.count), -1) < 0 { if errno == EINTR { continue } else { return true } }
      if waited[0].revents != 0, !isRequested { return true }
    }
    return false
  }

  private static func openPipe() {
    guard writing.load(ordering: .relaxed) < 0 else { return }
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { return }
    for end in ends where fcntl(end, F_SETFD, FD_CLOEXEC) < 0 || fcntl(end, F_SETFL, O_NONBLOCK) < 0 { return }
    reading.store(ends[0], ordering: .relaxed)
    writing.store(ends[1], ordering: .relaxed)
  }

  /// Only what a signal's handler may do.
  private static func receive(_ number: Int32) {
    let error = errno
    defer { errno = error }
    let mode = self.mode.load(ordering: .relaxed)
    let earlier = request.exchange(number, ordering: .relaxed)
    if mode == Mode.line ? number == SIGINT : mode == Mode.asks && earlier == 0 {
      var byte: UInt8 = 0
      _ = write(writing.load(ordering: .relaxed), &byte, 1)
      return
    }
    ProgressLine.clear()
    signal(number, SIG_DFL)
    kill(getpid(), number)
  }
}
