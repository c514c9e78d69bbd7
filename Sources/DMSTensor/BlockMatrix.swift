// Weights in blocks of 8, 6 or 4 bits: how they lie in memory. Sixteen rows go together, so that a vector register holds one
// number of each and no sum runs across a register; 32 columns share a scale, or 16 do.
//
//   8 bits: 512 bytes a block, [8 quads][16 rows][4 columns]
//   4 bits: 256 bytes a block, [4][16 rows][4]: quad j in the low half, quad j + 4 in the high half
//   6 bits: 384 bytes a block, the low four bits as above, then [2][16 rows][4] pairs of high bits: from bit 0 on those of the
//           quads 2k, 2k + 4, 2k + 1, 2k + 5
//   scales: apart from the numbers, for each group of rows
//     q8 q4        BF16 [columnBlocks][16]: scale · (number − 128 or 8)
//     q8_0 q4_0    F16 [columnBlocks][16]: the same
//     q4_1         F16 [columnBlocks][2][16]: scale · number + minimum
//     q4_k q5_k    for eight blocks F16 [2][16] d and dmin, then bytes [8][2][16]: d · byte · number − dmin · byte
//     q6_k         for eight blocks F16 [2][16] d and nothing, then signed bytes [8][2][16], one for the first sixteen columns
//                  and one for the last: d · byte · (number − 32)
//
// Rows beyond the last and columns beyond the last are zeros.

/// The forms of weights in blocks of 32 columns.
public enum BlockFormat: String, Sendable, CaseIterable {
  /// Numbers of 8 bits: 8.5 bits per weight with the scales.
  case q8
  /// Numbers of 4 bits: 4.5 bits per weight with the scales.
  case q4
  /// llama.cpp's types, with their own scales. Its narrower types of the same kind fit in, too: Q5_0 and IQ4_NL in `q8_0`,
  /// Q3_K in `q6_k`.
  case q8_0, q4_0, q4_1, q4_k, q5_k, q6_k

  /// Those that this program rounds weights to, and writes.
  public static let own: [BlockFormat] = [.q8, .q4]

  /// Rows whose blocks lie interleaved.
  public static let rowsPerGroup = 16
  /// Columns of a row in a block.
  public static let columnsPerBlock = 32

  /// Bits of a number.
  public var bits: Int {
    switch self {
    case .q8, .q8_0: 8
    case .q5_k, .q6_k: 6
    case .q4, .q4_0, .q4_1, .q4_k: 4
    }
  }

  /// What is taken from a number before it is scaled.
  public var offset: Int {
    switch self {
    case .q8, .q8_0: 128
    case .q4, .q4_0: 8
    case .q6_k: 32
    case .q4_1, .q4_k, .q5_k: 0
    }
  }

  /// Bytes of one block's numbers.
  public var blockBytes: Int { 64 * bits }

  /// Bytes of a group's scales.
  public func scaleBytes(columnBlocks: Int) -> Int {
    switch self {
    case .q8, .q4, .q8_0, .q4_0: 32 * columnBlocks
    case .q4_1: 64 * columnBlocks
    case .q4_k, .q5_k, .q6_k: 320 * ((columnBlocks + 7) / 8)
    }
  }
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
  /// The first group's scales.
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
    precondition(scales.count == Self.scaleBytes(format, rows, columns), "scales of this shape")
    self.format = format
    self.rows = rows
    self.columns = columns
    let nowhere = UnsafeRawPointer(bitPattern: 64).unsafelyUnwrapped
    self.blocks = blocks.baseAddress ?? nowhere
    self.scales = scales.baseAddress ?? nowhere
  }

  /// Shape of the blocks of an own format as a tensor of bytes: `[groups, columnBlocks, 8 or 4, 16, 4]`.
  public static func blockShape(_ format: BlockFormat, rows: Int, columns: Int) -> [Int] {
    let lanes = BlockFormat.rowsPerGroup * 4
    return [
      pieces(rows, BlockFormat.rowsPerGroup), pieces(columns, BlockFormat.columnsPerBlock), format.blockBytes / lanes,
      BlockFormat.rowsPerGroup, 4,
    ]
  }

  /// Shape of the scales of an own format as a tensor of BF16: `[groups, columnBlocks, 16]`.
  public static func scaleShape(rows: Int, columns: Int) -> [Int] {
    [
      pieces(rows, BlockFormat.rowsPerGroup), pieces(columns, BlockFormat.columnsPerBlock), BlockFormat.rowsPerGroup,
    ]
  }

  /// Bytes that a matrix of this shape takes: its blocks, then their scales.
  public static func bytes(_ format: BlockFormat, rows: Int, columns: Int) -> Int {
    count(rows, columns) * format.blockBytes + scaleBytes(format, rows, columns)
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
  /// The scales as bytes.
  public var scaleBytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: scales, count: Self.scaleBytes(format, rows, columns))
  }
  /// Bytes of a group's scales.
  public var groupScaleBytes: Int { format.scaleBytes(columnBlocks: columnBlocks) }

  private static func scaleBytes(_ format: BlockFormat, _ rows: Int, _ columns: Int) -> Int {
    pieces(rows, BlockFormat.rowsPerGroup)
      * format.scaleBytes(columnBlocks: pieces(columns, BlockFormat.columnsPerBlock))
  }

  private static func count(_ rows: Int, _ columns: Int) -> Int {
    pieces(rows, BlockFormat.rowsPerGroup) * pieces(columns, BlockFormat.columnsPerBlock)
  }
  private static func pieces(_ count: Int, _ size: Int) -> Int { (count + size - 1) / size }
}
