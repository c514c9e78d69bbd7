// Training as people and scripts run it: from any folder, one writer at a time, killed and gone on with.

import Foundation
import Testing

struct TrainingCommandTests {
  private static let models = URL(filePath: fixtures).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Models").path
  private let start = models + "/tiny-dense"

  /// A training in a process of its own, with few and short steps of a recipe that comes with the program.
  private final class Training {
    private let process = Process()
    private let errors = Pipe()
    let folder: String

    init(_ arguments: [String], in folder: String, command: String? = nil) throws {
      self.folder = folder
      let built = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "dms")
      process.executableURL = command.map { URL(filePath: $0) } ?? built
      process.currentDirectoryURL = URL(filePath: folder)
      process.arguments = arguments + ["--threads", "1"]
      process.standardError = errors
      process.standardInput = FileHandle.nullDevice
      try process.run()
    }

    deinit { if process.isRunning { send(SIGKILL) } }

    /// Lines of the run's log.
    private var steps: Int {
      let log = try? String(contentsOfFile: folder + "/run/log.jsonl", encoding: .utf8)
      return log?.split(separator: "\n").count ?? 0
    }

    func wait(forSteps count: Int) throws {
      let limit = ContinuousClock.now + .seconds(60)
      while steps < count {
        try #require(process.isRunning && ContinuousClock.now < limit)
        usleep(10_000)
      }
    }

    func send(_ number: Int32) { kill(process.processIdentifier, number) }

    func end() throws -> Outcome {
      let said = try errors.fileHandleForReading.readToEnd() ?? Data()
      process.waitUntilExit()
      return Outcome(
        code: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus, output: "",
        errors: String(decoding: said, as: UTF8.self))
    }
  }

  private func arguments(steps: Int, recipe: String = "tiny") -> [String] {
    [
      "retrofit", start, "run", "--recipe", recipe, "--set", "stages.0.steps=\(steps)", "--set", "stages.0.sequences=1",
      "--set", "stages.0.length=256", "--set", "stages.0.size=[20,60]", "--set", "evaluation_sequences=1", "--set",
      "eviction.window=8", "--set", "eviction.exports=[]", "--set", "checkpoint_every=1",
    ]
  }

  private func stepsOfLog(_ folder: String) throws -> [Int] {
    try String(contentsOfFile: folder + "/run/log.jsonl", encoding: .utf8).split(separator: "\n").compactMap {
      try (JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])?["step"] as? Int
    }
  }

  @Test func recipesTravelWithTheCommand() throws {
    try withFolder { folder in
      let built = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "dms").path
      // By another process: what this one has open for writing, its other children might have open when it is to run.
      let copying = try Process.run(URL(filePath: "/bin/cp"), arguments: [built, folder + "/elsewhere"])
      copying.waitUntilExit()
      // A folder of that name is no recipe; a file is.
      try FileManager.default.createDirectory(atPath: folder + "/tiny", withIntermediateDirectories: true)
      let named = try Training(arguments(steps: 2), in: folder, command: folder + "/elsewhere").end()
      #expect(named.code == 0, "\(named.errors)")
      #expect(try stepsOfLog(folder) == [1, 2])
      let unknown = try Training(arguments(steps: 2, recipe: "tinny"), in: folder).end()
      #expect(unknown.code == 1 && unknown.errors.contains("known are fade, nvidia-adapter, paper-cr8, smollm2-cr4, "))
      #expect(unknown.errors.filter { $0 == "\n" }.count == 1)
      try write("{\"kind\": \"pretrain\"}", folder + "/paper-cr8")
      let file = try Training(["retrofit", start, "other", "--recipe", "paper-cr8"], in: folder).end()
      #expect(file.errors.contains("paper-cr8: the key data is missing"), "\(file.errors)")
    }
  }

  @Test func ofTrainingsBegunAtOnceOneRuns() throws {
    try withFolder { folder in
      let outcomes = try (0..<3).map { _ in try Training(arguments(steps: 4), in: folder) }.map { try $0.end() }
      #expect(outcomes.map(\.code).sorted() == [0, 1, 1])
      for outcome in outcomes where outcome.code == 1 {
        let said = outcome.errors
        #expect(said.contains("in use by another process") || said.contains("has a run already"), "\(said)")
        #expect(said.filter { $0 == "\n" }.count == 1, "\(said)")
      }
      #expect(try stepsOfLog(folder) == [1, 2, 3, 4])
    }
  }

  @Test func aLockDiesWithItsProcess() throws {
    try withFolder { folder in
      let killed = try Training(arguments(steps: 100_000), in: folder)
      try killed.wait(forSteps: 2)
      let resume = ["retrofit", start, "run", "--resume"]
      let refused = try Training(resume, in: folder).end()
      #expect(refused.code == 1 && refused.errors.contains("in use by another process"), "\(refused.errors)")
      killed.send(SIGKILL)
      #expect(try killed.end().code == -SIGKILL)
      let before = try stepsOfLog(folder)
      let next = try Training(resume, in: folder)
      try next.wait(forSteps: before.count + 2)
      next.send(SIGKILL)
      #expect(try next.end().code == -SIGKILL)
      let steps = try stepsOfLog(folder)
      #expect(steps == Array(1...steps.count) && steps.count > before.count)
    }
  }
}
