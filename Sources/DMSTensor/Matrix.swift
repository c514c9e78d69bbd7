// Weights as the kernels see them.

/// A borrowed weight matrix `[rows, columns]`, row-major, in its stored type: `y = W x` maps `columns` numbers to `rows`.
@frozen
public struct Matrix: @unchecked Sendable {
  public let rows: Int
  public let columns: Int
  public let type: ElementType
  public let base: UnsafeRawPointer

  /// - Precondition: `view` has two dimensions and is F32, BF16 or F16; its bytes outlive the matrix.
  public init(_ view: TensorView) {
    precondition(view.shape.count == 2, "a matrix has two dimensions")
    rows = view.shape[0]
    columns = view.shape[1]
    type = view.type
    // A matrix without elements has no address; any will do, for nothing is read.
    base = view.bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 64).unsafelyUnwrapped
  }

  public var bytes: Int { rows * columns * type.size }
  /// All of it.
  public var view: TensorView {
    TensorView(type: type, shape: [rows, columns], bytes: UnsafeRawBufferPointer(start: base, count: bytes))
  }

  @inlinable
  public func row(_ index: Int) -> UnsafeRawPointer { base + index * columns * type.size }
}

/// A weight matrix in any form.
@frozen
public enum Weights: Sendable {
  case stored(Matrix)
  case blocks(BlockMatrix)

  public var rows: Int {
    switch self {
    case .stored(let matrix): matrix.rows
    case .blocks(let matrix): matrix.rows
    }
  }
  public var columns: Int {
    switch self {
    case .stored(let matrix): matrix.columns
    case .blocks(let matrix): matrix.columns
    }
  }
  /// How many bytes they take.
  public var bytes: Int {
    switch self {
    case .stored(let matrix): matrix.bytes
    case .blocks(let matrix): matrix.bytes
    }
  }
  /// One of these bytes; of blocks, the numbers come before the scales.
  public func byte(at offset: Int) -> UInt8 {
    switch self {
    case .stored(let matrix): return UnsafeRawBufferPointer(start: matrix.base, count: matrix.bytes)[offset]
    case .blocks(let matrix):
      let (blocks, scales) = (matrix.blockBytes, matrix.scaleBytes)
      return offset < blocks.count ? blocks[offset] : scales[offset - blocks.count]
    }
  }
}
