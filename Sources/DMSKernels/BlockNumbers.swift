// What the bits of a block mean: its numbers and its scales, sixteen rows at a time, in plain Swift. The layout:
// BlockMatrix.swift. Products with them: BlockProduct.swift.

import CKernels
import DMSTensor

extension BlockFormat {
  /// The number by which the C kernels know it.
  var form: Int32 {
    switch self {
    case .q8: Int32(DMS_Q8)
    case .q4: Int32(DMS_Q4)
    case .q8_0: Int32(DMS_Q8_0)
    case .q4_0: Int32(DMS_Q4_0)
    case .q4_1: Int32(DMS_Q4_1)
    case .q4_k: Int32(DMS_Q4_K)
    case .q5_k: Int32(DMS_Q5_K)
    case .q6_k: Int32(DMS_Q6_K)
    }
  }

  /// Four columns of sixteen rows: a byte for each number, as it is stored.
  @inline(__always)
  func numbers(_ block: UnsafeRawPointer, quad: Int) -> SIMD16<UInt32> {
    if bits == 8 { return block.loadUnaligned(fromByteOffset: quad * 64, as: SIMD16<UInt32>.self) }
    let low = block.loadUnaligned(fromByteOffset: quad % 4 * 64, as: SIMD16<UInt32>.self)
    let numbers = (low &>> (quad < 4 ? 0 : 4)) & 0x0F0F_0F0F
    guard bits == 6 else { return numbers }
    let pairs = block.loadUnaligned(fromByteOffset: 256 + quad % 4 / 2 * 64, as: SIMD16<UInt32>.self)
    return numbers | ((pairs &>> UInt32(quad % 2 * 4 + quad / 4 * 2)) & 0x0303_0303) &<< 4
  }

  /// The same of one row.
  @inline(__always)
  func numbers(_ block: UnsafeRawPointer, quad: Int, row: Int) -> UInt32 {
    func word(_ place: Int) -> UInt32 { block.loadUnaligned(fromByteOffset: place + row * 4, as: UInt32.self) }
    if bits == 8 { return word(quad * 64) }
    let numbers = (word(quad % 4 * 64) >> (quad < 4 ? 0 : 4)) & 0x0F0F_0F0F
    guard bits == 6 else { return numbers }
    return numbers | ((word(256 + quad % 4 / 2 * 64) >> UInt32(quad % 2 * 4 + quad / 4 * 2)) & 0x0303_0303) << 4
  }

  /// Writes what `numbers` reads, for one row: 32 bytes, four to a quad.
  @inline(__always)
  func store(_ quads: SIMD8<UInt32>, row: Int, to block: UnsafeMutableRawPointer) {
    let out = block + row * 4
    if bits == 8 {
      for quad in 0..<8 { out.storeBytes(of: quads[quad], toByteOffset: quad * 64, as: UInt32.self) }
      return
    }
    let low = quads & 0x0F0F_0F0F
    let pairs = low.lowHalf | low.highHalf &<< 4
    for quad in 0..<4 { out.storeBytes(of: pairs[quad], toByteOffset: quad * 64, as: UInt32.self) }
    guard bits == 6 else { return }
    let high = (quads &>> 4) & 0x0303_0303
    let four = high.lowHalf | high.highHalf &<< 2
    out.storeBytes(of: four[0] | four[1] << 4, toByteOffset: 256, as: UInt32.self)
    out.storeBytes(of: four[2] | four[3] << 4, toByteOffset: 320, as: UInt32.self)
  }
}

/// The scales of a block: one or two factors, or a factor and what a number 0 stands for. `Row` is a number, or one for each of
/// sixteen rows.
struct BlockFactors<Row> {
  let first: Row
  let second: Row
}

extension BlockFactors<Float> {
  /// - Parameter scales: those of the group.
  @inline(__always)
  init(_ format: BlockFormat, _ scales: UnsafeRawPointer, block: Int, row: Int) {
    let shared = scales + block / 8 * 320
    let bytes = shared + 64 + block % 8 * 32
    func half(_ place: UnsafeRawPointer) -> Float { float(f16: place.load(fromByteOffset: 2 * row, as: UInt16.self)) }
    func byte(_ place: UnsafeRawPointer) -> UInt8 { place.load(fromByteOffset: row, as: UInt8.self) }
    switch format {
    case .q8, .q4:
      self.init(first: float(bf16: scales.load(fromByteOffset: block * 32 + 2 * row, as: UInt16.self)), second: 0)
    case .q8_0, .q4_0: self.init(first: half(scales + block * 32), second: 0)
    case .q4_1: self.init(first: half(scales + block * 64), second: half(scales + block * 64 + 32))
    case .q4_k, .q5_k:
      self.init(first: half(shared) * Float(byte(bytes)), second: half(shared + 32) * Float(byte(bytes + 16)))
    case .q6_k:
      self.init(
        first: half(shared) * Float(Int8(bitPattern: byte(bytes))),
        second: half(shared) * Float(Int8(bitPattern: byte(bytes + 16))))
    }
  }

  /// What a number stands for.
  func value(_ number: UInt8, _ format: BlockFormat, column: Int) -> Float {
    let number = Float(Int(number) - format.offset)
    switch format {
    case .q8, .q4, .q8_0, .q4_0: return first * number
    case .q6_k: return (column < 16 ? first : second) * number
    case .q4_1: return first * number + second
    case .q4_k, .q5_k: return first * number - second
    }
  }
}

extension BlockFactors<SIMD16<Float>> {
  /// - Parameter scales: those of the group.
  @inline(__always)
  init(_ format: BlockFormat, _ scales: UnsafeRawPointer, block: Int) {
    var (first, second) = (SIMD16<Float>(), SIMD16<Float>())
    for row in 0..<16 {
      let one = BlockFactors<Float>(format, scales, block: block, row: row)
      (first[row], second[row]) = (one.first, one.second)
    }
    self.init(first: first, second: second)
  }
}

/// Writes a row of a matrix as fp32 `[columns]`: an embedding.
public func widen(_ weights: BlockMatrix, row: Int, to out: UnsafeMutablePointer<Float>) {
  let (format, group, lane) = (weights.format, row / BlockFormat.rowsPerGroup, row % BlockFormat.rowsPerGroup)
  let scales = weights.scales + group * weights.groupScaleBytes
  for block in 0..<weights.columnBlocks {
    let bytes = weights.blocks + (group * weights.columnBlocks + block) * format.blockBytes
    let factors = BlockFactors<Float>(format, scales, block: block, row: lane)
    for column in 0..<min(32, weights.columns - block * 32) {
      let four = format.numbers(bytes, quad: column / 4, row: lane)
      let number = UInt8(truncatingIfNeeded: four >> UInt32(column % 4 * 8))
      out[block * 32 + column] = factors.value(number, format, column: column)
    }
  }
}
