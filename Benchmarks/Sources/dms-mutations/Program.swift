// Runs the program that is tried: in a folder, with a limit of time, its output in files.

import CSpawn
import Glibc

struct Program: Sendable {
  var path: String
  /// Seconds until it is killed.
  var limit = 5.0
  var environment: [String] = []
  /// Whether its memory is its own: AddressSanitizer's is not.
  var countsMemory = true

  struct End: CustomStringConvertible {
    /// -1 where a signal ended it.
    var code: Int32
    /// 0 where it ended by itself.
    var signal: Int32
    var wasKilled: Bool
    var seconds: Double
    /// Of both user and system.
    var processorSeconds: Double
    /// The most that was in memory.
    var residentMegabytes = 0

    var description: String {
      wasKilled ? "killed after \(seconds) s" : signal != 0 ? "signal \(signal)" : "exit code \(code)"
    }
  }

  /// - Parameter input: a file for stdin; nothing if `nil`.
  func run(
    _ arguments: [String], in folder: String, input: String?, output: String, errors: String, limit: Double? = nil
  ) -> End {
    let clock = ContinuousClock()
    let start = clock.now
    let argv = ([path] + arguments).map { strdup($0) } + [nil]
    let envp = environment.map { strdup($0) } + [nil]
    let process = dms_spawn(path, argv, envp, folder, input ?? "/dev/null", output, errors)
    (argv + envp).forEach { free($0) }
    guard process > 0 else {
      return End(code: -1, signal: 0, wasKilled: false, seconds: 0, processorSeconds: 0)
    }
    var (status, usage, wasKilled) = (Int32(0), rusage(), false)
    while wait4(process, &status, WNOHANG, &usage) == 0 {
      let passed = (clock.now - start) / .seconds(1)
      if passed > limit ?? self.limit, !wasKilled {
        kill(process, SIGKILL)
        wasKilled = true
      }
      usleep(passed < 0.05 ? 500 : 3000)
    }
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    let signal = status & 0x7F
    return End(
      code: signal == 0 ? status >> 8 & 0xFF : -1, signal: signal, wasKilled: wasKilled,
      seconds: (clock.now - start) / .seconds(1), processorSeconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
      residentMegabytes: usage.ru_maxrss >> 10)
  }
}
