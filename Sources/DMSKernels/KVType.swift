// How keys and values are stored, and the one form of them that is not a plain number type: 8 bits in blocks of 32 channels,
//
//   x ≈ n · s     |n| ≤ 127     s = max |x| / 127 over the block, rounded to BF16
//
// A block with a number that is not finite becomes NaN as a whole, so that nothing wrong goes unseen.

import DMSTensor

/// The forms that keys and values can be stored in. A key or value of D channels takes 4 D, 2 D, 2 D and
/// D + 2 ⌈D / 32⌉ bytes.
public enum KVType: String, Sendable, CaseIterable {
  /// Numbers as they are, or rounded to 16 bits.
  case f32, bf16, f16, q8

  /// The type of the stored numbers; I8 for blocks, beside which there are scales.
  public var element: ElementType {
    switch self {
    case .f32: .f32
    case .bf16: .bf16
    case .f16: .f16
    case .q8: .i8
    }
  }
}

/// Number `index` of a table of 8-bit numbers, with scale `scale` of a table of scales.
@inline(__always)
func eightBit(_ numbers: UnsafeRawPointer, _ index: Int, _ scales: UnsafeRawPointer, _ scale: Int) -> Float {
  Float(numbers.load(fromByteOffset: index, as: Int8.self))
    * float(bf16: scales.load(fromByteOffset: 2 * scale, as: UInt16.self))
}

/// Writes a vector in 8 bits: number `i` at place `i · stride`, scale `b` at place `b · scaleStride`.
func eightBits(
  _ x: UnsafePointer<Float>, _ count: Int, to numbers: UnsafeMutableRawPointer, stride: Int,
  scales: UnsafeMutableRawPointer, scaleStride: Int
) {
  forEachBlock(x, count) { block, columns, scale, inverse in
    scales.storeBytes(of: scale, toByteOffset: 2 * block * scaleStride, as: UInt16.self)
    for column in columns {
      numbers.storeBytes(of: eightBitNumber(x[column], inverse), toByteOffset: column * stride, as: Int8.self)
    }
  }
}

/// Rounds a vector in place to what 8 bits can hold. What has been rounded does not change when it is rounded again: the
/// largest number of a block is ±127 steps of a scale of 8 significant bits, exactly.
func roundToEightBits(_ x: UnsafeMutablePointer<Float>, _ count: Int) {
  forEachBlock(x, count) { _, columns, scale, inverse in
    for column in columns { x[column] = Float(eightBitNumber(x[column], inverse)) * float(bf16: scale) }
  }
}

@inline(__always)
private func forEachBlock(
  _ x: UnsafePointer<Float>, _ count: Int, _ body: (_ block: Int, Range<Int>, _ scale: UInt16, _ inverse: Float) -> Void
) {
  for block in 0..<(count + 31) / 32 {
    let columns = block * 32..<min(count, block * 32 + 32)
    var (most, invalid): (Float, Float) = (0, 0)
    for column in columns {
      most = max(most, abs(x[column]))
      invalid += x[column] * 0
    }
    // Below this a scale would lose digits, and the numbers are nothing beside any others.
    let scale = bf16((most < 0x1p-100 ? 0 : most / 127) + invalid)
    body(block, columns, scale, scale == 0 ? 0 : 1 / float(bf16: scale))
  }
}

/// The nearest of −127 … 127; for NaN some number, whose scale is NaN.
@inline(__always)
private func eightBitNumber(_ x: Float, _ inverse: Float) -> Int8 { Int8(max(-127, min(127, nearest(x * inverse)))) }
