// RoPE (Su et al., 2021) in the half-split form of Hugging Face: channel c turns with channel c + D/2.
//
// D head dim · frequencies [D/2]

import Glibc

/// Cosines and sines of RoPE (Su et al., 2021) for one position, each `[D/2]`, times `scale`.
///
/// The angle is rounded to fp32 before the cosine, as the models' training code does: at position 100,000 the exact
/// angle would differ from what the model has learnt by several thousandths.
///
/// - Parameter frequencies: radians per position, `[D/2]`.
public func rotaryTable(
  position: Int, frequencies: [Float], scale: Float, cosines: UnsafeMutablePointer<Float>,
  sines: UnsafeMutablePointer<Float>
) {
  for channel in frequencies.indices {
    let angle = Double(Float(position) * frequencies[channel])
    cosines[channel] = Float(cos(angle)) * scale
    sines[channel] = Float(sin(angle)) * scale
  }
}

/// Turns `heads` vectors of D numbers in place, channel c with channel c + D/2.
public func rotate(
  _ vectors: UnsafeMutablePointer<Float>, heads: Int, headDim: Int, cosines: UnsafePointer<Float>,
  sines: UnsafePointer<Float>
) {
  let half = headDim / 2
  for head in 0..<heads {
    let low = vectors + head * headDim
    let high = low + half
    for channel in 0..<half {
      let (x, y) = (low[channel], high[channel])
      low[channel] = x * cosines[channel] - y * sines[channel]
      high[channel] = y * cosines[channel] + x * sines[channel]
    }
  }
}
