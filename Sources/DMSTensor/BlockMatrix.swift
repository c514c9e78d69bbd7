// Weights in blocks of 8 or 4 bits: how they lie in memory. Sixteen rows go together, so that a vector register holds one
// number of each and no sum runs across a register; 32 columns share a scale.
//
//   8 bits: 512 bytes a block, [8 quads][16 rows][4 columns], each a number from −127 to 127, plus 128
//   4 bits: 256 bytes a block, [4][16 rows][4]: in the low half a number from −8 to 7, plus 8, of quad j, in the high half
//           one of quad j + 4
//   scales: BF16, [16] a block, apart from the numbers
//
// Rows beyond the last and columns beyond the last are zeros.

public enum BlockFormat: String, Sendable, CaseIterable {
  /// 8.5 bits per weight.
  case q8
  /// 4.5 bits per weight.
  case q4

  public static let rowsPerGroup = 16
  public static let columnsPerBlock = 32

  /// Bytes of one block's numbers.
  public var blockBytes: Int { self == .q8 ? 512 : 256 }
}

/// A borrowed weight matrix `[rows, columns]` in blocks. Whoever makes one keeps its bytes alive.
@frozen
public struct BlockMatrix: @unchecked Sendable {
  public let format: BlockFormat
  public let rows: Int
  public let columns: Int
  /// `[groups, columnBlocks]` blocks.
  public let blocks: UnsafeRawPointer
  /// `[groups, columnBlocks, 16]`, BF16.
  public let scales: UnsafeRawPointer

  /// - Precondition: `bytes` are blocks of this shape followed by their scales, as many as `bytes(_:rows:columns:)` says.
  public init(_ format: BlockFormat, rows: Int, columns: Int, bytes: UnsafeRawBufferPointer) {
    precondition(bytes.count == Self.bytes(format, rows: rows, columns: columns), "bytes of this shape")
    self.format = format
    self.rows = rows
    self.columns = columns
    // A matrix without elements has no address; any will do, for nothing is read.
    blocks = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 64).unsafelyUnwrapped
    scales = blocks + Self.count(rows, columns) * format.blockBytes
  }

  /// Blocks and scales that lie apart, as tensors of a file do.
  ///
  /// - Precondition: they have the shapes that `blockShape` and `scaleShape` say; the scales are aligned to two bytes.
  ///   Blocks may lie anywhere, but are read fastest at multiples of 64.
  public init(
    _ format: BlockFormat, rows: Int, columns: Int, blocks: UnsafeRawBufferPointer, scales: UnsafeRawBufferPointer
  ) {
    let count = Self.count(rows, columns)
    precondition(blocks.count == count * format.blockBytes, "blocks of this shape")
    precondition(scales.count == count * BlockFormat.rowsPerGroup * 2, "scales of this shape")
    self.format = format
    self.rows = rows
    self.columns = columns
    let nowhere = UnsafeRawPointer(bitPattern: 64).unsafelyUnwrapped
    self.blocks = blocks.baseAddress ?? nowhere
    self.scales = scales.baseAddress ?? nowhere
  }

  /// `[groups, columnBlocks, 8 or 4, 16, 4]`, bytes.
  public static func blockShape(_ format: BlockFormat, rows: Int, columns: Int) -> [Int] {
    let lanes = BlockFormat.rowsPerGroup * 4
    return [
      pieces(rows, BlockFormat.rowsPerGroup), pieces(columns, BlockFormat.columnsPerBlock), format.blockBytes / lanes,
      BlockFormat.rowsPerGroup, 4,
    ]
  }

  /// `[groups, columnBlocks, 16]`, BF16.
  public static func scaleShape(rows: Int, columns: Int) -> [Int] {
    [
      pieces(rows, BlockFormat.rowsPerGroup), pieces(columns, BlockFormat.columnsPerBlock), BlockFormat.rowsPerGroup,
    ]
  }

  /// Bytes of a matrix: its blocks, then their scales.
  public static func bytes(_ format: BlockFormat, rows: Int, columns: Int) -> Int {
    count(rows, columns) * (format.blockBytes + BlockFormat.rowsPerGroup * 2)
  }

  public var groups: Int { Self.pieces(rows, BlockFormat.rowsPerGroup) }
  public var columnBlocks: Int { Self.pieces(columns, BlockFormat.columnsPerBlock) }
  public var bytes: Int { Self.bytes(format, rows: rows, columns: columns) }
  public var blockBytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: blocks, count: Self.count(rows, columns) * format.blockBytes)
  }
  public var scaleBytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: scales, count: Self.count(rows, columns) * BlockFormat.rowsPerGroup * 2)
  }

  private static func count(_ rows: Int, _ columns: Int) -> Int {
    pieces(rows, BlockFormat.rowsPerGroup) * pieces(columns, BlockFormat.columnsPerBlock)
  }
  private static func pieces(_ count: Int, _ size: Int) -> Int { (count + size - 1) / size }
}
