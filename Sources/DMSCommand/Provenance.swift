// What produced an output: program, command, host, and which models. Every report in JSON carries it.

import DMSCache
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText
import Glibc

enum Provenance {
  /// The program, how it was called, and where.
  static func work(_ machine: Machine, _ more: KeyValuePairs<String, JSON> = [:]) -> JSON {
    var object = JSONObject([
      "version": .string(version), "command": .array(CommandLine.arguments.map(JSON.string)), "host": .string(host),
      "system": .string(system), "instructions": .string(machine.instructions.rawValue),
      "threads": .integer(machine.threads),
    ])
    for (key, value) in more { object[key] = value }
    return .object(object)
  }

  /// A model as an engine runs it.
  static func model(_ name: String, _ engine: Engine) throws -> JSONObject {
    var object = JSONObject([
      "model": .string(name), "model_hash": try hash(engine.decoder),
      "weights": .string(engine.decoder.weightFormat.rawValue),
      "arithmetic": .string(engine.decoder.arithmetic.rawValue), "kv_type": .string(engine.kvType.rawValue),
      "policy": .string(engine.policy.name), "kv_budget": engine.policy.cap,
    ])
    // What its makers taught it, where it decides.
    if engine.policy != .keepAll, let dms = engine.decoder.configuration.dms {
      object["compression_ratio"] = dms.compressionRatio.map(JSON.number) ?? .null
    }
    return object
  }

  /// The model's hash, or null for random weights.
  static func hash(_ decoder: Decoder) throws -> JSON { try decoder.modelHash().map(JSON.string) ?? .null }

  private static var host: String {
    var name = [CChar](repeating: 0, count: 256)
    guard gethostname(&name, name.count - 1) == 0 else { return "" }
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Kernel and processor.
  private static var system: String {
    var name = utsname()
    guard uname(&name) == 0 else { return "" }
    func text<Field>(_ field: Field) -> String {
      withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
    return "\(text(name.sysname)) \(text(name.release)) \(text(name.machine))"
  }

  /// In UTC, as 2026-01-31T12:00:00Z.
  static var now: String {
    var (seconds, parts) = (time(nil), tm())
    guard gmtime_r(&seconds, &parts) != nil else { return "" }
    var text = [CChar](repeating: 0, count: 32)
    let count = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
    return String(decoding: text.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

extension EvictionPolicy {
  fileprivate var name: String {
    switch self {
    case .keepAll: "dense"
    case .delayed: "dms"
    case .capped: "dms with a cap"
    case .sliding: "window"
    }
  }

  /// What it was set to, where a model's own settings do not say.
  fileprivate var cap: JSON {
    switch self {
    case .capped(_, _, .ratio(let ratio)): .string("\(ratio)x")
    case .capped(_, _, .tokens(let tokens)): .string("\(tokens)")
    case .keepAll, .delayed, .sliding: .null
    }
  }
}
