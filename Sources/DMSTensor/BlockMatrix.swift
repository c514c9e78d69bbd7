// Weights in blocks of 8 or 4 bits: how they lie in memory. Sixteen rows go together, so that a vector register holds one
// number of each and no sum runs across a register; 32 columns share a scale.
//
//   8 bits: 512 bytes a block, [8 quads][16 rows][4 columns], each a number from −127 to 127, plus 128
//   4 bits: 256 bytes a block, [4][16 rows][4]: in the low half a number from −8 to 7, plus 8, of quad j, in the high half
//           one of quad j + 4
//   scales: BF16, [16] a block, apart from the numbers
//
// Rows beyond the last and columns beyond the last are zeros.

/// The forms of weights in blocks of 32 columns that share a scale.
public enum BlockFormat: String, Sendable, CaseIterable {
  /// Numbers of 8 bits: 8.5 bits per weight with the scales.
  case q8
  /// Numbers of 4 bits: 4.5 bits per weight with the scales.
  case q4

  /// Rows whose blocks lie interleaved.
  public static let rowsPerGroup = 16
  /// Columns of a row that share a scale.
  public static let columnsPerBlock = 32

  /// Bytes of one block's numbers.
  public var blockBytes: Int { self == .q8 ? 512 : 256 }
}

/// A borrowed weight matrix `[rows, columns]` in blocks. Whoever makes one keeps its bytes alive.
@frozen
public struct BlockMatrix: @unchecked Sendable {
  /// Form of the numbers.
  public let format: BlockFormat
  /// Outputs of the map, without those that fill up the last group.
  public let rows: Int
  /// Inputs of the map, without those that fill up the last block.
  public let columns: Int
  /// The first of `[groups, columnBlocks]` blocks.
  public let blocks: UnsafeRawPointer
  /// The first of the scales `[groups, columnBlocks, 16]`, BF16.
  public let scales: UnsafeRawPointer

  /// Borrows blocks and the scales that follow them, as conversion writes them.
  ///
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

  /// Borrows blocks and scales that lie apart, as tensors of a file do.
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

  /// Shape of the blocks as a tensor of bytes: `[groups, columnBlocks, 8 or 4, 16, 4]`.
  public static func blockShape(_ format: BlockFormat, rows: Int, columns: Int) -> [Int] {
    let lanes = BlockFormat.rowsPerGroup * 4
    return [
      pieces(rows, BlockFormat.rowsPerGroup), pieces(columns, BlockFormat.columnsPerBlock), format.blockBytes / lanes,
      BlockFormat.rowsPerGroup, 4,
    ]
  }

  /// Shape of the scales as a tensor of BF16: `[groups, columnBlocks, 16]`.
  public static func scaleShape(rows: Int, columns: Int) -> [Int] {
    [
      pieces(rows, BlockFormat.rowsPerGroup), pieces(columns, BlockFormat.columnsPerBlock), BlockFormat.rowsPerGroup,
    ]
  }

  /// Bytes that a matrix of this shape takes: its blocks, then their scales.
  public static func bytes(_ format: BlockFormat, rows: Int, columns: Int) -> Int {
    count(rows, columns) * (format.blockBytes + BlockFormat.rowsPerGroup * 2)
  }

  /// Groups of sixteen rows, the last one filled up with zeros.
  public var groups: Int { Self.pieces(rows, BlockFormat.rowsPerGroup) }
  /// Blocks of 32 columns, the last one filled up with zeros.
  public var columnBlocks: Int { Self.pieces(columns, BlockFormat.columnsPerBlock) }
  /// Size of blocks and scales in bytes.
  public var bytes: Int { Self.bytes(format, rows: rows, columns: columns) }
  /// The blocks, `[groups, columnBlocks]`, as bytes.
  public var blockBytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: blocks, count: Self.count(rows, columns) * format.blockBytes)
  }
  /// The scales, `[groups, columnBlocks, 16]` in BF16, as bytes.
  public var scaleBytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: scales, count: Self.count(rows, columns) * BlockFormat.rowsPerGroup * 2)
  }

  private static func count(_ rows: Int, _ columns: Int) -> Int {
    pieces(rows, BlockFormat.rowsPerGroup) * pieces(columns, BlockFormat.columnsPerBlock)
  }
  private static func pieces(_ count: Int, _ size: Int) -> Int { (count + size - 1) / size }
}
