import DMSPlatform
import DMSTensor
import Testing

@testable import DMSKernels

struct ProductTests {
  static let shapes = [(1, 1), (1, 31), (3, 32), (4, 33), (5, 95), (63, 64), (64, 17), (65, 130), (129, 48)]

  @Test(arguments: InstructionSet.available, storedTypes)
  func matrixVectorProductsAreThoseOfTheTwin(instructions: InstructionSet, type: ElementType) throws {
    var random = SplitMix(1)
    for (rows, columns) in Self.shapes {
      for vectors in [1, 3] {
        let weights = RandomMatrix(rows, columns, type, &random)
        let x = random.floats(vectors * columns)
        let bias: [Float]? = vectors == 3 ? random.floats(rows) : nil
        let expected = Reference.product(weights.matrix, x, bias: bias)
        let together = run(weights.matrix, x, vectors, bias, instructions, threads: 2)
        for (ours, exact) in zip(together, expected) {
          #expect(abs(Double(ours) - exact) <= sumTolerance(columns), "\(rows)x\(columns)")
        }
        // A vector's result does not feel its neighbours, nor the threads.
        for vector in 0..<vectors {
          let own = Array(x[vector * columns..<(vector + 1) * columns])
          let alone = run(weights.matrix, own, 1, bias, instructions, threads: 1)
          #expect(alone.map(\.bitPattern) == together[vector * rows..<(vector + 1) * rows].map(\.bitPattern))
        }
      }
    }
  }

  private func run(
    _ weights: Matrix, _ x: [Float], _ vectors: Int, _ bias: [Float]?, _ instructions: InstructionSet, threads: Int
  ) -> [Float] {
    let pool = try? ThreadPool(threads: threads)
    var out = [Float](repeating: .nan, count: vectors * weights.rows)
    var scratch = [Float](repeating: 0, count: x.count)
    out.withUnsafeMutableBufferPointer { out in
      scratch.withUnsafeMutableBufferPointer { scratch in
        guard let y = out.baseAddress, let split = scratch.baseAddress else { return }
        func go(_ bias: UnsafePointer<Float>?) {
          let work = MatrixVectorProduct(
            weights, input: x, vectors: vectors, bias: bias, output: y, outputStride: weights.rows, scratch: split,
            instructions: instructions)
          pool?.run(tasks: work.tasks, work)
        }
        if let bias { bias.withUnsafeBufferPointer { go($0.baseAddress) } } else { go(nil) }
      }
    }
    return out
  }

  @Test(arguments: storedTypes)
  func matrixProductsAreThoseOfTheTwin(type: ElementType) throws {
    useOneBLASThread()
    var random = SplitMix(2)
    for (outputs, columns) in Self.shapes {
      for rows in [1, 2, 7, 33] {
        let weights = RandomMatrix(outputs, columns, type, &random)
        let x = random.floats(rows * columns)
        let bias = random.floats(outputs)
        let expected = Reference.product(weights.matrix, x, bias: bias)
        var results: [[Float]] = []
        for threads in [1, 3] {
          let pool = try ThreadPool(threads: threads)
          let stride = MatrixProduct.tile * columns
          let (out, scratch) = (FloatBuffer(rows * outputs), FloatBuffer(threads * stride))
          let work = MatrixProduct(
            .stored(weights.matrix), input: x, rows: rows, bias: bias, output: out.base, outputStride: outputs,
            scratch: scratch.base, scratchStride: stride)
          pool.run(tasks: work.tasks, work)
          results.append(Array(UnsafeBufferPointer(start: out.base, count: out.count)))
        }
        for (ours, exact) in zip(results[0], expected) { #expect(abs(Double(ours) - exact) <= sumTolerance(columns)) }
        #expect(results[0].map(\.bitPattern) == results[1].map(\.bitPattern))
      }
    }
  }
}
