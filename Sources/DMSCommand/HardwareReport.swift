// `dms inspect --hardware`: what the machine can do, and what would be chosen on it.

import DMSKernels
import DMSPlatform

enum HardwareReport {
  static func show(_ machine: Machine) throws {
    let topology = machine.topology
    let quota = Topology.processorQuota()
    let threads = machine.threads
    print("instructions  \(InstructionSet.best.rawValue); available: \(names(InstructionSet.available))")
    print("OpenBLAS      kernels for \(BLASProcessor.chosen)")
    print("processors    \(topology.processors) usable\(quota.map { ", time for \($0)" } ?? "")")
    for node in topology.nodes {
      print(
        "memory node   \(node.number): \(node.processors.isEmpty ? "no processors" : "processors \(ranges(node.processors))")"
      )
    }
    if let note = topology.note { print("              \(note)") }
    #if CUDA
      print("GPU           \(GPUReport.line())")
    #endif
    let placement = machine.placement(kvHeads: 8)
    print(
      "threads       \(threads)"
        + (placement.memoryNodes.count > 1
          ? ", pinned to their nodes: \(placement.nodeOfWorker.map(String.init).joined(separator: " "))"
          : ", not pinned"))
    for count in Set([1, threads]).sorted() {
      let bandwidth = try MemoryBandwidth(on: count == threads ? machine.pool : try ThreadPool(threads: count))
      let samples = (0..<9).map { _ in bandwidth.measure() / 1e9 }
      print(
        "memory reads  \(decimals(BenchRun.median(samples), 1)) GB/s with \(count) thread\(count == 1 ? "" : "s") "
          + "(\(decimals(samples.min() ?? 0, 1))–\(decimals(samples.max() ?? 0, 1)))")
    }
  }

  private static func names(_ sets: [InstructionSet]) -> String { sets.map(\.rawValue).joined(separator: ", ") }

  /// Ascending numbers as "0-3,8".
  static func ranges(_ numbers: [Int]) -> String {
    var runs: [ClosedRange<Int>] = []
    for number in numbers {
      if let last = runs.last, last.upperBound + 1 == number {
        runs[runs.count - 1] = last.lowerBound...number
      } else {
        runs.append(number...number)
      }
    }
    return runs.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ",")
  }
}
