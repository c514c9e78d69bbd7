// The results of `dms bench` as lines, JSON and Markdown, with what produced them.

import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText

struct BenchReport {
  let decoder: Decoder
  let source: String
  let machine: Machine
  let memory: MemoryBandwidth
  let results: [BenchRun.Result]
  /// From the file's opening on.
  let loading: Duration
  /// What did the work.
  let work: JSON

  /// The most that memory delivered in bytes per second: other processes only ever take away.
  private var bandwidth: Double { results.flatMap(\.bandwidths).max() ?? memory.best(of: 5) }

  /// Bytes that the process occupied at most, but for the buffer that bandwidth is measured with.
  private var peakBytes: Int { max(0, MemoryAccounting.peakResidentBytes() - memory.size) }

  var summary: String {
    "\(machine.threads) threads, \(machine.instructions.rawValue), memory \(decimals(bandwidth / 1e9, 1)) GB/s, "
      + "arithmetic \(decoder.arithmetic.rawValue), loaded in \(decimals(loading / .seconds(1), 2)) s, "
      + "\(byteCount(decoder.stepBytes)) of weights a step, of \(byteCount(decoder.weightBytes)), peak resident \(byteCount(peakBytes))"
  }

  func json() throws -> String {
    JSON.members([
      "model": .string(source), "model_hash": try Provenance.hash(decoder), "threads": .integer(machine.threads),
      "instructions": .string(machine.instructions.rawValue),
      "bandwidth_bytes_per_second": .number(bandwidth), "weight_bytes": .integer(decoder.weightBytes),
      "weight_bytes_per_step": .integer(decoder.stepBytes), "peak_resident_bytes": .integer(peakBytes),
      "arithmetic": .string(decoder.arithmetic.rawValue), "load_seconds": .rounded(loading / .seconds(1), 3),
      "results": .array(results.map(\.json)), "produced_by": work,
    ]).line
  }

  var markdown: String {
    var text =
      "| work | policy | depth | chains | weights | cache | tokens/s | low–high | MiB/token | of memory | KV |\n"
    text += "|---|---|---|---|---|---|---|---|---|---|---|\n"
    for result in results { text += "| \(result.cells.joined(separator: " | ")) |\n" }
    return text
  }
}

extension BenchRun.Result {
  fileprivate var json: JSON {
    .members([
      "work": .string(work.rawValue), "depth": .integer(depth), "chains": .integer(chains),
      "policy": .string(policy.rawValue), "weights": .string(weights), "kv_type": .string(kvType),
      "tokens_per_second": .members([
        "median": .number(median), "low": .number(samples.min() ?? 0), "high": .number(samples.max() ?? 0),
        "samples": .array(samples.map(JSON.number)),
      ]),
      "bytes_per_token": .number(bytesPerToken), "bandwidth_share": .number(bandwidthShare),
      "kv_bytes": .integer(kvBytes),
      "live_tokens": .number(liveTokens),
    ])
  }

  var cells: [String] {
    [
      work.rawValue, policy.rawValue, "\(depth)", "\(chains)", weights, kvType, decimals(median, 1),
      "\(decimals(samples.min() ?? 0, 1))–\(decimals(samples.max() ?? 0, 1))",
      work == .decode ? decimals(bytesPerToken / 0x1p20, 1) : "",
      work == .decode ? "\(decimals(100 * bandwidthShare, 0)) %" : "", byteCount(kvBytes),
    ]
  }

  var line: String {
    let reads =
      work == .decode
      ? " · \(decimals(bytesPerToken / 0x1p20, 1)) MiB a token, \(decimals(100 * bandwidthShare, 0)) % of memory" : ""
    return "\(work.rawValue) \(policy.rawValue) depth \(depth) chains \(chains) weights \(weights) cache \(kvType): "
      + "\(decimals(median, 1)) tokens/s (\(decimals(samples.min() ?? 0, 1))–\(decimals(samples.max() ?? 0, 1)))"
      + reads + " · KV \(byteCount(kvBytes)), live \(decimals(liveTokens, 0))"
  }
}
