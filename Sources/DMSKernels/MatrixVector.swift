// y = W x for decoding: S vectors against one pass over the weights, which come from memory once. Memory is the limit, so
// the weights are read in their stored type, four rows at a time.
//
// R rows · K columns · S vectors (one per sequence)
//
// One reduction order per output element and instruction set: partial sums by column modulo 32 (portable) or 16 (AVX2, NEON),
// folded in halves, then the columns beyond the last multiple of 32 in order. It depends neither on the number of threads
// nor on S.

import CKernels
import DMSPlatform
import DMSTensor

/// `y = W x (+ b)` for the vectors of one decode step, in one pass over the stored weights. The order of a sum depends
/// on the instruction set alone, not on the number of threads or vectors.
public struct MatrixVectorProduct: ParallelWork {
  /// Rows of one task: large enough to outweigh the fork, small enough that a stalled core holds little back.
  static let rowsPerTask = 64

  let weights: Matrix
  let input: UnsafePointer<Float>
  let vectors: Int
  let bias: UnsafePointer<Float>?
  let output: UnsafeMutablePointer<Float>
  let outputStride: Int
  let split: UnsafePointer<Float>
  let instructions: InstructionSet

  /// Prepares `output[s, r] = Σ_k weights[r, k] · input[s, k] (+ bias[r])`.
  ///
  /// - Parameters:
  ///   - input: `[S, K]`.
  ///   - output: rows of `outputStride` numbers, at least R.
  ///   - scratch: `[S, K]`, overwritten: the input with even and odd columns apart, as 16-bit weights are unpacked.
  ///   - instructions: must be available.
  public init(
    _ weights: Matrix, input: UnsafePointer<Float>, vectors: Int, bias: UnsafePointer<Float>?,
    output: UnsafeMutablePointer<Float>, outputStride: Int, scratch: UnsafeMutablePointer<Float>,
    instructions: InstructionSet
  ) {
    self.weights = weights
    self.instructions = instructions
    self.input = input
    self.vectors = vectors
    self.bias = bias
    self.output = output
    self.outputStride = outputStride
    split = UnsafePointer(scratch)
    if splitsInput {
      for vector in 0..<vectors {
        splitPairs(input + vector * weights.columns, weights.columns, to: scratch + vector * weights.columns)
      }
    }
  }

  /// F16C and NEON unpack F16 in order; shifts and masks give even and odd columns.
  private var splitsInput: Bool { weights.type == .bf16 || (weights.type == .f16 && instructions == .portable) }

  /// Runs of 64 rows.
  public var tasks: Int { (weights.rows + Self.rowsPerTask - 1) / Self.rowsPerTask }

  /// Computes a task's rows for all vectors.
  public func run(task: Int, worker: Int) {
    let rows = task * Self.rowsPerTask..<min(weights.rows, (task + 1) * Self.rowsPerTask)
    if instructions != .portable {
      inC(rows)
      return
    }
    switch weights.type {
    case .f32: products(of: F32Row.self, rows)
    case .bf16: products(of: BF16Row.self, rows)
    case .f16: products(of: F16Row.self, rows)
    default: preconditionFailure("weights are F32, BF16 or F16")
    }
  }

  private func inC(_ rows: Range<Int>) {
    let (first, bytes, count) = (weights.row(rows.lowerBound), weights.columns * weights.type.size, rows.count)
    for vector in 0..<vectors {
      let x = (splitsInput ? split : input) + vector * weights.columns
      let y = output + vector * outputStride + rows.lowerBound
      switch (weights.type, instructions.hasAVX2) {
      case (.f32, true): dms_matvec_f32_avx2(first, Int64(bytes), Int64(count), x, Int64(weights.columns), y)
      case (.bf16, true): dms_matvec_bf16_avx2(first, Int64(bytes), Int64(count), x, Int64(weights.columns), y)
      case (.f16, true): dms_matvec_f16_avx2(first, Int64(bytes), Int64(count), x, Int64(weights.columns), y)
      case (.f32, false): dms_matvec_f32_neon(first, Int64(bytes), Int64(count), x, Int64(weights.columns), y)
      case (.bf16, false): dms_matvec_bf16_neon(first, Int64(bytes), Int64(count), x, Int64(weights.columns), y)
      case (.f16, false): dms_matvec_f16_neon(first, Int64(bytes), Int64(count), x, Int64(weights.columns), y)
      default: preconditionFailure("weights are F32, BF16 or F16")
      }
      if let bias { for index in 0..<count { y[index] += bias[rows.lowerBound + index] } }
    }
  }

  @inline(__always)
  private func products<Row: WeightRow>(of row: Row.Type, _ rows: Range<Int>) {
    var index = rows.lowerBound
    while index + 4 <= rows.upperBound {
      for vector in 0..<vectors {
        let x = (Row.splitsInput ? split : input) + vector * weights.columns
        let sums = dot4(row, weights.row(index), weights.columns * weights.type.size, x, weights.columns)
        let out = output + vector * outputStride + index
        for lane in 0..<4 { out[lane] = sums[lane] + (bias.map { $0[index + lane] } ?? 0) }
      }
      index += 4
    }
    while index < rows.upperBound {
      for vector in 0..<vectors {
        let x = (Row.splitsInput ? split : input) + vector * weights.columns
        let sum = dot(row, weights.row(index), x, weights.columns)
        output[vector * outputStride + index] = sum + (bias.map { $0[index] } ?? 0)
      }
      index += 1
    }
  }
}

/// Separates blocks of 32 numbers into their 16 even and 16 odd ones; what is left over stays in order.
func splitPairs(_ source: UnsafePointer<Float>, _ count: Int, to out: UnsafeMutablePointer<Float>) {
  var block = 0
  while block + 32 <= count {
    for pair in 0..<16 {
      out[block + pair] = source[block + 2 * pair]
      out[block + 16 + pair] = source[block + 2 * pair + 1]
    }
    block += 32
  }
  while block < count {
    out[block] = source[block]
    block += 1
  }
}

/// How 32 consecutive weights become two vectors of 16.
protocol WeightRow {
  /// Whether the two vectors are the even and odd columns, or the first and last sixteen.
  static var splitsInput: Bool { get }
  static func block(_ row: UnsafeRawPointer, _ column: Int) -> (SIMD16<Float>, SIMD16<Float>)
  static func one(_ row: UnsafeRawPointer, _ column: Int) -> Float
}

enum F32Row: WeightRow {
  static var splitsInput: Bool { false }
  @inline(__always) static func block(_ row: UnsafeRawPointer, _ column: Int) -> (SIMD16<Float>, SIMD16<Float>) {
    (
      row.loadUnaligned(fromByteOffset: column * 4, as: SIMD16<Float>.self),
      row.loadUnaligned(fromByteOffset: column * 4 + 64, as: SIMD16<Float>.self)
    )
  }
  @inline(__always) static func one(_ row: UnsafeRawPointer, _ column: Int) -> Float {
    row.load(fromByteOffset: column * 4, as: Float.self)
  }
}

enum BF16Row: WeightRow {
  static var splitsInput: Bool { true }
  @inline(__always) static func block(_ row: UnsafeRawPointer, _ column: Int) -> (SIMD16<Float>, SIMD16<Float>) {
    let pairs = row.loadUnaligned(fromByteOffset: column * 2, as: SIMD16<UInt32>.self)
    return (
      unsafeBitCast(pairs &<< 16, to: SIMD16<Float>.self),
      unsafeBitCast(pairs & 0xFFFF_0000, to: SIMD16<Float>.self)
    )
  }
  @inline(__always) static func one(_ row: UnsafeRawPointer, _ column: Int) -> Float {
    float(bf16: row.load(fromByteOffset: column * 2, as: UInt16.self))
  }
}

enum F16Row: WeightRow {
  static var splitsInput: Bool { true }
  @inline(__always) static func block(_ row: UnsafeRawPointer, _ column: Int) -> (SIMD16<Float>, SIMD16<Float>) {
    let pairs = row.loadUnaligned(fromByteOffset: column * 2, as: SIMD16<UInt32>.self)
    return (widen(pairs & 0xFFFF), widen(pairs &>> 16))
  }
  @inline(__always) static func one(_ row: UnsafeRawPointer, _ column: Int) -> Float {
    float(f16: row.load(fromByteOffset: column * 2, as: UInt16.self))
  }
  /// As `float(f16:)`, sixteen at a time. A weight is finite, but infinities and NaNs pass through all the same.
  @inline(__always) private static func widen(_ bits: SIMD16<UInt32>) -> SIMD16<Float> {
    let magnitude = (bits & 0x7FFF) &<< 13
    let scaled = unsafeBitCast(magnitude, to: SIMD16<Float>.self) * Float(bitPattern: 0x7780_0000)
    let value = unsafeBitCast(scaled, to: SIMD16<UInt32>.self)
      .replacing(with: magnitude | 0x7F80_0000, where: magnitude .>= 0x0F80_0000)
    return unsafeBitCast(value | ((bits & 0x8000) &<< 16), to: SIMD16<Float>.self)
  }
}

@inline(__always)
func fold(_ sum: SIMD16<Float>) -> Float {
  let eight = sum.lowHalf + sum.highHalf
  let four = eight.lowHalf + eight.highHalf
  return (four[0] + four[2]) + (four[1] + four[3])
}

@inline(__always)
func dot<Row: WeightRow>(_: Row.Type, _ row: UnsafeRawPointer, _ x: UnsafePointer<Float>, _ columns: Int) -> Float {
  var low = SIMD16<Float>()
  var high = SIMD16<Float>()
  var column = 0
  while column + 32 <= columns {
    let (first, second) = Row.block(row, column)
    let input = UnsafeRawPointer(x + column)
    low += first * input.loadUnaligned(as: SIMD16<Float>.self)
    high += second * input.loadUnaligned(fromByteOffset: 64, as: SIMD16<Float>.self)
    column += 32
  }
  var sum = fold(low + high)
  while column < columns {
    sum += Row.one(row, column) * x[column]
    column += 1
  }
  return sum
}

/// Four rows against one vector: each load of the vector serves four. The sums are those of `dot`.
@inline(__always)
private func dot4<Row: WeightRow>(
  _ kind: Row.Type, _ row: UnsafeRawPointer, _ stride: Int, _ x: UnsafePointer<Float>, _ columns: Int
) -> SIMD4<Float> {
  SIMD4(
    dot(kind, row, x, columns), dot(kind, row + stride, x, columns), dot(kind, row + 2 * stride, x, columns),
    dot(kind, row + 3 * stride, x, columns))
}
