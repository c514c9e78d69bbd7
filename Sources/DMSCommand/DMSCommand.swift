// The command `dms`: parses, calls the library, prints. The answer goes to stdout, everything else to stderr.

import ArgumentParser
import DMSPlatform
import Glibc

struct DMSCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dms",
    abstract: "Run language models whose KV cache sparsifies itself (Dynamic Memory Sparsification).",
    subcommands: [InspectCommand.self, TraceCommand.self, CompareCommand.self])
}

@main
enum Main {
  /// Exit codes: 0 done, 1 the work failed, 2 the command was not understood.
  static func main() {
    do {
      var command = try DMSCommand.parseAsRoot()
      try command.run()
    } catch let error as InputError {
      printError("dms: \(error)")
      exit(1)
    } catch let code as ExitCode {
      exit(code.rawValue)
    } catch {
      let message = DMSCommand.fullMessage(for: error)
      if DMSCommand.exitCode(for: error) == .success {
        print(message)
        exit(0)
      }
      printError(message)
      exit(2)
    }
  }
}

func printError(_ text: String) { fputs(text + "\n", stderr) }
