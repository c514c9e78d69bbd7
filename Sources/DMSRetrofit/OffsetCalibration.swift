// The offset of a taught model, set anew: at which held-out documents lose the share that was asked for. The ratio loss of
// the paper only bounds the share from below, and relaxed decisions are softer than hard ones, so that a training ends with
// more evictions than it was asked for, and with more loss.
//
//   offset' = offset + q        where a share 1 − 1/ratio of all decision logits lies above q

import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform

enum OffsetCalibration {
  /// What is to be added to the offset of a model's decisions.
  ///
  /// - Parameters:
  ///   - share: of the tokens, to be evicted.
  ///   - folder: of a model that evicts.
  /// - Complexity: one pass over the documents, 4 bytes for each token, layer and KV head.
  static func shift(toEvict share: Double, of batch: TokenBatch, folder: String, on machine: Machine) throws -> Float {
    let decoder = try Decoder(ModelSource(path: folder), on: machine)
    var options = Engine.Options()
    options.kvType = .f32
    options.context = max(1, batch.longestDocument)
    let engine = try Engine(decoder, on: machine, options)
    let shape = decoder.configuration
    try MemoryLimits.require(
      4 * batch.ids.count * shape.layers * shape.kvHeads, for: "the decisions about held-out documents",
      remedy: "set evaluation_sequences to less")
    let decisions = Decisions()
    engine.observer = decisions
    for document in batch.documents {
      try engine.prefill(batch.ids[document].map(Int.init), into: engine.makeCache())
    }
    engine.observer = nil
    return decisions.quantile(above: share)
  }

  private final class Decisions: ForwardObserver {
    private var logits: [Float] = []

    func wants(_ quantity: Observed) -> Bool { quantity == .decisionLogits }

    func observe(_ quantity: Observed, layer: Int, rows: Int, values: UnsafeBufferPointer<Float>) {
      logits.append(contentsOf: values)
    }

    /// The number above which a share of all logits lies.
    func quantile(above share: Double) -> Float {
      logits.sort()
      let index = Int((1 - share) * Double(logits.count))
      return logits.isEmpty ? 0 : logits[min(max(index - 1, 0), logits.count - 1)]
    }
  }
}
