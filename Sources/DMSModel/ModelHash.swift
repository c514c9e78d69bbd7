// What names a model in reports: other weights, another adapter or other settings have another hash.

import DMSCheckpoint
import DMSPlatform
import DMSTensor

extension ModelSource {
  /// Places of each tensor that are read.
  private static let samples = 997

  /// A hash of samples of all tensors, an adapter's too, and of the DMS settings: sixteen hexadecimal digits. Cost: reads a
  /// thousand places of each tensor.
  /// - Throws: `InputError` for a tensor that is missing or damaged.
  package func sampledHash() throws -> String {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325  // FNV-1a
    func add(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    for byte in "\(String(describing: configuration.dms?.keys))".utf8 { add(byte) }
    for tensor in DecoderTensors(configuration).all where has(tensor) {
      let weights = try weights(tensor)
      for offset in stride(from: 0, to: weights.bytes, by: max(1, weights.bytes / Self.samples)) {
        add(weights.byte(at: offset))
      }
    }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

extension Decoder {
  /// The hash of the model that was loaded; `nil` for random weights. Cost: as `ModelSource.sampledHash`.
  package func modelHash() throws -> String? { try model?.sampledHash() }
}
