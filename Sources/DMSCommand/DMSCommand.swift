// The command `dms`: parses, calls the library, prints. The answer goes to stdout, everything else to stderr.

import ArgumentParser
import DMSPlatform
import Glibc

/// What this program is called by those who report what it did.
let version = "0.1.0"

struct DMSCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dms",
    abstract: "Run language models whose KV cache sparsifies itself (Dynamic Memory Sparsification).",
    version: "dms \(version)",
    subcommands: [
      RunCommand.self, ChatCommand.self, ServeCommand.self, InspectCommand.self, QuantizeCommand.self,
      MergeCommand.self,
      TraceCommand.self,
      CompareCommand.self, PerplexityCommand.self, EvalCommand.self, ReportCommand.self, SolveCommand.self,
      GenerateCommand.self,
      CalibrateCommand.self, BenchCommand.self,
      RetrofitCommand.self,
      PretrainCommand.self,
      TokenizerCommand.self,
    ])
}

@main
enum Main {
  /// Exit codes: 0 done, 1 the work failed, 2 the command was not understood.
  static func main() {
    occupyStandardDescriptors()
    restartWithBetterBLAS()
    reportLostFiles()
    Interrupt.install()
    // A file that may not grow is an error with a message, not the program's end.
    signal(SIGXFSZ, SIG_IGN)
    do {
      // Lists and strings cannot say that they do not fit: what every command needs is asked for here.
      try MemoryLimits.require(32 << 20, for: "the program", remedy: "end other programs")
      var command = try DMSCommand.parseAsRoot(withPromptLast(Array(CommandLine.arguments.dropFirst())))
      do { try command.run() } catch let code as ExitCode {
        try finishOutput()
        throw code
      }
      try finishOutput()
    } catch let error as InputError {
      printError("dms: \(error)")
      end(1)
    } catch let code as ExitCode {
      end(code.rawValue)
    } catch {
      let message = DMSCommand.fullMessage(for: error)
      if DMSCommand.exitCode(for: error) == .success {
        print(message)
        do { try finishOutput() } catch {
          printError("dms: \(error)")
          end(1)
        }
        end(0)
      }
      printError(message)
      end(2)
    }
    end(0)
  }

  /// Whatever threads of libraries are still doing, the command has ended.
  private static func end(_ code: Int32) -> Never {
    fflush(nil)
    _exit(code)
  }
}

/// The program's arguments with a prompt that begins with a dash where it is not taken for options: last, after `--`. A prompt
/// has a space, which options have not; `- what?` would be `-h` among others.
func withPromptLast(_ arguments: [String]) -> [String] {
  guard arguments.first == "run", !arguments.contains("--") else { return arguments }
  let place = arguments.indices.dropFirst().first { index in
    let beforeValue = arguments[index].prefix { $0 != "=" }
    return beforeValue.hasPrefix("-") && beforeValue.contains(where: \.isWhitespace)
      && !["--system", "--stop"].contains(arguments[index - 1])
  }
  guard let place else { return arguments }
  var others = arguments
  let prompt = others.remove(at: place)
  return others + ["--", prompt]
}

/// A standard descriptor that is closed would be the number of the next file that is opened: a prompt would be read from it, or
/// an answer written into it. What takes its place instead fails, as the closed one would.
private func occupyStandardDescriptors() {
  for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
    _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
  }
}

/// A file that shrinks while it is mapped raises SIGBUS at the first read of what is gone: one line, and exit code 1.
private func reportLostFiles() {
  signal(SIGBUS) { _ in
    let message: StaticString =
      "dms: a file of the model became shorter while it was in use; restore it and start again\n"
    _ = write(STDERR_FILENO, message.utf8Start, message.utf8CodeUnitCount)
    _exit(1)
  }
}

/// Writes a line to stderr.
func printError(_ text: String) { showProgress(text + "\n") }

/// Writes text to stderr as it is. What cannot be shown there cannot be reported either.
func showProgress(_ text: String) {
  ProgressLine.clear()
  writeToTerminal(text)
}

/// As `showProgress`, and leaves a line of progress where it is.
func writeToTerminal(_ text: String) { _ = writeAll(text, to: STDERR_FILENO) }

/// Writes a part of the answer to stdout at once, unbuffered: what is streamed must be seen.
/// - Throws: `InputError` if it cannot be written: an answer that got lost is no success.
func writeAnswer(_ text: String) throws {
  ProgressLine.clear()
  guard writeAll(text, to: STDOUT_FILENO) else { throw lostOutput() }
}

/// Prints a line of the answer, buffered; `finishOutput` finds out whether it arrived.
func printAnswer(_ line: String) {
  ProgressLine.clear()
  print(line)
}

/// Sends what `print` has collected.
private func finishOutput() throws {
  ProgressLine.clear()
  guard fflush(nil) == 0 else { throw lostOutput() }
}

private func lostOutput() -> InputError {
  InputError(
    "cannot be written: \(systemMessage(errno))", at: lostOutputPlace, remedy: "send the output where there is room")
}

/// Where an answer that got lost is said to be: no work makes sense after that.
let lostOutputPlace = "stdout"

private func writeAll(_ text: String, to descriptor: Int32) -> Bool {
  let bytes = Array(text.utf8)
  var done = 0
  while done < bytes.count {
    let count = bytes.withUnsafeBytes { buffer in
      buffer.baseAddress.map { write(descriptor, $0 + done, buffer.count - done) } ?? 0
    }
    if count < 0, errno == EINTR { continue }
    guard count > 0 else { return false }
    done += count
  }
  return true
}
