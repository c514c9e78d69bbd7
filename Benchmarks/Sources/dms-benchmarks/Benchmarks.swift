// `dms-benchmarks`: what the library's speed and memory are on this machine. Every figure comes with what produced it.

import ArgumentParser
import DMS
import Glibc

@main
struct Benchmarks: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dms-benchmarks", abstract: "Measure swift-dms on this machine.",
    subcommands: [
      DecodeBenchmark.self, KernelBenchmark.self, SparseBenchmark.self, TokenizerBenchmark.self, TrainingBenchmark.self,
    ])
}

/// A measured quantity: median and spread of several repetitions.
struct Measurement {
  private let values: [Double]

  init(_ values: [Double]) { self.values = values.sorted() }

  var median: Double { values.isEmpty ? 0 : values[values.count / 2] }
  var text: String {
    guard let least = values.first, let most = values.last else { return "-" }
    return "\(round(median)) (\(round(least))–\(round(most)))"
  }

  private func round(_ value: Double) -> String {
    let scaled = (value * 100).rounded() / 100
    return "\(scaled)"
  }
}

func seconds(_ body: () throws -> Void) rethrows -> Double {
  let clock = ContinuousClock()
  return try clock.measure(body) / .seconds(1)
}

/// The machine, the date and the commit, in one line.
func printProvenance(threads: Int) {
  var fields: [String] = []
  if let info = try? MappedText("/proc/cpuinfo").lines.first(where: { $0.hasPrefix("model name") }) {
    fields.append(String(info.split(separator: ":").last ?? "").trimmed)
  }
  fields.append("\(Topology.allowedProcessors().count) processors, \(threads) threads")
  var now = time(nil)
  var parts = tm()
  gmtime_r(&now, &parts)
  fields.append("\(parts.tm_year + 1900)-\(pad(parts.tm_mon + 1))-\(pad(parts.tm_mday))")
  fields.append("commit \(output(of: "git rev-parse --short HEAD 2>/dev/null"))")
  print(fields.joined(separator: " · "))
}

private func pad(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }

/// The output of a shell command, without the line's end.
func output(of command: String) -> String {
  guard let pipe = popen(command, "r") else { return "" }
  defer { pclose(pipe) }
  var bytes: [UInt8] = []
  while case let byte = fgetc(pipe), byte != EOF { bytes.append(UInt8(truncatingIfNeeded: byte)) }
  return String(decoding: bytes, as: UTF8.self).trimmed
}

extension String {
  var trimmed: String {
    var view = self[...]
    while view.first?.isWhitespace ?? false { view.removeFirst() }
    while view.last?.isWhitespace ?? false { view.removeLast() }
    return String(view)
  }
}

/// A text file in memory; files of /proc cannot be mapped, so it is read.
struct MappedText {
  let text: String

  init(_ path: String) throws {
    guard let file = fopen(path, "r") else { throw InputError("cannot be read", at: path) }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 {
      bytes.append(contentsOf: buffer[..<count])
    }
    text = String(decoding: bytes, as: UTF8.self)
  }

  var lines: [Substring] { text.split(separator: "\n") }
}
