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
  let firstSums: UnsafePointer<Int32>
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
    firstSums = UnsafePointer(vectors.firstSums)
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
      scales: (weights.scales + group * weights.groupScaleBytes).assumingMemoryBound(to: UInt8.self),
      groups: Int64(groups), column_blocks: Int64(blocks), scale_bytes: Int64(weights.groupScaleBytes))
    let x = dms_block_vectors(
      numbers: numbers + place * 32, scales: scales + place, sums: sums + place, first_sums: firstSums + place,
      count: Int64(range.count))
    let form = weights.format.form
    switch instructions {
    case .portable, .neon: portable(w, x, out, stride)
    case .avx2: dms_blocks_avx2(form, w, x, out, Int64(stride))
    case .avxvnni: dms_blocks_avxvnni(form, w, x, out, Int64(stride))
    case .avx512: dms_blocks_avx512(form, w, x, out, Int64(stride))
    case .avx512vnni: dms_blocks_avx512vnni(form, w, x, out, Int64(stride))
    }
  }

  /// Integers as floats: products and their sums stay below 2²⁴, where fp32 is exact.
  private func portable(
    _ w: dms_block_rows, _ x: dms_block_vectors, _ out: UnsafeMutablePointer<Float>, _ stride: Int
  ) {
    let (format, blocks) = (weights.format, Int(w.column_blocks))
    for group in 0..<Int(w.groups) {
      let scales = UnsafeRawPointer(w.scales + group * Int(w.scale_bytes))
      for vector in 0..<Int(x.count) {
        var sums = SIMD16<Float>()
        for block in 0..<blocks {
          let place = vector * blocks + block
          let bytes = UnsafeRawPointer(w.blocks + (group * blocks + block) * format.blockBytes)
          let factors = BlockFactors<SIMD16<Float>>(format, scales, block: block)
          let (numbers, scale) = (x.numbers + place * 32, x.scales[place])
          switch format {
          case .q8, .q4, .q8_0, .q4_0: sums += dot(bytes, 0..<8, numbers) * (factors.first * scale)
          case .q6_k:
            let (first, last) = (dot(bytes, 0..<4, numbers), dot(bytes, 4..<8, numbers))
            sums += (first * factors.first + last * factors.second) * scale
          case .q4_1, .q4_k, .q5_k:
            let rest = factors.second * (-0.125 * Float(x.sums[place]))
            let product = dot(bytes, 0..<8, numbers) * factors.first
            sums += (format == .q4_1 ? product + rest : product - rest) * scale
          }
        }
        UnsafeMutableRawPointer(out + vector * stride + group * 16).storeBytes(of: sums, as: SIMD16<Float>.self)
      }
    }
  }

  /// Sixteen rows' products over some quads of a block.
  @inline(__always)
  private func dot(_ block: UnsafeRawPointer, _ quads: Range<Int>, _ x: UnsafePointer<Int8>) -> SIMD16<Float> {
    var sums = SIMD16<Float>()
    let offset = Float(weights.format.offset)
    for quad in quads {
      let lanes = weights.format.numbers(block, quad: quad)
      for column in 0..<4 {
        sums += number((lanes &>> UInt32(8 * column)) & 0xFF, minus: offset) * Float(x[quad * 4 + column])
      }
    }
    return sums
  }

  /// A small integer in the mantissa of 2²³ is a float without a conversion.
  @inline(__always)
  private func number(_ bits: SIMD16<UInt32>, minus offset: Float) -> SIMD16<Float> {
    unsafeBitCast(bits | 0x4B00_0000, to: SIMD16<Float>.self) - (8_388_608 + offset)
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
