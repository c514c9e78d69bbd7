// e^x sixteen at a time, for softmax and SiLU: range reduction by powers of two, then a polynomial. The relative error is
// below 2e-7 for results that are normal numbers; below -87 the result is 0, above 88 it is e^88.

@inline(__always) @inlinable
package func exponential(_ x: SIMD16<Float>) -> SIMD16<Float> {
  // Adding 1.5 · 2^23 rounds to an integer and leaves it in the low bits.
  let magic: Float = 12_582_912
  let tiny = x .< -87
  let clamped = x.replacing(with: 88, where: x .> 88).replacing(with: -87, where: tiny)
  let shifted = clamped * 1.442_695_04 + magic
  let whole = shifted - magic
  // ln 2 in two parts: the first has few bits, so that whole · first is exact.
  let r = (clamped - whole * 0.693_359_375) - whole * -2.121_944_4e-4
  var p = r * 1.987_569_1e-4 + 1.398_199_9e-3
  p = p * r + 8.333_452e-3
  p = p * r + 4.166_579_6e-2
  p = p * r + 1.666_666_5e-1
  p = p * r + 0.5
  p = p * (r * r) + r + 1
  let exponent = (unsafeBitCast(shifted, to: SIMD16<UInt32>.self) &- magic.bitPattern &+ 127) &<< 23
  return (p * unsafeBitCast(exponent, to: SIMD16<Float>.self)).replacing(with: 0, where: tiny)
}

/// Calls `body` with sixteen numbers at a time and stores what it returns; the last call may be padded with zeros.
@inline(__always) @inlinable
package func forSixteens(
  _ count: Int, _ pointer: UnsafeMutablePointer<Float>, _ body: (Int, SIMD16<Float>) -> SIMD16<Float>
) {
  var index = 0
  while index + 16 <= count {
    let raw = UnsafeMutableRawPointer(pointer + index)
    raw.storeBytes(of: body(index, raw.loadUnaligned(as: SIMD16<Float>.self)), as: SIMD16<Float>.self)
    index += 16
  }
  guard index < count else { return }
  var rest = SIMD16<Float>()
  for lane in 0..<(count - index) { rest[lane] = pointer[index + lane] }
  rest = body(index, rest)
  for lane in 0..<(count - index) { pointer[index + lane] = rest[lane] }
}
