// Weights in blocks: products have the same bits however they are computed, and rounding errs by as much as it may.

import DMSPlatform
import DMSTensor
import Testing

@testable import DMSKernels

struct BlockTests {
  static let shapes = [(1, 1), (15, 31), (16, 32), (17, 33), (63, 64), (64, 95), (65, 130), (130, 320)]

  @Test(arguments: BlockFormat.own, storedTypes)
  func productsHaveTheSameBitsHoweverTheyAreComputed(format: BlockFormat, type: ElementType) throws {
    var random = SplitMix(5)
    for (rows, columns) in Self.shapes {
      let source = RandomMatrix(rows, columns, type, &random)
      let (weights, owner) = withExtendedLifetime(source) { quantized(source.matrix, format) }
      defer { withExtendedLifetime(owner) {} }
      let vectors = 31
      let x = random.floats(vectors * columns)
      let bias = random.floats(rows)
      let expected = try Self.run(weights, x, vectors, bias, .portable, threads: 1)
      for vector in 0..<vectors {
        let own = Array(x[vector * columns..<(vector + 1) * columns])
        let exact = Reference.rounded(own)
        for row in 0..<rows {
          // Each of the K / 32 block results is exact; two roundings in scaling it, one in adding it, one for the bias.
          var (sum, size) = (Double(bias[row]), abs(Double(bias[row])))
          for column in 0..<columns {
            let product = exact[column] * Reference.number(weights, row: row, column: column)
            (sum, size) = (sum + product, size + abs(product))
          }
          let ours = Double(expected[vector * rows + row])
          #expect(abs(ours - sum) <= Double(4 + columns / 32) * 0x1p-24 * size, "\(rows)x\(columns)")
        }
        // A vector's result does not feel its neighbours.
        let alone = try Self.run(weights, own, 1, bias, .portable, threads: 1)
        #expect(alone.map(\.bitPattern) == expected[vector * rows..<(vector + 1) * rows].map(\.bitPattern))
      }
      for instructions in InstructionSet.available {
        for count in [1, 2, 5, 24, vectors] {
          let some = Array(x.prefix(count * columns))
          let ours = try Self.run(weights, some, count, bias, instructions, threads: 2)
          #expect(ours.map(\.bitPattern) == expected.prefix(count * rows).map(\.bitPattern), "\(instructions) \(count)")
        }
      }
    }
  }

  @Test(arguments: storedTypes)
  func aWeightErrsByHalfAStepAtMost(type: ElementType) {
    var random = SplitMix(6)
    let owner = RandomMatrix(33, 70, type, &random)
    let source = owner.matrix
    let (weights, bytes) = quantized(source, .q8)
    withExtendedLifetime((owner, bytes)) {
      for row in 0..<source.rows {
        let numbers = Reference.numbers(source.row(row), type, source.columns)
        for column in 0..<source.columns {
          let block = numbers[column / 32 * 32..<min(70, column / 32 * 32 + 32)]
          // Half a step, and what BF16 may take from the scale: 2⁻⁹ of 127 steps, at the edge.
          let step = (block.map(abs).max() ?? 0) / 127
          let error = abs(Reference.number(weights, row: row, column: column) - numbers[column])
          #expect(error <= step * (0.5 + 127 * 0x1p-8))
        }
      }
    }
  }

  @Test func zerosStayZerosAndWhatIsNotFiniteDoesNotTrap() throws {
    for format in BlockFormat.own {
      var numbers = [Float](repeating: 0, count: 64)
      (numbers[32], numbers[33]) = (.nan, .infinity)
      numbers.withUnsafeBytes { bytes in
        let (weights, owner) = quantized(Matrix(TensorView(type: .f32, shape: [2, 32], bytes: bytes)), format)
        withExtendedLifetime(owner) {
          for column in 0..<32 { #expect(Reference.number(weights, row: 0, column: column) == 0) }
        }
      }
    }
  }

  @Test(arguments: BlockFormat.own)
  func aRowIsWidenedToItsNumbers(format: BlockFormat) {
    var random = SplitMix(7)
    let source = RandomMatrix(37, 75, .f32, &random)
    let (weights, owner) = withExtendedLifetime(source) { quantized(source.matrix, format) }
    var row = [Float](repeating: .nan, count: 75)
    for index in 0..<37 {
      row.withUnsafeMutableBufferPointer { row in row.baseAddress.map { widen(weights, row: index, to: $0) } }
      for column in 0..<75 { #expect(Double(row[column]) == Reference.number(weights, row: index, column: column)) }
    }
    withExtendedLifetime(owner) {}
  }

  private func quantized(_ source: Matrix, _ format: BlockFormat) -> (BlockMatrix, OwnedBytes) {
    let bytes = OwnedBytes(BlockMatrix.bytes(format, rows: source.rows, columns: source.columns))
    let work = BlockQuantization(.stored(source), format, to: bytes.buffer)
    for task in 0..<work.tasks { work.run(task: task, worker: 0) }
    return (work.result, bytes)
  }

  static func run(
    _ weights: BlockMatrix, _ x: [Float], _ count: Int, _ bias: [Float], _ instructions: InstructionSet, threads: Int
  ) throws -> [Float] {
    let pool = try ThreadPool(threads: threads)
    let vectors = BlockVectors(vectors: count, columns: weights.columns)
    let out = FloatBuffer(count * weights.rows)
    x.withUnsafeBufferPointer { x in
      guard let x = x.baseAddress else { return }
      let rounding = VectorQuantization(x, columns: weights.columns, to: vectors, instructions: instructions)
      pool.run(tasks: count, rounding)
    }
    bias.withUnsafeBufferPointer { bias in
      let work = BlockProduct(
        weights, vectors: vectors, count: count, bias: bias.baseAddress, output: out.base, outputStride: weights.rows,
        workers: threads, instructions: instructions)
      pool.run(tasks: work.tasks, work)
    }
    return Array(UnsafeBufferPointer(start: out.base, count: out.count))
  }
}
