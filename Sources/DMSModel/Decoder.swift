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
}
