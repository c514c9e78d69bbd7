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

/// An owned weight matrix `[rows, columns]` in blocks. Filled once, group by group, then only read.
public final class BlockMatrix: @unchecked Sendable {
  public let format: BlockFormat
  public let rows: Int
  public let columns: Int
  /// `[groups, columnBlocks]` blocks.
  public let blocks: UnsafeMutableRawPointer
  /// `[groups, columnBlocks, 16]`, BF16.
  public let scales: UnsafeMutablePointer<UInt16>

  public init(_ format: BlockFormat, rows: Int, columns: Int) {
    self.format = format
    self.rows = rows
    self.columns = columns
    let count = Self.blocks(rows, BlockFormat.rowsPerGroup) * Self.blocks(columns, BlockFormat.columnsPerBlock)
    blocks = .allocate(byteCount: max(1, count * format.blockBytes), alignment: 64)
    let bytes = max(1, count) * BlockFormat.rowsPerGroup * 2
    scales = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
      .bindMemory(to: UInt16.self, capacity: bytes / 2)
  }

  deinit {
    blocks.deallocate()
    scales.deallocate()
  }

  public var groups: Int { Self.blocks(rows, BlockFormat.rowsPerGroup) }
  public var columnBlocks: Int { Self.blocks(columns, BlockFormat.columnsPerBlock) }
  public var bytes: Int { groups * columnBlocks * (format.blockBytes + BlockFormat.rowsPerGroup * 2) }

  private static func blocks(_ count: Int, _ size: Int) -> Int { (count + size - 1) / size }
}
