// Runs Python programs that nobody has read, and that may mean harm: in namespaces of their own (bubblewrap), without a network,
// with the system's programs to read and a small file system in memory that goes with them, for so long, in so much memory and
// with so many processes. What programs are for is not known here.

import DMSPlatform
import Glibc

/// Where programs run that nobody has read.
struct Sandbox: Sendable {
  /// What a program may use.
  struct Limits: Sendable {
    /// Seconds of the clock, and of a processor.
    var seconds = 6.0
    /// Bytes of address space of each process.
    var memory = 1 << 30
    /// Bytes of files, in memory, and of one file.
    var files = 64 << 20
    var processes = 16
    /// Bytes that it may print.
    var output = 16 << 20
  }

  /// How a program ended.
  enum Outcome: Equatable {
    /// By itself, having printed this.
    case ended(code: Int32, [UInt8])
    case tookTooLong
    case printedTooMuch
  }

  private static let python = "/usr/bin/python3"
  private let limits: Limits
  /// The command before Python's.
  private let wrapper: [String]

  /// - Throws: `InputError` where bubblewrap or Python is missing, or the system permits no namespaces.
  init(_ limits: Limits = Limits()) throws {
    self.limits = limits
    let remedy = "install bubblewrap and python3"
    guard let bubblewrap = Self.find("bwrap") else {
      throw InputError("programs are run in a sandbox only, and there is no bwrap", remedy: remedy)
    }
    guard access(Self.python, X_OK) == 0 else { throw InputError("there is no \(Self.python)", remedy: remedy) }
    var command: [String] = []
    if geteuid() == 0 {
      // No limit on processes holds for root.
      guard let other = Self.find("setpriv") else {
        throw InputError("root's programs need setpriv", remedy: "install util-linux, or be another user")
      }
      command = [other, "--reuid=65534", "--regid=65534", "--clear-groups"]
    }
    let size = String(limits.files)
    command += [bubblewrap, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    command += ["--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/tmp", "--ro-bind", "/usr", "/usr"]
    for folder in ["/lib", "/lib64", "/bin"] { command += ["--ro-bind-try", folder, folder] }
    command += ["--proc", "/proc", "--dev", "/dev", "--size", size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    wrapper = command + ["--size", size, "--tmpfs", "/tmp", "--chdir", "/tmp"]
    guard
      case .ended(0, let output) = try run("print(1)", driver: "exec(open('/task/program.py').read())", [], input: [])
    else { throw InputError("a program cannot be run in bubblewrap", remedy: "permit user namespaces") }
    guard output == Array("1\n".utf8) else { throw InputError("a program in bubblewrap does not print") }
  }

  private static func find(_ program: String) -> String? {
    let folders = (getenv("PATH").map { String(cString: $0) } ?? "").split(separator: ":").map(String.init)
    return folders.map { "\($0)/\(program)" }.first { access($0, X_OK) == 0 }
  }

  /// Runs a program: `driver` is a script that finds it in /task/program.py and has these arguments.
  func run(_ program: String, driver: String, _ arguments: [String], input: [UInt8]) throws -> Outcome {
    var name = Array("/tmp/dms-program-XXXXXX".utf8CString)
    guard mkdtemp(&name) != nil else { throw cannotWrite("/tmp", errno) }
    let folder = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer {
      for file in ["program.py", "driver.py", "input"] { unlink("\(folder)/\(file)") }
      rmdir(folder)
    }
    chmod(folder, 0o755)
    try writeAtomically(Array(program.utf8), to: "\(folder)/program.py")
    try writeAtomically(Array((preamble + driver).utf8), to: "\(folder)/driver.py")
    try writeAtomically(input, to: "\(folder)/input")
    let task = ["--ro-bind", folder, "/task", "--remount-ro", "/", "--", Self.python, "-I", "/task/driver.py"]
    let process = try ChildProcess(wrapper + task + arguments, input: "\(folder)/input")
    return try process.wait(seconds: limits.seconds, most: limits.output)
  }

  /// Limits that a program cannot raise again, and no open files of ours. A processor's time ends later than the clock's, which says what happened.
  private var preamble: String {
    """
    import os, resource
    os.closerange(3, 1 + max(map(int, os.listdir("/proc/self/fd"))))
    for what, most in [("AS", \(limits.memory)), ("CPU", \(Int(limits.seconds) + 2)), ("NPROC", \(limits.processes)),
                       ("FSIZE", \(limits.files)), ("CORE", 0), ("NOFILE", 64)]:
        resource.setrlimit(getattr(resource, "RLIMIT_" + what), (most, most))

    """
  }
}

/// A process with a file as its input, whose output is collected; its errors are dropped.
private struct ChildProcess {
  private let process: pid_t
  private let output: Int32

  init(_ command: [String], input: String) throws {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw InputError("no pipe: \(systemMessage(errno))") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    var (actions, attributes) = (posix_spawn_file_actions_t(), posix_spawnattr_t())
    posix_spawn_file_actions_init(&actions)
    posix_spawnattr_init(&attributes)
    defer {
      posix_spawn_file_actions_destroy(&actions)
      posix_spawnattr_destroy(&attributes)
    }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, input, O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO)
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
    // Ctrl-C is for us alone (POSIX_SPAWN_SETPGROUP), and signals are as a shell's children have them (POSIX_SPAWN_SETSIGMASK).
    posix_spawnattr_setflags(&attributes, 0x02 | 0x08)
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    var words = command.map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var process: pid_t = 0
    let code = posix_spawn(&process, command[0], &actions, &attributes, &words, environ)
    close(ends[1])
    guard code == 0 else {
      close(ends[0])
      throw InputError("cannot be run: \(systemMessage(code))", at: command[0])
    }
    (self.process, output) = (process, ends[0])
  }

  /// Reads all output, and ends the process where it takes too long or prints too much.
  func wait(seconds: Double, most: Int) throws -> Sandbox.Outcome {
    let end = ContinuousClock.now + .seconds(seconds)
    var (bytes, buffer, failure) = ([UInt8](), [UInt8](repeating: 0, count: 65_536), Sandbox.Outcome?.none)
    while failure == nil {
      let left = Int((end - .now) / .milliseconds(1))
      guard left > 0 else {
        failure = .tookTooLong
        break
      }
      var waited = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
      guard poll(&waited, 1, Int32(min(left, 1000))) > 0 else { continue }
      let count = read(output, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { break }
      bytes += buffer[..<count]
      if bytes.count > most { failure = .printedTooMuch }
    }
    close(output)
    // Its own process space ends with it, and everything in that. A program may have closed its output and go on.
    var status: Int32 = 0
    while failure == nil {
      let ended = waitpid(process, &status, WNOHANG)
      if ended == process { return .ended(code: status & 0x7F == 0 ? status >> 8 & 0xFF : -(status & 0x7F), bytes) }
      if ContinuousClock.now > end { failure = .tookTooLong } else { usleep(500) }
    }
    kill(-process, SIGKILL)
    while waitpid(process, &status, 0) < 0, errno == EINTR {}
    return failure ?? .tookTooLong
  }
}
