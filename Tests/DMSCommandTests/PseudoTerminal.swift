// The command on a terminal of its own, as people have it: what they type, what they see, and how wide it is.

import Foundation
import Glibc
import Testing

final class PseudoTerminal {
  private let controller: Int32
  let process: pid_t
  private(set) var output = ""
  /// What was read and not asked for yet, and the beginning of a character.
  private var pending = ""
  private var rest: [UInt8] = []
  private var code: Int32?

  /// Starts the built command with a terminal on stdin, stdout and stderr.
  init(_ arguments: [String], columns: UInt16 = 80) throws {
    controller = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
    // TIOCSPTLCK and TIOCGPTN, macros that Swift does not see: unlock it, and get its number.
    var (isLocked, number): (Int32, UInt32) = (0, 0)
    try #require(controller >= 0 && ioctl(controller, 0x4004_5431, &isLocked) == 0)
    try #require(ioctl(controller, 0x8004_5430, &number) == 0)
    let name = "/dev/pts/\(number)"
    var (actions, attributes) = (posix_spawn_file_actions_t(), posix_spawnattr_t())
    posix_spawn_file_actions_init(&actions)
    posix_spawnattr_init(&attributes)
    defer {
      posix_spawn_file_actions_destroy(&actions)
      posix_spawnattr_destroy(&attributes)
    }
    // Of a new session (POSIX_SPAWN_SETSID), the first terminal that is opened is the one whose Ctrl-C counts; and the tests'
    // threads block signals that a shell's children do not (POSIX_SPAWN_SETSIGMASK).
    posix_spawnattr_setflags(&attributes, 0x88)
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, name, O_RDWR, 0)
    for copy in [STDOUT_FILENO, STDERR_FILENO] { posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, copy) }
    let program = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "dms").path
    var words = ([program] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var process: pid_t = 0
    Self.setColumns(columns, of: controller)
    try #require(posix_spawn(&process, program, &actions, &attributes, &words, environ) == 0)
    self.process = process
  }

  deinit {
    if code == nil {
      kill(process, SIGKILL)
      waitpid(process, nil, 0)
    }
    close(controller)
  }

  private static func setColumns(_ columns: UInt16, of terminal: Int32) {
    var size = winsize(ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
    _ = ioctl(terminal, UInt(TIOCSWINSZ), &size)
  }

  func resize(to columns: UInt16) { Self.setColumns(columns, of: controller) }

  func type(_ text: String) { _ = Array(text.utf8).withUnsafeBytes { write(controller, $0.baseAddress, $0.count) } }

  /// Reads to the next place of a text, or to the output's end.
  @discardableResult
  func read(until text: String, seconds: Double = 20) -> String {
    let end = ContinuousClock.now + .seconds(seconds)
    while true {
      if let place = pending.range(of: text) {
        defer { pending = String(pending[place.upperBound...]) }
        return String(pending[..<place.upperBound])
      }
      guard ContinuousClock.now < end else { break }
      var waited = pollfd(fd: controller, events: Int16(POLLIN), revents: 0)
      guard poll(&waited, 1, 100) > 0 else { continue }
      var buffer = [UInt8](repeating: 0, count: 4096)
      let count = Glibc.read(controller, &buffer, buffer.count)
      guard count > 0 else { break }
      rest += buffer[..<count]
      // A character may come in two parts.
      if let whole = String(validating: rest, as: UTF8.self) {
        pending += whole
        output += whole
        rest = []
      }
    }
    defer { pending = "" }
    return pending
  }

  /// The exit code, or the signal that ended the command, negative.
  func end() -> Int32 {
    var status: Int32 = 0
    let end = ContinuousClock.now + .seconds(20)
    while waitpid(process, &status, WNOHANG) == 0 {
      // A terminal that nobody reads fills up, and whoever writes to it waits.
      read(until: "\u{0}", seconds: 0.05)
      if ContinuousClock.now > end { kill(process, SIGKILL) }
    }
    read(until: "\u{0}", seconds: 0.05)
    let signal = status & 0x7F
    code = signal == 0 ? status >> 8 & 0xFF : -signal
    return code ?? 0
  }
}

/// What a terminal shows after an output: its lines, without space at their ends. Knows what the command uses: CR, LF, and the
/// erasure of a line's rest.
func screen(_ output: String) -> [String] {
  var (lines, column): ([[Character]], Int) = ([[]], 0)
  for part in output.replacingOccurrences(of: "\u{1B}[K", with: "\u{1}").flatMap({ $0 == "\r\n" ? ["\r", "\n"] : [$0] })
  {
    switch part {
    case "\r": column = 0
    case "\n": lines.append([])
    case "\u{1}": lines[lines.count - 1].removeLast(max(0, lines[lines.count - 1].count - column))
    default:
      if column < lines[lines.count - 1].count {
        lines[lines.count - 1][column] = part
      } else {
        lines[lines.count - 1].append(part)
      }
      column += 1
    }
  }
  return lines.map { line in
    var text = String(line)
    while text.last == " " { text.removeLast() }
    return text
  }
}
