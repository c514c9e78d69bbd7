// Whether an adapter belongs to a model: the base's fingerprint, read from weights in any form.

import DMSCheckpoint
import DMSKernels
import DMSPlatform
import DMSTensor

extension ModelSource {
  /// Rows of the embedding that are sampled, one number of each.
  private static let samples = 64
  /// The distance of an adapter's samples and a quantization's to 4 bits is below a tenth of their size; of two models, 1.4.
  private static let farthest: Float = 0.25

  /// What tells this model from others of its shape. Cost: reads the norms, and 64 rows of the embedding.
  /// - Throws: `InputError` for a tensor that is missing or damaged.
  package func fingerprint() throws -> BaseFingerprint {
    let shape = configuration.taught(nil)
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325  // FNV-1a
    for tensor in DecoderTensors(shape).all where tensor.use == .kept {
      for value in try numbers(tensor, rows: 0..<tensor.shape[0]) {
        for byte in withUnsafeBytes(of: value.bitPattern.littleEndian, Array.init) {
          hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
        }
      }
    }
    guard let embedding = DecoderTensors(shape)[.embedding] else { preconditionFailure("a decoder has an embedding") }
    let samples = try (0..<Self.samples).map { index in
      let row = index * (shape.vocabulary - 1) / (Self.samples - 1)
      return try numbers(embedding, rows: row..<row + 1)[index * 7919 % shape.hidden]
    }
    return BaseFingerprint(shape: shape.inWords, kept: hash, samples: samples)
  }

  private func numbers(_ tensor: DecoderTensor, rows: Range<Int>) throws -> [Float] {
    let weights = try weights(tensor)
    var numbers = [Float](repeating: 0, count: rows.count * weights.columns)
    numbers.withUnsafeMutableBufferPointer { buffer in
      if let base = buffer.baseAddress { widen(weights, rows: rows, to: base) }
    }
    return numbers
  }

  /// - Throws: `InputError` if the adapter that is laid over this model was trained on another one.
  package func requireBase() throws {
    guard let adapter else { return }
    let own = try withoutAdapter.fingerprint()
    func another(_ what: String) -> InputError {
      InputError(
        "the adapter was trained on another model: \(what)", at: adapter.folder, remedy: "use it with its base")
    }
    guard own.shape == adapter.base.shape else { throw another("\(adapter.base.shape), this one is \(own.shape)") }
    guard own.kept == adapter.base.kept else { throw another("of this shape, with other norms") }
    guard own.samples.count == adapter.base.samples.count else {
      throw another("\(adapter.base.samples.count) samples of its embedding, expected \(own.samples.count)")
    }
    let distance = zip(own.samples, adapter.base.samples).reduce(Float(0)) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    let size = adapter.base.samples.reduce(Float(0)) { $0 + $1 * $1 }
    guard distance <= Self.farthest * Self.farthest * size else {
      throw another("of this shape, with another embedding")
    }
  }
}

extension ModelConfiguration {
  fileprivate var inWords: String {
    "\(family.rawValue) of \(layers) layers, \(hidden) wide, \(heads) heads and \(kvHeads) KV heads of \(headDim), MLP "
      + "\(intermediate), \(vocabulary) tokens"
  }
}

extension DecisionAdapter {
  /// Writes the adapter of a model that was trained on `base`, whose weights it shares.
  ///
  /// - Throws: `InputError` for a model without an adapter, and for a disk without room.
  public static func write(of model: ModelSource, trainedOn base: ModelSource, to path: String, replaces: Bool) throws {
    try write(of: model, base: base.withoutAdapter.fingerprint(), to: path, replaces: replaces)
  }
}
