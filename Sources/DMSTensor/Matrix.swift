// Weights as the kernels see them.

/// A borrowed weight matrix `[rows, columns]`, row-major, in its stored type: `y = W x` maps `columns` numbers to `rows`.
@frozen
public struct Matrix: @unchecked Sendable {
  /// Outputs of the map.
  public let rows: Int
  /// Inputs of the map.
  public let columns: Int
  /// Type of the stored numbers: F32, BF16 or F16.
  public let type: ElementType
  /// The first row's first number. Whoever made the matrix keeps it alive.
  public let base: UnsafeRawPointer

  /// Borrows the bytes of a view.
  ///
  /// - Precondition: `view` has two dimensions and is F32, BF16 or F16; its bytes outlive the matrix.
  public init(_ view: TensorView) {
    precondition(view.shape.count == 2, "a matrix has two dimensions")
    rows = view.shape[0]
    columns = view.shape[1]
    type = view.type
    // A matrix without elements has no address; any will do, for nothing is read.
    base = view.bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 64).unsafelyUnwrapped
  }

  /// Size in bytes.
  public var bytes: Int { rows * columns * type.size }
  /// The whole matrix as a tensor `[rows, columns]` of the same bytes.
  public var view: TensorView {
    TensorView(type: type, shape: [rows, columns], bytes: UnsafeRawBufferPointer(start: base, count: bytes))
  }

  /// The first number of a row; rows follow each other without gaps.
  @inlinable
  public func row(_ index: Int) -> UnsafeRawPointer { base + index * columns * type.size }
}

/// A borrowed weight matrix `[rows, columns]` in the blocks of a GGUF file: whole blocks, row after row.
@frozen
public struct GGMLMatrix: @unchecked Sendable {
  /// Outputs of the map.
  public let rows: Int
  /// Inputs of the map.
  public let columns: Int
  /// Type of the blocks.
  public let type: GGMLType
  /// The first row's first block, at any address. Whoever made the matrix keeps it alive.
  public let base: UnsafeRawPointer

  /// Borrows the bytes of a tensor.
  ///
  /// - Precondition: `bytes` are rows of whole blocks of this shape.
  public init(_ type: GGMLType, rows: Int, columns: Int, bytes: UnsafeRawBufferPointer) {
    precondition(bytes.count == type.bytes(of: rows * columns, columns: columns), "blocks of this shape")
    self.rows = rows
    self.columns = columns
    self.type = type
    // A matrix without elements has no address; any will do, for nothing is read.
    base = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 64).unsafelyUnwrapped
  }

  /// Size of a row in bytes.
  public var rowBytes: Int { columns / type.block.elements * type.block.bytes }
  /// Size in bytes.
  public var bytes: Int { rows * rowBytes }
  /// The first block of a row; rows follow each other without gaps.
  public func row(_ index: Int) -> UnsafeRawPointer { base + index * rowBytes }
}

/// A weight matrix in any form.
@frozen
public enum Weights: Sendable {
  /// Plain numbers, row-major.
  case stored(Matrix)
  /// Blocks as GGUF files have them.
  case ggml(GGMLMatrix)
  /// Blocks of 8 or 4 bits.
  case blocks(BlockMatrix)

  /// Outputs of the map.
  public var rows: Int {
    switch self {
    case .stored(let matrix): matrix.rows
    case .ggml(let matrix): matrix.rows
    case .blocks(let matrix): matrix.rows
    }
  }
  /// Inputs of the map.
  public var columns: Int {
    switch self {
    case .stored(let matrix): matrix.columns
    case .ggml(let matrix): matrix.columns
    case .blocks(let matrix): matrix.columns
    }
  }
  /// Size in bytes; of blocks, with their scales.
  public var bytes: Int {
    switch self {
    case .stored(let matrix): matrix.bytes
    case .ggml(let matrix): matrix.bytes
    case .blocks(let matrix): matrix.bytes
    }
  }
  /// The byte at an offset below `bytes`; of blocks, the numbers come before the scales.
  public func byte(at offset: Int) -> UInt8 {
    switch self {
    case .stored(let matrix): return UnsafeRawBufferPointer(start: matrix.base, count: matrix.bytes)[offset]
    case .ggml(let matrix): return UnsafeRawBufferPointer(start: matrix.base, count: matrix.bytes)[offset]
    case .blocks(let matrix):
      let (blocks, scales) = (matrix.blockBytes, matrix.scaleBytes)
      return offset < blocks.count ? blocks[offset] : scales[offset - blocks.count]
    }
  }
}
