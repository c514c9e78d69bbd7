// A session on disk: the tokens, the logits after them, and the sparse cache as it is, in a safetensors file. Restored, it goes
// on exactly where it was.
//
//   tokens [n] I32, of which the cache may lack the last · logits [vocabulary] F32, or [0] ·
//   eviction [heads · (w + 1)] U32 · layers.L.heads.G.keys and .values [slots, D] in the cache's type, in 8 bits
//   [slots, D and the bytes of the scales]

import DMSCache
import DMSCheckpoint
import DMSModel
import DMSPlatform
import DMSTensor
import DMSText

/// A session on disk: its tokens, its logits and its sparse cache. Restored, it goes on exactly where it was.
public enum SessionFile {
  private static let version = "1"

  /// Writes a session, as many bytes as its live tokens take, and little more. `note` is kept with it: a chat's
  /// history, say.
  ///
  /// - Throws: `InputError` for a file that cannot be written.
  public static func save(_ session: Session, note: String, to path: String) throws {
    let engine = session.engine
    let shape = engine.decoder.configuration
    let ring = session.cache.evictionState
    var tensors: [SafetensorsWriter.Declaration] = [
      .init("tokens", .i32, [session.ids.count]), .init("eviction", .u32, [ring.count]),
      .init("logits", .f32, [session.logits.count]),
    ]
    for layer in 0..<shape.layers {
      for kvHead in 0..<shape.kvHeads {
        let type = engine.kvType.element
        let size = [
          session.cache.liveTokens(layer: layer, kvHead: kvHead), session.cache.layout.vectorBytes / type.size,
        ]
        tensors.append(.init(name(layer, kvHead, "keys"), type, size))
        tensors.append(.init(name(layer, kvHead, "values"), type, size))
      }
    }
    let writer = try SafetensorsWriter(
      path: path, tensors: tensors,
      metadata: [
        "dms_session": version, "model": fingerprint(engine, session.cache.policy), "note": note,
        "tokens_in_cache": "\(session.cache.tokensSeen)",
      ])
    try session.ids.map(Int32.init).withUnsafeBytes { try writer.write($0, to: "tokens") }
    try session.logits.withUnsafeBytes { try writer.write($0, to: "logits") }
    try ring.withUnsafeBytes { try writer.write($0, to: "eviction") }
    for layer in 0..<shape.layers {
      for kvHead in 0..<shape.kvHeads {
        let (keys, values) = session.cache.exportHead(layer: layer, kvHead: kvHead)
        try keys.withUnsafeBytes { try writer.write($0, to: name(layer, kvHead, "keys")) }
        try values.withUnsafeBytes { try writer.write($0, to: name(layer, kvHead, "values")) }
      }
    }
    try writer.finish()
  }

  /// Reads a session for an engine of the same model, cache type and policy.
  ///
  /// - Returns: the session and its note.
  /// - Throws: `InputError` if the file is damaged or belongs to something else.
  public static func load(_ path: String, on engine: Engine) throws -> (session: Session, note: String) {
    let file = try SafetensorsFile(path: path)
    func wrong(_ problem: String) -> InputError {
      InputError(problem, at: path, remedy: "start a new session under another name")
    }
    guard file.metadata["dms_session"] == version else { throw wrong("not a saved session of this version") }
    guard file.metadata["model"] == fingerprint(engine, engine.policy) else {
      throw wrong("the session was saved with another model, --kv-type or eviction setting")
    }
    let shape = engine.decoder.configuration
    guard let tokens = file.view("tokens"), tokens.type == .i32, tokens.shape.count == 1,
      let ring = file.view("eviction"), ring.type == .u32, ring.shape.count == 1
    else {
      throw wrong("the session's tokens are missing")
    }
    let ids = tokens.bytes.bindMemory(to: Int32.self).map(Int.init)
    guard ids.allSatisfy({ (0..<shape.vocabulary).contains($0) }) else {
      throw wrong("a token is outside the vocabulary")
    }
    guard let logits = logits(file, vocabulary: shape.vocabulary) else {
      throw wrong("the session's logits are damaged")
    }
    let held = file.metadata["tokens_in_cache"].map { Int($0) ?? -1 } ?? ids.count
    guard held == ids.count || (held == ids.count - 1 && !logits.isEmpty), held > 0 || logits.isEmpty else {
      throw wrong("the session has \(ids.count) tokens and \(held) in its cache")
    }
    let cache = try engine.makeCache()
    do {
      try cache.restore(tokensSeen: held, evictionState: Array(ring.bytes.bindMemory(to: UInt32.self))) {
        let type = engine.kvType.element
        guard let keys = file.view(name($0, $1, "keys")), let values = file.view(name($0, $1, "values")),
          keys.type == type, values.type == type, keys.shape == values.shape, keys.shape.count == 2,
          keys.shape[1] == cache.layout.vectorBytes / type.size
        else { throw InputError("keys or values of layer \($0) are missing, or have another shape") }
        return (keys.bytes, values.bytes)
      }
    } catch let error as InputError {
      throw wrong(error.problem)
    }
    return (Session(engine, cache: cache, ids: ids, logits: logits), file.metadata["note"] ?? "")
  }

  /// None for a session that has read nothing; `nil` for what cannot be logits.
  private static func logits(_ file: SafetensorsFile, vocabulary: Int) -> [Float]? {
    guard let view = file.view("logits") else { return [] }
    guard view.type == .f32, view.shape == [0] || view.shape == [vocabulary] else { return nil }
    let logits = Array(view.bytes.bindMemory(to: Float.self))
    return logits.allSatisfy(\.isFinite) ? logits : nil
  }

  private static func name(_ layer: Int, _ kvHead: Int, _ what: String) -> String {
    "layers.\(layer).heads.\(kvHead).\(what)"
  }

  /// What must agree for a cache to make sense: shape and weights, how keys are stored, and what is forgotten.
  private static func fingerprint(_ engine: Engine, _ policy: EvictionPolicy) -> String {
    let shape = engine.decoder.configuration
    return "\(shape.family.rawValue) \(shape.layers)x\(shape.hidden) \(shape.heads)/\(shape.kvHeads)x\(shape.headDim) "
      + "\(shape.vocabulary) \(engine.kvType.rawValue) \(policy) \(engine.decoder.fingerprint)"
  }
}
