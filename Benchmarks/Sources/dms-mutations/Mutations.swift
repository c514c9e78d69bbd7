// `dms-mutations`: hostile files for every format that the command reads. A case is a folder with one file changed, or two,
// and a command that reads it; the program must answer or refuse in one line, in time, and leave nothing behind.
//
// What a case does depends on the seed and its number alone. It knows no rule of the program but the form of its errors.

import ArgumentParser
import Dispatch
import Glibc
import Synchronization

@main
struct Mutations: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dms-mutations", abstract: "Give the command dms hostile files and see that it refuses them decently.",
    discussion: "Exit code 1 if anything was found. Every finding comes with the options that repeat it.")

  @Option(help: "The program to try.") var dms = "../.build/release/dms"
  @Option(help: "The seed of all cases.") var seed: UInt64 = 1
  @Option(help: "How many cases.") var cases = 20_000
  @Option(help: "The number of the first one.") var first = 0
  @Option(help: "One format only; without a name that is known, they are listed.") var only: String?
  @Option(name: .customLong("case"), help: "This case alone; its folder is kept and its command shown.") var single:
    Int?
  @Option(help: "Cases at a time.") var workers = 2
  @Option(help: "Seconds that a case may take.") var limit = 5.0
  @Option(help: "Megabytes of address space that it may take; 0 for any, as AddressSanitizer needs.") var memory = 4096
  @Option(help: "Where the folders are made; what a finding had is kept there.") var scratch = "/dev/shm"
  @Option(help: "Findings of each kind that are shown and kept.") var show = 2

  func run() throws {
    let formats = Format.all.filter { only == nil || $0.name == only }
    guard !formats.isEmpty else {
      throw ValidationError("formats are \(Format.all.map(\.name).joined(separator: ", "))")
    }
    setLimits()
    let root = "\(scratch)/dms-mutations-\(getpid())"
    let program = Program(
      path: try absolute(dms), limit: limit, environment: Self.environment, countsMemory: memory > 0)
    try makeFolder(root)
    let bases = Bases(root: "\(root)/bases", program: program)
    try bases.make()
    let before = try listing(bases.root)
    let trial = Trial(seed: seed, bases: bases.root, root: root, program: program)
    if let single {
      try trial.explain(single)
      return
    }
    let broken = trial.controls(formats, workers: max(1, workers))
    guard broken.isEmpty else { throw Failure("the unchanged files fail:\n" + broken.joined(separator: "\n")) }
    let ledger = Ledger(show: show)
    let numbers = numbers(Set(formats.map(\.name)))
    let next = Atomic(0)
    DispatchQueue.concurrentPerform(iterations: max(1, workers)) { worker in
      while case let index = next.add(1, ordering: .relaxed).oldValue, index < numbers.count {
        ledger.note(trial.run(numbers[index], worker: worker), seed: seed)
      }
    }
    if try listing(bases.root) != before { ledger.note("a case changed a file that it shares with others") }
    print(ledger.table(formats))
    if ledger.isClean { try remove(root) } else { print("what the findings had is in \(root)") }
    if !ledger.isClean { throw ExitCode(1) }
  }

  /// The cases of these formats, from the first one on.
  private func numbers(_ names: Set<String>) -> [Int] {
    var (numbers, number) = ([Int](), first)
    while numbers.count < cases {
      if names.contains(Format.of(case: number, Format.all).name) { numbers.append(number) }
      number += 1
    }
    return numbers
  }

  /// For the programs that are started: the driver itself needs little.
  private func setLimits() {
    var limits: [(__rlimit_resource_t, UInt)] = [(limitOf(RLIMIT_CORE), 0), (limitOf(RLIMIT_FSIZE), 512 << 20)]
    if memory > 0 { limits.append((limitOf(RLIMIT_AS), UInt(memory) << 20)) }
    for (resource, bytes) in limits {
      var limit = rlimit(rlim_cur: bytes, rlim_max: bytes)
      setrlimit(resource, &limit)
    }
  }

  private func limitOf(_ resource: __rlimit_resource) -> __rlimit_resource_t { __rlimit_resource_t(resource.rawValue) }

  private static let environment = [
    "PATH=/usr/bin:/bin", "LANG=C.UTF-8", "SWIFT_BACKTRACE=enable=no",
    "ASAN_OPTIONS=exitcode=99:detect_leaks=0:max_allocation_size_mb=4096", "TSAN_OPTIONS=exitcode=98",
  ]

  private func absolute(_ path: String) throws -> String {
    guard let resolved = realpath(path, nil) else {
      throw ValidationError("\(path) is not there: build it, or give --dms")
    }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}
