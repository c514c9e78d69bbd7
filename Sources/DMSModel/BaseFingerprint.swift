// Whether an adapter belongs to a model: the base's fingerprint, read from weights in any form.

import DMSCheckpoint
import DMSKernels
import DMSPlatform
import DMSTensor

extension ModelSource {
  /// Rows of the embedding that are sampled, one number of each.
  private static let samples = 64
  /// Matrices of each layer that are sampled, one number of each. Some containers interleave the rows of queries and keys.
  private static let sampled: [DecoderTensor.Role] = [.value, .output, .gate, .up, .down]
  /// The distance of a base's samples and its quantization's, in parts of their size: 4 bits 0.06 to 0.11; of two models, 1.4.
  private static let farthest: Float = 0.25

  /// What tells this model from others of its shape. Cost: reads the norms, and a row for each sample.
  /// - Throws: `InputError` for a tensor that is missing or damaged.
  package func fingerprint() throws -> BaseFingerprint {
    let shape = configuration.taught(nil)
    let tensors = DecoderTensors(shape).all
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325  // FNV-1a
    for tensor in tensors where tensor.use == .kept {
      for value in try numbers(tensor, rows: 0..<tensor.shape[0]) {
        for byte in withUnsafeBytes(of: value.bitPattern.littleEndian, Array.init) {
          hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
        }
      }
    }
    var samples: [Float] = []
    for tensor in tensors where tensor.use == .converted {
      let (rows, columns) = (tensor.shape[0], tensor.shape[1])
      if tensor.role == .embedding {
        for index in 0..<Self.samples {
          let row = index * (rows - 1) / (Self.samples - 1)
          samples.append(try numbers(tensor, rows: row..<row + 1)[index * 7919 % columns])
        }
      } else if Self.sampled.contains(tensor.role) {
        let place = samples.count * 7919
        samples.append(try numbers(tensor, rows: place % rows..<place % rows + 1)[place % columns])
      }
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

  /// How far the weights are from those that the adapter over them was trained on, in parts of their size: 0 for the very
  /// same and for a model without one, a few hundredths for a quantization.
  ///
  /// - Throws: `InputError` if they are another model's.
  package func distanceFromBase() throws -> Float {
    guard let adapter else { return 0 }
    let own = try withoutAdapter.fingerprint()
    func another(_ what: String) -> InputError {
      InputError(
        "the adapter was trained on another model: \(what)", at: adapter.folder, remedy: "use it with its base")
    }
    guard own.shape == adapter.base.shape else { throw another("\(adapter.base.shape), this one is \(own.shape)") }
    guard own.kept == adapter.base.kept else { throw another("of this shape, with other norms") }
    guard own.samples.count == adapter.base.samples.count else {
      throw another("\(adapter.base.samples.count) samples of its matrices, expected \(own.samples.count)")
    }
    let square = zip(own.samples, adapter.base.samples).reduce(Float(0)) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    let distance = (square / max(.leastNormalMagnitude, adapter.base.samples.reduce(0) { $0 + $1 * $1 })).squareRoot()
    guard distance <= Self.farthest else { throw another("of this shape, with other matrices") }
    return distance
  }
}

/// What a user should know of that distance; `nil` if it is 0.
package func differenceFromBase(_ distance: Float) -> String? {
  guard distance > 0 else { return nil }
  let parts = decimals(100 * Double(distance), 1)
  return "the weights differ by \(parts) % from those that the adapter was trained on: quantised, or trained further"
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
