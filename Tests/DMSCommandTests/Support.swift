// How the tests run the command, and where its files come from and go to.

import Foundation
import Testing

private let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent()
let models = repository.appending(path: "Models").path
let fixtures = repository.appending(path: "Tests/Fixtures").path
let shared = repository.deletingLastPathComponent().appending(path: "shared/data").path
let hasShared = FileManager.default.fileExists(atPath: shared)

struct Outcome {
  var code: Int32
  var output: String
  var errors: String
}

/// Runs the built command.
func dms(_ arguments: String..., input: String? = nil) throws -> Outcome { try dms(arguments, input: input) }

func dms(_ arguments: [String], input: String? = nil) throws -> Outcome {
  let process = Process()
  process.executableURL = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "dms")
  process.arguments = arguments
  let (output, errors, stdin) = (Pipe(), Pipe(), Pipe())
  process.standardOutput = output
  process.standardError = errors
  process.standardInput = stdin
  try process.run()
  try stdin.fileHandleForWriting.write(contentsOf: Data((input ?? "").utf8))
  try stdin.fileHandleForWriting.close()
  let text = try output.fileHandleForReading.readToEnd() ?? Data()
  let said = try errors.fileHandleForReading.readToEnd() ?? Data()
  process.waitUntilExit()
  return Outcome(
    code: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
    output: String(decoding: text, as: UTF8.self), errors: String(decoding: said, as: UTF8.self))
}

func withFolder(_ body: (String) throws -> Void) throws {
  let folder = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString)").path
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: folder) }
  try body(folder)
}

func write(_ text: String, _ path: String) throws {
  try text.write(toFile: path, atomically: true, encoding: .utf8)
}

/// One line on stderr, nothing on stdout, exit code 1.
func expectFailure(_ outcome: Outcome, _ comment: Comment) {
  #expect(outcome.code == 1, comment)
  #expect(outcome.output.isEmpty, comment)
  #expect(outcome.errors.hasPrefix("dms: "), "\(outcome.errors)")
  #expect(outcome.errors.filter { $0 == "\n" }.count == 1, "\(outcome.errors)")
}

/// SplitMix64: seeded, the same on every machine.
struct SeededNumbers: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
