// `dms serve` as a program: the article's commands, real clients' way of asking, and the end.

import Foundation
import Glibc
import Testing

/// Runs the server for as long as `body` takes; gives its exit code and what it said.
private func withServe(
  _ arguments: [String] = [], _ body: (_ port: String, Process) throws -> Void
) throws -> (code: Int32, said: String) {
  let process = Process()
  process.executableURL = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "dms")
  process.arguments = ["serve", models + "/tiny-cr8", "--port", "0"] + arguments
  let errors = Pipe()
  process.standardError = errors
  try process.run()
  var said = ""
  // Its last word before it waits for requests.
  while !said.contains("ready: "), let some = try errors.fileHandleForReading.read(upToCount: 1) {
    said += String(decoding: some, as: UTF8.self)
  }
  let port = said.components(separatedBy: "http://127.0.0.1:").last?.prefix { $0.isNumber } ?? ""
  defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
  try body(String(port), process)
  process.waitUntilExit()
  said += String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
  return (process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus, said)
}

private func shell(_ command: String) throws -> Outcome {
  let process = Process()
  process.executableURL = URL(filePath: "/bin/sh")
  process.arguments = ["-c", command]
  let (output, errors) = (Pipe(), Pipe())
  (process.standardOutput, process.standardError) = (output, errors)
  try process.run()
  let text = try output.fileHandleForReading.readToEnd() ?? Data()
  let said = try errors.fileHandleForReading.readToEnd() ?? Data()
  process.waitUntilExit()
  return Outcome(
    code: process.terminationStatus, output: String(decoding: text, as: UTF8.self),
    errors: String(decoding: said, as: UTF8.self))
}

private let hasCurl = FileManager.default.isExecutableFile(atPath: "/usr/bin/curl")

struct ServeCommandTests {
  @Test(.enabled(if: hasCurl, "needs curl")) func theArticlesCommandsWorkAndTheSignalEndsIt() throws {
    let article = try String(contentsOfFile: models + "/../Sources/DMS/DMS.docc/Serving.md", encoding: .utf8)
    let lines = article.split(separator: "\n").filter { $0.hasPrefix("curl ") }
    #expect(lines.count >= 8)
    let (code, said) = try withServe(["--parallel", "4", "--cache-memory", "64MiB"]) { port, process in
      for line in lines {
        let outcome = try shell(line.replacingOccurrences(of: "localhost:8080", with: "127.0.0.1:\(port)"))
        #expect(outcome.code == 0, "\(line)")
        #expect(!outcome.output.isEmpty && !outcome.output.contains("\"error\""), "\(line): \(outcome.output)")
      }
      // A request that runs when the signal comes is answered to its end.
      let body = #"{"messages":[{"role":"user","content":"Hi"}],"max_tokens":200,"logit_bias":{"614":-100}}"#
      let running = Process()
      running.executableURL = URL(filePath: "/usr/bin/curl")
      running.arguments = ["-s", "http://127.0.0.1:\(port)/v1/chat/completions", "-d", body]
      let output = Pipe()
      running.standardOutput = output
      try running.run()
      while try !shell("curl -s 127.0.0.1:\(port)/metrics").output.contains("num_requests_running 1"), running.isRunning
      {
        usleep(1000)
      }
      kill(process.processIdentifier, SIGTERM)
      let answer = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
      #expect(answer.contains("\"completion_tokens\":200"), "\(answer)")
    }
    #expect(code == 0, "\(said)")
    #expect(said.contains("dms: listening at http://127.0.0.1:"))
    #expect(!said.contains("fox"))
  }

  @Test(.enabled(if: hasCurl, "needs curl")) func graceEndsAsWell() throws {
    let started = ContinuousClock.now
    let (code, _) = try withServe(["--grace", "0"]) { port, process in
      let body =
        #"{"messages":[{"role":"user","content":"Hi"}],"max_tokens":3000,"stream":true,"logit_bias":{"614":-100}}"#
      let running = Process()
      running.executableURL = URL(filePath: "/usr/bin/curl")
      running.arguments = ["-sN", "http://127.0.0.1:\(port)/v1/chat/completions", "-d", body]
      let output = Pipe()
      running.standardOutput = output
      try running.run()
      _ = try output.fileHandleForReading.read(upToCount: 200)
      kill(process.processIdentifier, SIGTERM)
      _ = try output.fileHandleForReading.readToEnd()
      running.waitUntilExit()
    }
    #expect(code == 0)
    #expect(ContinuousClock.now - started < .seconds(60))
  }

  @Test func whatCannotBeServedIsSaidInALine() throws {
    expectFailure(try dms("serve", models + "/nothing", "--port", "0"), "no such model")
    try withFolder { folder in
      try write("# nothing\n\n", folder + "/keys")
      expectFailure(
        try dms("serve", models + "/tiny-cr8", "--port", "0", "--api-key-file", folder + "/keys"), "no keys")
    }
    for wrong in [["--port", "70000"], ["--parallel", "0"], ["--cache-memory", "much"], ["--chunk", "0"]] {
      #expect(try dms(["serve", models + "/tiny-cr8"] + wrong).code == 2)
    }
  }
}
