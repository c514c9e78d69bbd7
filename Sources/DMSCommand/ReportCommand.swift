// `dms report`: what more chains, longer ones and compression gain, from the records of `dms eval`. No model is loaded.

import ArgumentParser
import DMSEvaluation
import DMSPlatform
import DMSText
import Glibc

struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Tables and pictures of accuracy against reads, memory and time, from runs of dms eval.",
    discussion: """
      Points are called W–L–CR: W chains of L tokens at a compression ratio CR. The answers of a problem's chains become one by a \
      majority vote; of programs, one that is right is enough. Where a run has more answers than W, they are taken W at a time, \
      and the mean counts.

      With --output there are pictures beside the report: reads.svg, tokens.svg, bytes.svg and seconds.svg, one line a policy, \
      rings around what no other point beats; the same as reads.png and reads-dark.png for where SVG is not shown. They are made from report.json, and dms report report.json --output DIR makes them \
      again.
      """)

  @Argument(help: "Folders of dms eval --output, or one report that --json or --output has written.")
  var runs: [String]

  @Option(help: "A folder for report.json and the pictures.")
  var output: String?

  @Option(
    help: "W of the points, as 1,2,4. Default: those that the runs were made for, or 1 and all answers to a problem.")
  var chains: NumberList?

  @Option(help: "The task whose problems the pictures are about. Default: all.")
  var task: String?

  @Flag(help: "Allow models and settings that differ from run to run.")
  var mixed = false

  @Flag(help: "Print one JSON object.")
  var json = false

  mutating func validate() throws {
    guard !runs.isEmpty else { throw ValidationError("give the folder of a run") }
    guard task == nil || output != nil else { throw ValidationError("--task is about pictures, which need --output") }
  }

  mutating func run() throws {
    let report = try isFile(runs[0]) ? fromFile() : fromRuns()
    let group = task ?? report.groups[0]
    guard report.groups.contains(group) else {
      throw InputError(
        "no problems of \(quoted(group))", at: "--task", remedy: "use one of \(report.groups.joined(separator: ", "))")
    }
    if let output { try write(report, group, to: output) }
    printAnswer(json ? report.json.line : report.markdown)
  }

  private func fromFile() throws -> ScalingReport {
    guard runs.count == 1, chains == nil, !mixed else {
      throw ValidationError("a report that is written has its points: give it alone, without --chains and --mixed")
    }
    return try ScalingReport(file: runs[0])
  }

  private func fromRuns() throws -> ScalingReport {
    let read = try runs.map { try ScalingRun(reading: $0) }
    for part in read.flatMap(\.parts) where part.missing > 0 {
      printError("dms: warning: \(oneLine(part.path)): \(part.missing) answers are not there yet")
    }
    return try ScalingReport(read, chains: chains?.numbers, isMixed: mixed)
  }

  private func write(_ report: ScalingReport, _ group: String, to folder: String) throws {
    guard mkdir(folder, 0o777) == 0 || errno == EEXIST else { throw cannotWrite(folder, errno) }
    try writeAtomically(Array((report.json.text + "\n").utf8), to: folder + "/report.json")
    for cost in ScalingCost.allCases {
      let name = "\(folder)/\(cost.rawValue)"
      try writeAtomically(Array(report.svg(cost, of: group).utf8), to: "\(name).svg")
      try writeAtomically(report.png(cost, of: group), to: "\(name).png")
      try writeAtomically(report.png(cost, of: group, isDark: true), to: "\(name)-dark.png")
    }
  }

  private func isFile(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
  }
}

/// Positive numbers with commas between them, in rising order.
struct NumberList: ExpressibleByArgument {
  let numbers: [Int]

  /// Reads 1,4,16.
  init?(argument: String) {
    let read = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
    let numbers = read.compactMap { $0 }
    guard numbers.count == read.count, numbers.allSatisfy({ (1...1_000_000_000).contains($0) }),
      Set(numbers).count == numbers.count
    else { return nil }
    self.numbers = numbers.sorted()
  }
}
