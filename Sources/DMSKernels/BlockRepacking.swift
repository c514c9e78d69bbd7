// Blocks of GGUF files in the layout that block products read: the same numbers and the same scales in another order, so that
// nothing is rounded.
//
// Names of a block's parts are llama.cpp's: d the scale, m or dmin the minimum, q the numbers, in blocks of 32 or of 256.

import DMSPlatform
import DMSTensor

extension BlockFormat {
  /// The format that holds blocks of a GGUF file without loss; `nil` where there is none.
  public init?(holding type: GGMLType) {
    switch type {
    case .q8_0, .q5_0, .iq4_nl: self = .q8_0
    case .q4_0: self = .q4_0
    case .q4_1: self = .q4_1
    case .q4_k: self = .q4_k
    case .q5_k: self = .q5_k
    case .q6_k, .q3_k: self = .q6_k
    default: return nil
    }
  }
}

/// Reorders a matrix of a GGUF file's blocks. One task per group of sixteen rows.
public struct BlockRepacking: ParallelWork {
  let source: GGMLMatrix
  /// The matrix in blocks, in the memory that was given; whole when all tasks have run.
  public let result: BlockMatrix

  /// Prepares the reordering of a matrix.
  ///
  /// - Parameters:
  ///   - format: that holds the source's type.
  ///   - bytes: memory of the result, at least `BlockMatrix.bytes` for the shape of `source`.
  public init(_ source: GGMLMatrix, _ format: BlockFormat, to bytes: UnsafeMutableRawBufferPointer) {
    precondition(BlockFormat(holding: source.type) == format, "a format that holds these blocks")
    self.source = source
    let count = BlockMatrix.bytes(format, rows: source.rows, columns: source.columns)
    result = BlockMatrix(
      format, rows: source.rows, columns: source.columns, bytes: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
  }

  /// Groups of sixteen rows.
  public var tasks: Int { result.groups }

  /// Reorders a group.
  public func run(task group: Int, worker: Int) {
    let size = result.columnBlocks * result.format.blockBytes
    let blocks = UnsafeMutableRawPointer(mutating: result.blocks + group * size)
    let scales = UnsafeMutableRawPointer(mutating: result.scales + group * result.groupScaleBytes)
    // The last group has rows that nothing is written to.
    blocks.initializeMemory(as: UInt8.self, repeating: 0, count: (group + 1) * 16 > source.rows ? size : 0)
    scales.initializeMemory(as: UInt8.self, repeating: 0, count: result.groupScaleBytes)
    switch source.type {
    case .q8_0: repack(Q8_0.self, group, blocks, scales)
    case .q5_0: repack(Q5_0.self, group, blocks, scales)
    case .iq4_nl: repack(IQ4_NL.self, group, blocks, scales)
    case .q4_0: repack(Q4_0.self, group, blocks, scales)
    case .q4_1: repack(Q4_1.self, group, blocks, scales)
    case .q4_k: repack(Q4_K.self, group, blocks, scales)
    case .q5_k: repack(Q5_K.self, group, blocks, scales)
    case .q6_k: repack(Q6_K.self, group, blocks, scales)
    default: repack(Q3_K.self, group, blocks, scales)
    }
  }

  @inline(__always)
  private func repack<Source: RepackedBlock>(
    _: Source.Type, _ group: Int, _ blocks: UnsafeMutableRawPointer, _ scales: UnsafeMutableRawPointer
  ) {
    let (elements, bytes) = source.type.block
    let parts = elements / BlockFormat.columnsPerBlock
    let first = group * BlockFormat.rowsPerGroup
    for block in 0..<result.columnBlocks {
      let out = blocks + block * result.format.blockBytes
      for row in 0..<min(BlockFormat.rowsPerGroup, source.rows - first) {
        let place = source.row(first + row) + block / parts * bytes
        result.format.store(Source.numbers(place, block % parts), row: row, to: out)
        Source.storeScales(of: place, block: block, row: row, to: scales)
      }
    }
  }
}

/// A type of blocks: what is taken from one, and where its scales go.
private protocol RepackedBlock {
  /// The numbers of a part of 32 columns, a byte each, as the result stores them.
  static func numbers(_ block: UnsafeRawPointer, _ part: Int) -> SIMD8<UInt32>
  /// - Parameter block: the place of the part among the row's.
  static func storeScales(of source: UnsafeRawPointer, block: Int, row: Int, to scales: UnsafeMutableRawPointer)
}

extension UnsafeRawPointer {
  @inline(__always) fileprivate func words(_ place: Int) -> SIMD8<UInt32> {
    loadUnaligned(fromByteOffset: place, as: SIMD8<UInt32>.self)
  }
  @inline(__always) fileprivate func byte(_ place: Int) -> UInt8 { load(fromByteOffset: place, as: UInt8.self) }
  @inline(__always) fileprivate func half(_ place: Int) -> UInt16 {
    loadUnaligned(fromByteOffset: place, as: UInt16.self)
  }

  /// 32 numbers whose first half is in the low and whose second half in the high bits of 16 bytes.
  @inline(__always) fileprivate func nibbles(_ place: Int) -> SIMD8<UInt32> {
    let bytes = loadUnaligned(fromByteOffset: place, as: SIMD4<UInt32>.self)
    return SIMD8(lowHalf: bytes & 0x0F0F_0F0F, highHalf: (bytes &>> 4) & 0x0F0F_0F0F)
  }
}

/// A number made of each of 32, by its place.
@inline(__always)
private func each(_ words: SIMD8<UInt32>, _ number: (UInt8, Int) -> UInt8) -> SIMD8<UInt32> {
  var bytes = unsafeBitCast(words, to: SIMD32<UInt8>.self)
  for index in 0..<32 { bytes[index] = number(bytes[index], index) }
  return unsafeBitCast(bytes, to: SIMD8<UInt32>.self)
}

extension RepackedBlock {
  /// A scale for every block, from its first bytes.
  @inline(__always)
  static func storeScales(of source: UnsafeRawPointer, block: Int, row: Int, to scales: UnsafeMutableRawPointer) {
    scales.storeBytes(of: source.half(0), toByteOffset: block * 32 + 2 * row, as: UInt16.self)
  }

  /// Two bytes for every block, and two numbers for eight.
  @inline(__always)
  static func store(
    _ bytes: (UInt8, UInt8), _ shared: (UInt16, UInt16), block: Int, row: Int, to scales: UnsafeMutableRawPointer
  ) {
    let record = scales + block / 8 * 320
    record.storeBytes(of: shared.0, toByteOffset: 2 * row, as: UInt16.self)
    record.storeBytes(of: shared.1, toByteOffset: 32 + 2 * row, as: UInt16.self)
    record.storeBytes(of: bytes.0, toByteOffset: 64 + block % 8 * 32 + row, as: UInt8.self)
    record.storeBytes(of: bytes.1, toByteOffset: 80 + block % 8 * 32 + row, as: UInt8.self)
  }

  /// Scale and minimum of a part, six bits each.
  @inline(__always)
  static func storeScaleAndMinimum(
    of source: UnsafeRawPointer, block: Int, row: Int, to scales: UnsafeMutableRawPointer
  ) {
    let part = block % 8
    var pair = (source.byte(4 + part) & 63, source.byte(8 + part) & 63)
    if part >= 4 {
      let both = source.byte(8 + part)
      pair = (both & 15 | source.byte(part) >> 2 & 48, both >> 4 | source.byte(4 + part) >> 2 & 48)
    }
    store(pair, (source.half(0), source.half(2)), block: block, row: row, to: scales)
  }
}

private enum Q8_0: RepackedBlock {
  @inline(__always) static func numbers(_ block: UnsafeRawPointer, _: Int) -> SIMD8<UInt32> {
    block.words(2) ^ 0x8080_8080
  }
}

private enum Q5_0: RepackedBlock {
  @inline(__always) static func numbers(_ block: UnsafeRawPointer, _: Int) -> SIMD8<UInt32> {
    let fifths = block.loadUnaligned(fromByteOffset: 2, as: UInt32.self)
    return each(block.nibbles(6)) { $0 + UInt8(truncatingIfNeeded: fifths >> UInt32($1) & 1) << 4 + 112 }
  }
}

private enum IQ4_NL: RepackedBlock {
  @inline(__always) static func numbers(_ block: UnsafeRawPointer, _: Int) -> SIMD8<UInt32> {
    each(block.nibbles(2)) { number, _ in UInt8(128 + Int(tableNumber(Int(number)))) }
  }
}

private enum Q4_0: RepackedBlock {
  @inline(__always) static func numbers(_ block: UnsafeRawPointer, _: Int) -> SIMD8<UInt32> { block.nibbles(2) }
}

private enum Q4_1: RepackedBlock {
  @inline(__always) static func numbers(_ block: UnsafeRawPointer, _: Int) -> SIMD8<UInt32> { block.nibbles(4) }
  @inline(__always)
  static func storeScales(of source: UnsafeRawPointer, block: Int, row: Int, to scales: UnsafeMutableRawPointer) {
    scales.storeBytes(of: source.half(0), toByteOffset: block * 64 + 2 * row, as: UInt16.self)
    scales.storeBytes(of: source.half(2), toByteOffset: block * 64 + 32 + 2 * row, as: UInt16.self)
  }
}

private enum Q4_K: RepackedBlock {
  @inline(__always) static func numbers(_ block: UnsafeRawPointer, _ part: Int) -> SIMD8<UInt32> {
    (block.words(16 + part / 2 * 32) &>> UInt32(part % 2 * 4)) & 0x0F0F_0F0F
  }
  @inline(__always)
  static func storeScales(of source: UnsafeRawPointer, block: Int, row: Int, to scales: UnsafeMutableRawPointer) {
    storeScaleAndMinimum(of: source, block: block, row: row, to: scales)
  }
}

private enum Q5_K: RepackedBlock {
  @inline(__always) static func numbers(_ block: UnsafeRawPointer, _ part: Int) -> SIMD8<UInt32> {
    let low = (block.words(48 + part / 2 * 32) &>> UInt32(part % 2 * 4)) & 0x0F0F_0F0F
    return low | ((block.words(16) &>> UInt32(part)) & 0x0101_0101) &<< 4
  }
  @inline(__always)
  static func storeScales(of source: UnsafeRawPointer, block: Int, row: Int, to scales: UnsafeMutableRawPointer) {
    storeScaleAndMinimum(of: source, block: block, row: row, to: scales)
  }
}

private enum Q6_K: RepackedBlock {
  @inline(__always) static func numbers(_ block: UnsafeRawPointer, _ part: Int) -> SIMD8<UInt32> {
    let low = (block.words(part / 4 * 64 + part % 2 * 32) &>> UInt32(part % 4 / 2 * 4)) & 0x0F0F_0F0F
    return low | ((block.words(128 + part / 4 * 32) &>> UInt32(part % 4 * 2)) & 0x0303_0303) &<< 4
  }
  @inline(__always)
  static func storeScales(of source: UnsafeRawPointer, block: Int, row: Int, to scales: UnsafeMutableRawPointer) {
    let place = 192 + 2 * (block % 8)
    store((source.byte(place), source.byte(place + 1)), (source.half(208), 0), block: block, row: row, to: scales)
  }
}

private enum Q3_K: RepackedBlock {
  @inline(__always) static func numbers(_ block: UnsafeRawPointer, _ part: Int) -> SIMD8<UInt32> {
    let low = (block.words(32 + part / 4 * 32) &>> UInt32(part % 4 * 2)) & 0x0303_0303
    // A bit that is set takes nothing off: q − 4 + 4 · bit, plus 32.
    return low &+ ((block.words(0) &>> UInt32(part)) & 0x0101_0101) &<< 2 &+ 0x1C1C_1C1C
  }
  @inline(__always)
  static func storeScales(of source: UnsafeRawPointer, block: Int, row: Int, to scales: UnsafeMutableRawPointer) {
    func scale(_ group: Int) -> UInt8 {
      let low = source.byte(96 + group % 8) >> (group < 8 ? 0 : 4) & 15
      let high = source.byte(104 + group % 4) >> UInt8(group / 4 * 2) & 3
      return (low | high << 4) &- 32
    }
    let first = 2 * (block % 8)
    store((scale(first), scale(first + 1)), (source.half(108), 0), block: block, row: row, to: scales)
  }
}
