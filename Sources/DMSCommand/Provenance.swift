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
    ])
    for (key, value) in policy(engine) { object[key] = value }
    // What its makers taught it, where it decides.
    if engine.policy.name == PolicyName.dms.rawValue, let dms = engine.decoder.configuration.dms {
      object["compression_ratio"] = dms.compressionRatio.map(JSON.number) ?? .null
    }
    return object
  }

  /// What decides which tokens stay. What depends on the calls that a prompt goes in says how long they are.
  static func policy(_ engine: Engine) -> KeyValuePairs<String, JSON> {
    let (name, cap) = (JSON.string(engine.policy.name), engine.policy.cap.map { JSON.string($0.text) } ?? .null)
    return engine.policy.dependsOnCalls
      ? ["policy": name, "kv_budget": cap, "call_tokens": .integer(engine.chunk)]
      : ["policy": name, "kv_budget": cap]
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
