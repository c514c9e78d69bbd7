// Rows of GGUF files as fp32, with llama.cpp's arithmetic in its order, so that the numbers are the same bit for bit.
// Names of a block's parts are llama.cpp's: d the scale, m or dmin the minimum, q the numbers.

import DMSTensor

/// Writes `count` stored numbers as fp32.
/// - Precondition: the type can be read, and `count` fills whole blocks. The source needs no alignment.
public func widen(_ source: UnsafeRawPointer, _ type: GGMLType, _ count: Int, to out: UnsafeMutablePointer<Float>) {
  let (elements, bytes) = type.block
  precondition(count % elements == 0, "rows of blocks are whole blocks")
  for block in 0..<count / elements {
    let (source, out) = (GGMLBlock(base: source + block * bytes), out + block * elements)
    switch type {
    case .f32: out[0] = Float(bitPattern: source.base.loadUnaligned(as: UInt32.self))
    case .f16: out[0] = source.half(0)
    case .bf16: out[0] = float(bf16: source.bits(0))
    case .q8_0:
      let d = source.half(0)
      for index in 0..<32 { out[index] = Float(source.signed(2 + index)) * d }
    case .q4_0, .iq4_nl: source.fourBits(isTable: type == .iq4_nl, to: out)
    case .q4_1: source.fourBitsWithMinimum(to: out)
    case .q5_0: source.fiveBits(to: out)
    case .q5_1: source.fiveBitsWithMinimum(to: out)
    case .q2_k: source.twoBitsOf256(to: out)
    case .q3_k: source.threeBitsOf256(to: out)
    case .q4_k: source.fourOrFiveBitsOf256(high: nil, low: 16, to: out)
    case .q5_k: source.fourOrFiveBitsOf256(high: 16, low: 48, to: out)
    case .q6_k: source.sixBitsOf256(to: out)
    case .iq4_xs: source.tableOf256(to: out)
    default: preconditionFailure("weights of this type are refused when a file is opened")
    }
  }
}

/// The numbers that IQ4 types choose from.
@inline(__always)
func tableNumber(_ index: Int) -> Float {
  let low: SIMD8<Float> = [-127, -104, -83, -65, -49, -35, -22, -10]
  let high: SIMD8<Float> = [1, 13, 25, 38, 53, 69, 89, 113]
  return index < 8 ? low[index] : high[index - 8]
}

private struct GGMLBlock {
  let base: UnsafeRawPointer

  @inline(__always) func bits(_ place: Int) -> UInt16 { base.loadUnaligned(fromByteOffset: place, as: UInt16.self) }
  @inline(__always) func half(_ place: Int) -> Float { float(f16: bits(place)) }
  @inline(__always) func byte(_ place: Int) -> Int { Int(base.load(fromByteOffset: place, as: UInt8.self)) }
  @inline(__always) func signed(_ place: Int) -> Int { Int(base.load(fromByteOffset: place, as: Int8.self)) }
  /// Number `index` of 32, whose first half is in the low and whose second half in the high bits of 16 bytes.
  @inline(__always) func nibble(_ place: Int, _ index: Int) -> Int {
    index < 16 ? byte(place + index) & 15 : byte(place + index - 16) >> 4
  }

  func fourBits(isTable: Bool, to out: UnsafeMutablePointer<Float>) {
    let d = half(0)
    for index in 0..<32 {
      let q = nibble(2, index)
      out[index] = d * (isTable ? tableNumber(q) : Float(q - 8))
    }
  }

  func fourBitsWithMinimum(to out: UnsafeMutablePointer<Float>) {
    let (d, m) = (half(0), half(2))
    for index in 0..<32 { out[index] = d * Float(nibble(4, index)) + m }
  }

  /// Bit `index` of 32.
  @inline(__always) func fifth(_ place: Int, _ index: Int) -> Int { (byte(place + index / 8) >> (index % 8) & 1) << 4 }

  func fiveBits(to out: UnsafeMutablePointer<Float>) {
    let d = half(0)
    for index in 0..<32 { out[index] = d * Float((nibble(6, index) | fifth(2, index)) - 16) }
  }

  func fiveBitsWithMinimum(to out: UnsafeMutablePointer<Float>) {
    let (d, m) = (half(0), half(2))
    for index in 0..<32 { out[index] = d * Float(nibble(8, index) | fifth(4, index)) + m }
  }

  func twoBitsOf256(to out: UnsafeMutablePointer<Float>) {
    let (d, dmin) = (half(80), half(82))
    for group in 0..<16 {
      let (dl, ml) = (d * Float(byte(group) & 15), dmin * Float(byte(group) >> 4))
      for index in group * 16..<group * 16 + 16 {
        let q = byte(16 + index / 128 * 32 + index % 32) >> (index % 128 / 32 * 2) & 3
        out[index] = dl * Float(q) - ml
      }
    }
  }

  func threeBitsOf256(to out: UnsafeMutablePointer<Float>) {
    let d = half(108)
    for group in 0..<16 {
      let low = byte(96 + group % 8) >> (group < 8 ? 0 : 4) & 15
      let high = byte(104 + group % 4) >> (group / 4 * 2) & 3
      let dl = d * Float((low | high << 4) - 32)
      for index in group * 16..<group * 16 + 16 {
        let q = byte(32 + index / 128 * 32 + index % 32) >> (index % 128 / 32 * 2) & 3
        // A bit that is set takes nothing off.
        let offset = byte(index % 32) >> (index / 32) & 1 == 1 ? 0 : 4
        out[index] = dl * Float(q - offset)
      }
    }
  }

  /// Scale and minimum of a group of 32, six bits each.
  @inline(__always) func scaleAndMinimum(_ group: Int) -> (Int, Int) {
    guard group >= 4 else { return (byte(4 + group) & 63, byte(8 + group) & 63) }
    let both = byte(8 + group)
    return (both & 15 | byte(group) >> 2 & 48, both >> 4 | byte(4 + group) >> 2 & 48)
  }

  func fourOrFiveBitsOf256(high: Int?, low: Int, to out: UnsafeMutablePointer<Float>) {
    let (d, dmin) = (half(0), half(2))
    for group in 0..<8 {
      let (scale, minimum) = scaleAndMinimum(group)
      let (dl, ml) = (d * Float(scale), dmin * Float(minimum))
      for index in 0..<32 {
        var q = byte(low + group / 2 * 32 + index) >> (group % 2 * 4) & 15
        if let high { q |= (byte(high + index) >> group & 1) << 4 }
        out[group * 32 + index] = dl * Float(q) - ml
      }
    }
  }

  func sixBitsOf256(to out: UnsafeMutablePointer<Float>) {
    let d = half(208)
    for group in 0..<16 {
      let dl = d * Float(signed(192 + group))
      for index in group * 16..<group * 16 + 16 {
        let low = byte(index / 128 * 64 + index % 64) >> (index % 128 / 64 * 4) & 15
        let high = byte(128 + index / 128 * 32 + index % 32) >> (index % 128 / 32 * 2) & 3
        out[index] = dl * Float((low | high << 4) - 32)
      }
    }
  }

  func tableOf256(to out: UnsafeMutablePointer<Float>) {
    let d = half(0)
    for group in 0..<8 {
      let low = byte(4 + group / 2) >> (group % 2 * 4) & 15
      let high = Int(bits(2)) >> (group * 2) & 3
      let dl = d * Float((low | high << 4) - 32)
      for index in 0..<32 { out[group * 32 + index] = dl * tableNumber(nibble(8 + group * 16, index)) }
    }
  }
}
