// Products with weights in blocks, for decoding and prefill alike. The weights' numbers and the vectors' are integers, so a
// block's dot product is exact; blocks are scaled and added in order, every step rounded by itself. The result is the same,
// to the last bit, for any instruction set, any number of threads, and any number of vectors at once.
//
// R rows · K columns · S vectors

import CKernels
import DMSPlatform
import DMSTensor

/// `Y = X Wᵀ (+ b)` with weights in blocks and vectors rounded to 8 bits. The result is the same, to the last bit, on
/// every instruction set and for any number of threads and of vectors at once.
public struct BlockProduct: ParallelWork {
  /// Bytes of weights of one task: long enough for a stream to get going, short enough (a few microseconds) that a stalled
  /// core holds little back.
  static let bytesPerTask = 192 << 10

  let weights: BlockMatrix
  // Pointers, not their owner: tasks would count its references against each other.
  let numbers: UnsafePointer<Int8>
  let scales: UnsafePointer<Float>
  let sums: UnsafePointer<Int32>
  let count: Int
  let bias: UnsafePointer<Float>?
  let output: UnsafeMutablePointer<Float>
  let outputStride: Int
  let instructions: InstructionSet
  /// Groups of sixteen rows of one task.
  let groupsPerTask: Int

  /// Prepares `output[s, r] = Σ_k weights[r, k] · vectors[s, k] (+ bias[r])`.
  ///
  /// - Parameters:
  ///   - vectors: at least `count`, of K columns. They must outlive the product.
  ///   - output: rows of `outputStride` numbers, at least R.
  ///   - workers: threads that will share the tasks.
  ///   - instructions: must be available.
  public init(
    _ weights: BlockMatrix, vectors: BlockVectors, count: Int, bias: UnsafePointer<Float>?,
    output: UnsafeMutablePointer<Float>, outputStride: Int, workers: Int,
    instructions: InstructionSet
  ) {
    self.weights = weights
    numbers = UnsafePointer(vectors.numbers)
    scales = UnsafePointer(vectors.scales)
    sums = UnsafePointer(vectors.sums)
    self.count = count
    self.bias = bias
    self.output = output
    self.outputStride = outputStride
    self.instructions = instructions
    let most = max(1, Self.bytesPerTask / (max(1, weights.columnBlocks) * (weights.format.blockBytes + 32)))
    // A few tasks for every worker, where there are enough rows.
    groupsPerTask = max(1, min(most, weights.groups / (4 * workers)))
  }

  /// Runs of groups of sixteen rows.
  public var tasks: Int { (weights.groups + groupsPerTask - 1) / groupsPerTask }

  /// Computes a task's rows for all vectors.
  public func run(task: Int, worker: Int) {
    let rows = BlockFormat.rowsPerGroup
    let first = task * groupsPerTask
    // The last group may have rows that the output has no place for.
    let whole = max(first, min(weights.rows / rows, first + groupsPerTask))
    products(first, whole - first, output + first * rows, outputStride)
    let rest = weights.rows - whole * rows
    if whole < first + groupsPerTask, rest > 0 {
      for vector in 0..<count {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: rows) { sums in
          guard let sums = sums.baseAddress else { return }
          products(whole, 1, sums, rows, vector..<vector + 1)
          (output + vector * outputStride + whole * rows).update(from: sums, count: rest)
        }
      }
    }
    guard let bias else { return }
    let end = min(weights.rows, (first + groupsPerTask) * rows)
    for vector in 0..<count {
      for row in first * rows..<end { output[vector * outputStride + row] += bias[row] }
    }
  }

  private func products(
    _ group: Int, _ groups: Int, _ out: UnsafeMutablePointer<Float>, _ stride: Int, _ range: Range<Int>? = nil
  ) {
    guard groups > 0 else { return }
    let range = range ?? 0..<count
    let blocks = weights.columnBlocks
    let (first, place) = (group * blocks, range.lowerBound * blocks)
    let w = dms_block_rows(
      blocks: (weights.blocks + first * weights.format.blockBytes).assumingMemoryBound(to: UInt8.self),
      scales: (weights.scales + first * BlockFormat.rowsPerGroup * 2).assumingMemoryBound(to: UInt16.self),
      groups: Int64(groups), column_blocks: Int64(blocks))
    let x = dms_block_vectors(
      numbers: numbers + place * 32, scales: scales + place, sums: sums + place,
      count: Int64(range.count))
    switch (weights.format, instructions) {
    case (_, .portable), (_, .neon): portable(w, x, out, stride)
    case (.q8, .avx2): dms_blocks8_avx2(w, x, out, Int64(stride))
    case (.q4, .avx2): dms_blocks4_avx2(w, x, out, Int64(stride))
    case (.q8, .avxvnni): dms_blocks8_avxvnni(w, x, out, Int64(stride))
    case (.q4, .avxvnni): dms_blocks4_avxvnni(w, x, out, Int64(stride))
    case (.q8, .avx512): dms_blocks8_avx512(w, x, out, Int64(stride))
    case (.q4, .avx512): dms_blocks4_avx512(w, x, out, Int64(stride))
    case (.q8, .avx512vnni): dms_blocks8_avx512vnni(w, x, out, Int64(stride))
    case (.q4, .avx512vnni): dms_blocks4_avx512vnni(w, x, out, Int64(stride))
    }
  }

  /// Integers as floats: products and their sums stay below 2²⁴, where fp32 is exact.
  private func portable(
    _ w: dms_block_rows, _ x: dms_block_vectors, _ out: UnsafeMutablePointer<Float>, _ stride: Int
  ) {
    let blocks = Int(w.column_blocks)
    for group in 0..<Int(w.groups) {
      for vector in 0..<Int(x.count) {
        var sums = SIMD16<Float>()
        for block in 0..<blocks {
          let index = group * blocks + block
          let place = vector * blocks + block
          let bytes = UnsafeRawPointer(w.blocks + index * weights.format.blockBytes)
          let dots = dot(bytes, x.numbers + place * 32)
          let scales = UnsafeRawPointer(w.scales + index * 16)
          sums += dots * (wideScales(scales) * x.scales[place])
        }
        UnsafeMutableRawPointer(out + vector * stride + group * 16).storeBytes(of: sums, as: SIMD16<Float>.self)
      }
    }
  }

  @inline(__always)
  private func dot(_ bytes: UnsafeRawPointer, _ x: UnsafePointer<Int8>) -> SIMD16<Float> {
    var sums = SIMD16<Float>()
    let isQ8 = weights.format == .q8
    for quad in 0..<(isQ8 ? 8 : 4) {
      let lanes = bytes.loadUnaligned(fromByteOffset: quad * 64, as: SIMD16<UInt32>.self)
      for column in 0..<4 {
        let byte = lanes &>> UInt32(8 * column)
        if isQ8 {
          sums += number(byte & 0xFF, minus: 128) * Float(x[quad * 4 + column])
        } else {
          sums += number(byte & 0x0F, minus: 8) * Float(x[quad * 4 + column])
          sums += number((byte &>> 4) & 0x0F, minus: 8) * Float(x[16 + quad * 4 + column])
        }
      }
    }
    return sums
  }

  /// A small integer in the mantissa of 2²³ is a float without a conversion.
  @inline(__always)
  private func number(_ bits: SIMD16<UInt32>, minus offset: Float) -> SIMD16<Float> {
    unsafeBitCast(bits | 0x4B00_0000, to: SIMD16<Float>.self) - (8_388_608 + offset)
  }

  /// Sixteen BF16 numbers, lane by lane: a vector conversion would be a call.
  @inline(__always)
  private func wideScales(_ scales: UnsafeRawPointer) -> SIMD16<Float> {
    var wide = SIMD16<Float>()
    for lane in 0..<16 { wide[lane] = float(bf16: scales.load(fromByteOffset: 2 * lane, as: UInt16.self)) }
    return wide
  }
}

/// Rounds the vectors of a product to 8 bits. One task per vector.
public struct VectorQuantization: ParallelWork {
  let input: UnsafePointer<Float>
  let columns: Int
  let result: BlockVectors
  let instructions: InstructionSet
  let faults: RowFaults.Stage?

  /// Prepares the rounding of vectors into `result`.
  ///
  /// - Parameters:
  ///   - input: `[S, K]`.
  ///   - faults: learns of vectors that are not finite, which blocks cannot tell from zeros.
  public init(
    _ input: UnsafePointer<Float>, columns: Int, to result: BlockVectors, instructions: InstructionSet,
    faults: RowFaults.Stage? = nil
  ) {
    self.input = input
    self.columns = columns
    self.result = result
    self.instructions = instructions
    self.faults = faults
  }

  /// Rounds a vector.
  public func run(task vector: Int, worker: Int) {
    faults?.check(input + vector * columns, columns, row: vector)
    result.quantize(input + vector * columns, columns: columns, index: vector, instructions)
  }
}
