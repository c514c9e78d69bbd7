// A run of the decoder written down, as the reference that other back ends are compared with.
//
// L layers · G KV heads · T tokens · V vocabulary · H query heads · D head dim

import DMSCache
import DMSCheckpoint
import DMSPlatform
import DMSTensor

/// A run of a decoder written down, for the comparison with other back ends.
///
/// Writes one safetensors file per run:
///
/// | tensor | type | shape | |
/// |---|---|---|---|
/// | `input_ids` | I32 | `[T]` | |
/// | `logits` | F32 | `[T, V]` | `[1, V]` with `lastOnly` |
/// | `decision_logits` | F32 | `[L, G, T]` | DMS models: evict where positive |
/// | `decisions` | I32 | `[L, G, T]` | the decision that token t made, about token t − shift |
/// | `retained_at_end` | I32 | `[L, G]` | live tokens |
/// | `layers.N.hidden` | F32 | `[T, hidden]` | with `detail`: the layer's input |
/// | `layers.N.query` | F32 | `[T, H, D]` | after RoPE, borrowed channels zero |
/// | `layers.N.key` | F32 | `[T, G, D]` | after RoPE |
/// | `layers.N.value` | F32 | `[T, G, D]` | |
/// | `layers.N.attention` | F32 | `[T, H, D]` | before the output projection |
public final class Trace: ForwardObserver {
  /// How a run is traced.
  public struct Options: Sendable {
    /// Tokens of the successive calls; what they leave goes token by token. `nil`: all in one call.
    public var split: [Int]?
    /// Whether the values within each layer are written as well.
    public var detail = false
    /// Whether only the logits after the last token are written.
    public var lastOnly = false

    /// All tokens in one call, all logits, nothing from within the layers.
    public init() {}
  }

  private let engine: Engine
  private let options: Options
  private let ids: [Int]
  private let writer: SafetensorsWriter
  private var decisionLogits: [Float] = []  // [L, G, T]
  /// Tokens that went through each layer, and whose logits are written.
  private var seen: [Int]
  private var logitRows = 0

  /// Runs `ids` through a fresh cache of `engine` and writes `path`. Nothing is left of a run that fails.
  ///
  /// - Returns: the cache, for its ledger.
  /// - Throws: `InputError` as `Engine.prefill`, for no tokens at all, and for a file that cannot be written.
  public static func write(
    _ ids: [Int], through engine: Engine, to path: String, options: Options = Options()
  ) throws -> SequenceCache {
    guard !ids.isEmpty else { throw InputError("there are no tokens to trace") }
    guard (options.split ?? []).allSatisfy({ $0 > 0 }) else {
      throw InputError("the sizes of --split must be positive")
    }
    let trace = try Trace(ids, engine, path, options)
    engine.observer = trace
    defer { engine.observer = nil }
    return try trace.run()
  }

  private init(_ ids: [Int], _ engine: Engine, _ path: String, _ options: Options) throws {
    self.ids = ids
    self.engine = engine
    self.options = options
    let shape = engine.decoder.configuration
    let tokens = ids.count
    seen = Array(repeating: 0, count: shape.layers)
    var tensors: [SafetensorsWriter.Declaration] = [
      .init("input_ids", .i32, [tokens]),
      .init("logits", .f32, [options.lastOnly ? 1 : tokens, shape.vocabulary]),
    ]
    if shape.dms != nil {
      tensors.append(.init("decision_logits", .f32, [shape.layers, shape.kvHeads, tokens]))
      tensors.append(.init("decisions", .i32, [shape.layers, shape.kvHeads, tokens]))
      tensors.append(.init("retained_at_end", .i32, [shape.layers, shape.kvHeads]))
      decisionLogits = Array(repeating: 0, count: shape.layers * shape.kvHeads * tokens)
    }
    if options.detail {
      for layer in 0..<shape.layers {
        for quantity in Self.detailed {
          let name = "layers.\(layer).\(quantity.rawValue)"
          let rest =
            switch quantity {
            case .query, .attention: [shape.heads, shape.headDim]
            case .key, .value: [shape.kvHeads, shape.headDim]
            default: [shape.hidden]
            }
          tensors.append(.init(name, .f32, [tokens] + rest))
        }
      }
    }
    writer = try SafetensorsWriter(path: path, tensors: tensors)
  }

  private static let detailed: [Observed] = [.hidden, .query, .key, .value, .attention]

  private func run() throws -> SequenceCache {
    let cache = try engine.makeCache(length: ids.count)
    var first = 0
    for size in options.split ?? [ids.count] where first < ids.count {
      let end = min(ids.count, first + size)
      let call = Array(ids[first..<end])
      if options.lastOnly {
        try engine.prefill(call, into: cache)
      } else {
        try engine.prefill(call, into: cache) { _, rows in try self.write(logits: rows) }
      }
      first = end
    }
    for id in ids[first...] {
      try engine.decode(id, in: cache)
      if !options.lastOnly { try write(logits: engine.logits()) }
    }
    if options.lastOnly { try write(logits: engine.logits()) }
    try write(ids.map(Int32.init), to: "input_ids")
    let shape = engine.decoder.configuration
    if shape.dms != nil {
      try write(decisionLogits, to: "decision_logits")
      try write(decisionLogits.map { $0 > 0 ? Int32(1) : 0 }, to: "decisions")
      let retained = (0..<shape.layers).flatMap { layer in
        (0..<shape.kvHeads).map { Int32(cache.liveTokens(layer: layer, kvHead: $0)) }
      }
      try write(retained, to: "retained_at_end")
    }
    try writer.finish()
    return cache
  }

  private func write(logits rows: UnsafeBufferPointer<Float>) throws {
    let width = engine.decoder.configuration.vocabulary * MemoryLayout<Float>.stride
    try writer.write(UnsafeRawBufferPointer(rows), to: "logits", atByte: logitRows * width)
    logitRows += rows.count * MemoryLayout<Float>.stride / width
  }

  private func write<Element>(_ elements: [Element], to name: String) throws {
    try elements.withUnsafeBytes { try writer.write($0, to: name) }
  }

  /// Whether the trace has the quantity in it, or needs it.
  public func wants(_ quantity: Observed) -> Bool {
    options.detail || quantity == .decisionLogits || quantity == .attention
  }

  /// Writes or keeps a layer's values for the rows of a call.
  public func observe(_ quantity: Observed, layer: Int, rows: Int, values: UnsafeBufferPointer<Float>) throws {
    let first = seen[layer]
    if quantity == .decisionLogits {
      let kvHeads = values.count / rows
      for row in 0..<rows {
        for kvHead in 0..<kvHeads {
          decisionLogits[(layer * kvHeads + kvHead) * ids.count + first + row] = values[row * kvHeads + kvHead]
        }
      }
    } else if options.detail {
      let width = values.count / rows * MemoryLayout<Float>.stride
      let name = "layers.\(layer).\(quantity.rawValue)"
      try writer.write(UnsafeRawBufferPointer(values), to: name, atByte: first * width)
    }
    // Attention is the last that a layer shows of its rows.
    if quantity == .attention { seen[layer] += rows }
  }
}
