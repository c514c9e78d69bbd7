// One case: its folder, its changes, its command, and what is thought of the result.

import Dispatch
import Glibc
import Synchronization

struct Trial: Sendable {
  let seed: UInt64
  /// Where the bases are.
  let bases: String
  let root: String
  let program: Program

  /// What a case is, from its number alone.
  struct Plan {
    var number: Int
    var format: Format
    var place: Format.Place
    var command: Command
    var random: Random
  }

  struct Result {
    var number: Int
    var format: String
    var command: String
    /// What was changed.
    var what: String
    var end: Program.End
    var wasRefused: Bool
    var finding: String?
    var words: String
    /// Where its files are, of a finding.
    var folder: String
  }

  func plan(_ number: Int) -> Plan {
    var random = Random(seed: seed, case: number)
    let format = Format.of(case: number, Format.all)
    let place = random.pick(format.places)
    let name = random.pick(place.commands)
    // Names are checked by the controls.
    let command = Command.named(name) ?? Command(name: name, arguments: [], needs: [])
    return Plan(number: number, format: format, place: place, command: command, random: random)
  }

  func run(_ number: Int, worker: Int) -> Result {
    let folder = "\(root)/worker-\(worker)"
    do {
      try remove(folder)
      var result = try attempt(plan(number), in: folder)
      if result.finding == "hangs" {
        // Another process may have had the processor.
        try remove(folder)
        result = try attempt(plan(number), in: folder, limit: 3 * program.limit)
        if result.finding == nil, result.end.processorSeconds > program.limit { result.finding = "hangs" }
      }
      return result
    } catch {
      let end = Program.End(code: -1, signal: 0, wasKilled: false, seconds: 0, processorSeconds: 0)
      return Result(
        number: number, format: "driver", command: "", what: "", end: end, wasRefused: false,
        finding: "the driver failed",
        words: "\(error)", folder: folder)
    }
  }

  private func attempt(_ plan: Plan, in folder: String, limit: Double? = nil) throws -> Result {
    var random = plan.random
    let mutation = try prepare(plan, in: "\(folder)/case", &random)
    var (end, judge) = try judge(plan.command, mutation.damage, in: folder, limit: limit)
    if program.countsMemory { judge.megabytesToRefuse = plan.format.megabytesToRefuse }
    return Result(
      number: plan.number, format: plan.format.name, command: plan.command.name,
      what: "\(plan.place.base)/\(plan.place.file): \(mutation.what)",
      end: end, wasRefused: judge.wasRefused, finding: judge.finding(),
      words: String(String(decoding: judge.errors.prefix(1500), as: UTF8.self)), folder: folder)
  }

  /// Puts the case's files in place.
  private func prepare(_ plan: Plan, in folder: String, _ random: inout Random) throws -> Mutation {
    try assemble(plan.command, plan.place.base, in: folder)
    let path = "\(folder)/\(plan.place.file)"
    let original = try readFile(path)
    if random.chance(0.02), plan.place.file != plan.command.input {
      // A pipe that people name is waited for, as with every command.
      let isNamed = plan.command.arguments.contains(plan.place.file)
      unlink(path)
      return try replace(path, original, withPipes: !isNamed, &random)
    }
    var mutation = plan.format.mutators.mutate(original, &random)
    if random.chance(0.12), mutation.bytes.count < 200_000 {
      // A second change may undo what was certain of the first.
      let second = plan.format.mutators.mutate(mutation.bytes, &random)
      if second.bytes != mutation.bytes {
        mutation = Mutation(bytes: second.bytes, what: "\(mutation.what); then \(second.what)")
      }
    } else if random.chance(0.1),
      let other = Format.all.filter({ $0.places.contains { $0.base == plan.place.base && $0.file != plan.place.file } })
        .randomly(&random),
      let place = other.places.filter({
        $0.base == plan.place.base && $0.file != plan.place.file && isLinked($0.file, folder)
      }).randomly(&random)
    {
      let second = other.mutators.mutate(try readFile("\(folder)/\(place.file)"), &random)
      unlink("\(folder)/\(place.file)")
      try writeFile(second.bytes, to: "\(folder)/\(place.file)")
      mutation.what += "; and \(place.file): \(second.what)"
      mutation.damage = .possible
    }
    unlink(path)
    try writeFile(mutation.bytes, to: path)
    return mutation
  }

  private func isLinked(_ file: String, _ folder: String) -> Bool { access("\(folder)/\(file)", F_OK) == 0 }

  /// Something that is no regular file in a file's place.
  private func replace(_ path: String, _ original: [UInt8], withPipes: Bool, _ random: inout Random) throws -> Mutation
  {
    let what: String
    switch random.below(6) {
    case 0:
      try makeFolder(path)
      what = "a folder"
    case 1:
      symlink("nowhere", path)
      what = "a link to nowhere"
    case 2:
      symlink(path, path)
      what = "a link to itself"
    case 3 where withPipes:
      mkfifo(path, 0o644)
      what = "a pipe that nobody writes to"
    case 4:
      symlink("/dev/zero", path)
      what = "a link to zeros without end"
    default:
      try writeFile(original, to: path + ".moved")
      symlink(path + ".moved", path)
      what = "a link to what it was"
    }
    return Mutation(bytes: original, what: what)
  }

  private func assemble(_ command: Command, _ base: String, in folder: String) throws {
    try makeFolder(folder)
    for name in command.needs {
      // What a command adds to must not be shared.
      let isOutput = command.outputs.contains { $0 == name || $0 == name + "/" }
      try link("\(bases)/\(base)/\(name)", to: "\(folder)/\(name)", copied: isOutput)
    }
  }

  private func judge(_ command: Command, _ damage: Damage, in folder: String, limit: Double? = nil) throws -> (
    Program.End, Judge
  ) {
    let own = "\(folder)/case"
    let before = try listing(own)
    // What a command may write is small, and small enough to keep. A pipe or zeros without end have no size.
    var kept: [String: [UInt8]] = [:]
    for path in before.keys where command.writes(path) && isFile("\(own)/\(path)") {
      kept[path] = try readFile("\(own)/\(path)")
    }
    let end = program.run(
      command.arguments, in: own, input: command.input, output: "\(folder)/stdout", errors: "\(folder)/stderr",
      limit: limit)
    let judge = Judge(
      command: command, damage: damage, end: end, output: try readFile("\(folder)/stdout", upTo: 1 << 24),
      errors: try readFile("\(folder)/stderr", upTo: 1 << 20), before: before, after: try listing(own),
      tokensAsked: command.recipe.map { Recipes.tokens(of: (try? readFile("\(own)/\($0)", upTo: 1 << 20)) ?? []) } ?? 0,
      isAsBefore: { [kept] path in kept[path].map { (try? readFile("\(own)/\(path)")) == $0 } ?? false })
    return (end, judge)
  }

  /// Tries every command on files that were taken apart and put together again, unchanged.
  /// - Returns: what failed.
  func controls(_ formats: [Format], workers: Int) -> [String] {
    var (known, trials): (Set<String>, [(Format.Place, String)]) = ([], [])
    for place in formats.flatMap(\.places) {
      for name in place.commands where known.insert("\(place.base) \(place.file) \(name)").inserted {
        trials.append((place, name))
      }
    }
    let all = trials
    let failures = Mutex<[String]>([])
    let next = Atomic(0)
    DispatchQueue.concurrentPerform(iterations: workers) { worker in
      while case let index = next.add(1, ordering: .relaxed).oldValue, index < all.count {
        do {
          guard let failure = try control(all[index].0, all[index].1, in: "\(root)/control-\(worker)") else { continue }
          failures.withLock { $0.append(failure) }
        } catch { failures.withLock { $0.append("\(error)") } }
      }
    }
    return failures.withLock { $0 }
  }

  private func control(_ place: Format.Place, _ name: String, in folder: String) throws -> String? {
    guard let command = Command.named(name) else { return "no command \(name)" }
    try remove(folder)
    try assemble(command, place.base, in: "\(folder)/case")
    try rewrite("\(folder)/case/\(place.file)")
    let (end, judge) = try judge(command, .possible, in: folder, limit: 6 * program.limit)
    guard end.code != 0 || judge.finding() != nil else { return nil }
    return "dms \(command.arguments.joined(separator: " ")) on \(place.base): \(end), \(judge.finding() ?? "refused"): "
      + String(decoding: judge.errors.prefix(300), as: UTF8.self)
  }

  private func rewrite(_ path: String) throws {
    let bytes = try readFile(path)
    let again: [UInt8]? =
      path.hasSuffix(".json")
      ? Tree(bytes).bytes
      : path.hasSuffix(".safetensors")
        ? TensorFile(bytes)?.bytes : path.hasSuffix("/model") ? GGUFModel(bytes)?.bytes : bytes
    guard let again else { throw Failure("\(path) cannot be taken apart") }
    unlink(path)
    try writeFile(again, to: path)
  }

  /// Runs one case, keeps its folder, and says how to try it by hand.
  func explain(_ number: Int) throws {
    let result = run(number, worker: 0)
    let command = plan(number).command
    print("case \(number), \(result.format), \(result.command): \(result.what)")
    let input = command.input.map { " < \($0)" } ?? ""
    let arguments = command.arguments.map { $0.contains(where: { " ;|".contains($0) }) ? "'\($0)'" : $0 }
    print("cd \(result.folder)/case && \(program.path) \(arguments.joined(separator: " "))\(input)")
    print("\(result.end), \(result.end.processorSeconds) s of processor: \(result.finding ?? "as it should be")")
    print(result.words, terminator: "")
  }
}

extension Array {
  func randomly(_ random: inout Random) -> Element? { isEmpty ? nil : random.pick(self) }
}
