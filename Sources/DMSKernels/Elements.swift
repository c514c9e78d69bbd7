// Numbers between their stored types and fp32, in bulk. The loops are branch-free so that the compiler vectorises them on
// the baseline instruction set, where `Float16` conversion would be a library call per element.

import DMSTensor

/// fp32 from an F16 bit pattern, exactly; NaN stays NaN.
@inline(__always)
func float(f16 bits: UInt16) -> Float {
  // Shift exponent and mantissa into place, then correct the bias by a multiplication, which also normalises subnormals.
  let magnitude = UInt32(bits & 0x7FFF) << 13
  let scaled = Float(bitPattern: magnitude) * Float(bitPattern: 0x7780_0000)  // 2^112
  let special = magnitude | 0x7F80_0000
  let value = magnitude >= 0x0F80_0000 ? special : scaled.bitPattern
  return Float(bitPattern: value | UInt32(bits & 0x8000) << 16)
}

@inline(__always)
func float(bf16 bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

/// The nearest BF16, ties to even; NaN stays a quiet NaN.
@inline(__always)
func bf16(_ value: Float) -> UInt16 {
  let bits = value.bitPattern
  let rounded = (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16
  let isNaN = bits & 0x7FFF_FFFF > 0x7F80_0000
  return UInt16(truncatingIfNeeded: isNaN ? (bits >> 16) | 0x40 : rounded)
}

/// The nearest F16, ties to even; beyond 65504 infinity.
@inline(__always)
func f16(_ value: Float) -> UInt16 {
  let sign = UInt16(truncatingIfNeeded: value.bitPattern >> 16) & 0x8000
  let bits = value.bitPattern & 0x7FFF_FFFF
  if bits > 0x7F80_0000 { return sign | 0x7E00 }
  if bits >= 0x4780_0000 { return sign | 0x7C00 }
  if bits < 0x3880_0000 {
    // Subnormal: adding 2^-1 · 2^24-ulp aligns the mantissa, and the addition itself rounds to even.
    let aligned = Float(bitPattern: bits) + Float(bitPattern: 0x3F00_0000)
    return sign | UInt16(truncatingIfNeeded: aligned.bitPattern &- 0x3F00_0000)
  }
  let odd = (bits >> 13) & 1
  return sign | UInt16(truncatingIfNeeded: (bits &- 0x3800_0000 &+ 0xFFF &+ odd) >> 13)
}

/// Writes `count` stored numbers as fp32. Exact.
/// - Precondition: `type` is F32, BF16 or F16, and the source is aligned to it.
public func widen(_ source: UnsafeRawPointer, _ type: ElementType, _ count: Int, to out: UnsafeMutablePointer<Float>) {
  switch type {
  case .f32:
    out.update(from: source.assumingMemoryBound(to: Float.self), count: count)
  case .bf16:
    let source = source.assumingMemoryBound(to: UInt16.self)
    for index in 0..<count { out[index] = float(bf16: source[index]) }
  case .f16:
    let source = source.assumingMemoryBound(to: UInt16.self)
    for index in 0..<count { out[index] = float(f16: source[index]) }
  default: preconditionFailure("weights and cached keys are F32, BF16 or F16")
  }
}

/// Writes fp32 numbers in a stored type, rounded to nearest even; element `i` goes to place `i · stride`.
/// - Precondition: `type` is F32, BF16 or F16.
public func narrow(
  _ source: UnsafePointer<Float>, _ count: Int, to out: UnsafeMutableRawPointer, _ type: ElementType, stride: Int = 1
) {
  switch type {
  case .f32:
    let out = out.assumingMemoryBound(to: Float.self)
    for index in 0..<count { out[index * stride] = source[index] }
  case .bf16:
    let out = out.assumingMemoryBound(to: UInt16.self)
    for index in 0..<count { out[index * stride] = bf16(source[index]) }
  case .f16:
    let out = out.assumingMemoryBound(to: UInt16.self)
    for index in 0..<count { out[index * stride] = f16(source[index]) }
  default: preconditionFailure("weights and cached keys are F32, BF16 or F16")
  }
}

/// Rounds fp32 numbers in place to what `type` can hold, so that a chunk attends to its own keys as later ones will.
public func round(_ values: UnsafeMutablePointer<Float>, _ count: Int, to type: ElementType) {
  switch type {
  case .bf16: for index in 0..<count { values[index] = float(bf16: bf16(values[index])) }
  case .f16: for index in 0..<count { values[index] = float(f16: f16(values[index])) }
  default: break
  }
}
