// What a model in training can do, with evictions as they will be: hard ones, through the real cache. The training's own
// numbers are with relaxed decisions.
//
// L layers · G KV heads

import DMSCache
import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import DMSTensor

/// Over held-out documents.
public struct HeldOutEvaluation: Sendable, Equatable {
  /// Documents that were read.
  public var documents = 0
  /// Their tokens.
  public var tokens = 0
  /// Tokens that are predicted, −Σ log p of them, and how many were the most likely ones.
  public var scored = 0
  /// −Σ log p of the predicted tokens.
  public var nats = 0.0
  /// Predicted tokens that were the most likely ones.
  public var hits = 0
  /// Documents of whose scored tokens each was the most likely one: a greedy answer would have been the same.
  public var exact = 0
  /// Tokens seen and tokens live at the ends of documents, the latter for each layer and KV head, `[L, G]`.
  public var seen = 0
  /// Tokens live at the ends of documents, `[L, G]`.
  public var live: [[Int]] = []

  /// Nats per predicted token.
  public var loss: Double { nats / Double(max(1, scored)) }
  /// The share of predicted tokens that were the most likely ones.
  public var hitShare: Double { Double(hits) / Double(max(1, scored)) }
  /// The share of documents that would have been answered so.
  public var exactShare: Double { Double(exact) / Double(max(1, documents)) }
  /// Tokens seen by tokens live.
  public var ratio: Double {
    let heads = live.reduce(0) { $0 + $1.count }
    let all = live.reduce(0) { $0 + $1.reduce(0, +) }
    return all > 0 ? Double(seen * heads) / Double(all) : 1
  }
  /// The share that is evicted, `[L, G]`.
  public var evictedShares: [[Double]] { live.map { $0.map { 1 - Double($0) / Double(max(1, seen)) } } }

  /// - Parameters:
  ///   - folder: of a model.
  ///   - isCancelled: asked between documents.
  /// - Returns: `nil` if it was cancelled.
  public static func measure(
    _ batch: TokenBatch, folder: String, on machine: Machine, isCancelled: () -> Bool
  ) throws -> HeldOutEvaluation? {
    var result = HeldOutEvaluation()
    let decoder = try Decoder(ModelSource(path: folder), on: machine)
    let shape = decoder.configuration
    var options = Engine.Options()
    options.kvType = .f32
    options.context = max(1, batch.longestDocument)
    let engine = try Engine(decoder, on: machine, options)
    result.live = Array(repeating: Array(repeating: 0, count: shape.kvHeads), count: shape.layers)
    for document in batch.documents {
      if isCancelled() { return nil }
      let cache = try engine.makeCache()
      var row = document.lowerBound
      var isExact = true
      try engine.prefill(batch.ids[document].map(Int.init), into: cache) { rows, logits in
        for index in 0..<rows {
          let target = Int(batch.targets[row + index])
          guard target >= 0 else { continue }
          let found = score(logits, index * shape.vocabulary, shape.vocabulary, target)
          result.nats += found.nats
          result.scored += 1
          result.hits += found.isHit ? 1 : 0
          isExact = isExact && found.isHit
        }
        row += rows
      }
      result.documents += 1
      result.tokens += document.count
      result.exact += isExact ? 1 : 0
      result.seen += cache.tokensSeen
      for layer in 0..<shape.layers {
        for kvHead in 0..<shape.kvHeads {
          result.live[layer][kvHead] += cache.liveTokens(layer: layer, kvHead: kvHead)
        }
      }
    }
    return result
  }
}

private func score(
  _ logits: UnsafeBufferPointer<Float>, _ first: Int, _ vocabulary: Int, _ target: Int
) -> (nats: Double, isHit: Bool) {
  guard let row = logits.baseAddress.map({ $0 + first }) else { return (0, false) }
  let (logSum, best) = logSumExp(row, vocabulary)
  return (Double(logSum) - Double(row[target]), best == target)
}
