// `dms compare`: for a back end's CI.

import ArgumentParser
import DMSCheckpoint
import DMSPlatform
import DMSText

struct CompareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare", abstract: "Compare two files of tensors; exit code 1 beyond the tolerance.",
    discussion: """
      Prints a line per tensor: shape, largest absolute difference, that difference relative to the largest magnitude in A, \
      and where it is. Integers must be equal. Exit code 1 when a tensor is beyond the tolerance, has a NaN, is missing in \
      either file, or has another shape.
      """)

  @Argument(help: "The reference, a .safetensors file.")
  var a: String

  @Argument(help: "What is compared with it.")
  var b: String

  @Option(parsing: .unconditional, help: "The largest relative difference that passes.")
  var tolerance = 1e-4

  @Option(help: "Compare these tensors only, as logits,decisions.")
  var only: String?

  mutating func validate() throws {
    guard tolerance >= 0, tolerance.isFinite else { throw ValidationError("--tolerance must be a number, 0 or more") }
    // Of no tensors all are within the tolerance.
    guard only.map({ $0.contains { $0 != "," } }) ?? true else {
      throw ValidationError("--only needs names of tensors")
    }
  }

  mutating func run() throws {
    let all = TensorComparison.compare(try SafetensorsFile(path: a), try SafetensorsFile(path: b))
    let names = only?.split(separator: ",").map(String.init)
    for name in names ?? [] where !all.contains(where: { $0.name == name }) {
      throw InputError("neither file has a tensor \(quoted(name))", at: "--only")
    }
    let results = names.map { names in all.filter { names.contains($0.name) } } ?? all
    let failures = results.count { !$0.isWithin(tolerance) }
    for result in results {
      printAnswer(
        "\(result.isWithin(tolerance) ? "ok  " : "FAIL") \(visible(result.name)) \(result.shape) \(describe(result.outcome))"
      )
    }
    printAnswer(
      failures == 0
        ? "all \(results.count) tensors within \(scientific(tolerance))"
        : "\(failures) of \(results.count) tensors differ by more than \(scientific(tolerance))")
    if failures > 0 { throw ExitCode(1) }
  }

  /// A name as it is, or quoted where it would not read as one word of the line.
  private func visible(_ name: String) -> String {
    let isWord = !name.isEmpty && name.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value < 0x7F && $0 != "\"" }
    return isWord ? name : quoted(name)
  }

  private func describe(_ outcome: TensorComparison.Outcome) -> String {
    switch outcome {
    case .compared(let absolute, let relative, let index):
      absolute == 0 ? "equal" : "absolute \(scientific(absolute)) relative \(scientific(relative)) at \(index)"
    case .notANumber(let inA, let inB, let index):
      "is not a number (NaN) \(inA) times in A and \(inB) times in B, first at \(index)"
    case .missing(let path): "missing in \(path)"
    case .shapesDiffer(_, let other): "has the shape \(other) in \(b)"
    case .typesDiffer(let type, let other): "is \(type.rawValue) in \(a) and \(other.rawValue) in \(b)"
    }
  }
}
