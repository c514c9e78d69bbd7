// RMSNorm: y = x / sqrt(mean(x²) + ε) · g (Zhang and Sennrich, 2019), over rows of a matrix or heads of a row.

/// RMSNorm (Zhang and Sennrich, 2019), `x / √(mean(x²) + ε) · gain`, of `count` vectors of `size` numbers; vector `i`
/// is read at `i · stride` and written there in `output`.
///
/// - Parameters:
///   - input, output: may be the same.
///   - gain: `[size]`.
/// - Returns: whether all squares are finite: a number that is none, or that is too large, leaves nothing to go on
///   with.
@discardableResult
public func rmsNorm(
  _ input: UnsafePointer<Float>, count: Int, size: Int, stride: Int, gain: UnsafePointer<Float>, epsilon: Float,
  output: UnsafeMutablePointer<Float>
) -> Bool {
  var areFinite = true
  for vector in 0..<count {
    let x = input + vector * stride
    let y = output + vector * stride
    let sum = sumOfSquares(x, size)
    if !sum.isFinite { areFinite = false }
    let scale = 1 / (sum / Float(size) + epsilon).squareRoot()
    for index in 0..<size { y[index] = x[index] * scale * gain[index] }
  }
  return areFinite
}

/// Σ x², in eight partial sums, so that rounding grows with size / 8.
private func sumOfSquares(_ x: UnsafePointer<Float>, _ size: Int) -> Float {
  var sums = SIMD8<Float>()
  var index = 0
  while index + 8 <= size {
    let values = UnsafeRawPointer(x + index).loadUnaligned(as: SIMD8<Float>.self)
    sums += values * values
    index += 8
  }
  var sum = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
  while index < size {
    sum += x[index] * x[index]
    index += 1
  }
  return sum
}
