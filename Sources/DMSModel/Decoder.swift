// A loaded model: its shape and its weights. It is only read, so engines can share one.

import DMSCheckpoint
import DMSKernels
import DMSTensor

/// The decoder of a checkpoint, ready to run. Weights stay mapped in their stored types.
public final class Decoder: @unchecked Sendable {
  public let configuration: ModelConfiguration
  let weights: DecoderWeights
  /// Radians per position of each channel pair, `[D / 2]`.
  let frequencies: [Float]
  private let checkpoint: Checkpoint

  /// - Parameter rotaryType: F32, or BF16 to compute what a reference model does whose rotary frequencies were rounded
  ///   with its weights (`model.to(torch.bfloat16)` in PyTorch; `from_pretrained` does not round them).
  /// - Throws: `InputError` for a tensor that is missing or has the wrong shape or type.
  public init(_ checkpoint: Checkpoint, rotaryType: ElementType = .f32) throws {
    self.checkpoint = checkpoint
    configuration = checkpoint.configuration
    weights = try DecoderWeights(checkpoint)
    var frequencies = configuration.rope.frequencies(headDim: configuration.headDim)
    frequencies.withUnsafeMutableBufferPointer { buffer in
      if let base = buffer.baseAddress { round(base, buffer.count, to: rotaryType) }
    }
    self.frequencies = frequencies
  }

  /// A number that tells checkpoints of equal shape apart: a hash of samples of the weights.
  public var fingerprint: UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325  // FNV-1a
    func add(_ matrix: Matrix) {
      let bytes = UnsafeRawBufferPointer(start: matrix.base, count: matrix.bytes)
      for offset in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 997)) {
        hash = (hash ^ UInt64(bytes[offset])) &* 0x100_0000_01B3
      }
    }
    add(weights.embedding)
    for layer in weights.layers {
      add(layer.query.matrix)
      add(layer.down.matrix)
    }
    return hash
  }
}
