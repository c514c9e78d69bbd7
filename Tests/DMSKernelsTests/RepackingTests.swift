// Blocks of GGUF files in the order that products read: nothing is rounded, and products have the same bits however they are
// computed.

import DMSPlatform
import DMSTensor
import Testing

@testable import DMSKernels

struct RepackingTests {
  static let types = GGMLType.allCases.filter { BlockFormat(holding: $0) != nil }
  private static let shapes = [(1, 256), (15, 512), (16, 256), (33, 768), (70, 2304)]

  @Test func theTypesOfTheFastPathAreKnown() {
    #expect(Set(Self.types).isSuperset(of: [.q8_0, .q4_0, .q4_1, .q4_k, .q5_k, .q6_k]))
  }

  /// Random blocks: bytes of any value, but for the scales, which are small numbers of both signs.
  private func random(_ type: GGMLType, _ rows: Int, _ columns: Int, _ random: inout SplitMix) -> OwnedBytes {
    let count = type.bytes(of: rows * columns, columns: columns) ?? 0
    let bytes = OwnedBytes(count)
    for index in 0..<count { bytes.buffer[index] = UInt8(truncatingIfNeeded: random.next()) }
    let scales =
      switch type {
      case .q4_1, .q5_1, .q4_k, .q5_k: [0, 2]
      case .q2_k: [80, 82]
      case .q6_k: [208]
      case .q3_k: [108]
      default: [0]
      }
    for block in 0..<count / type.block.bytes {
      for place in scales {
        let half = UInt16(truncatingIfNeeded: random.next()) & 0x83FF | 0x2000
        bytes.buffer.storeBytes(of: half, toByteOffset: block * type.block.bytes + place, as: UInt16.self)
      }
    }
    return bytes
  }

  private func repacked(_ source: GGMLMatrix) throws -> (BlockMatrix, OwnedBytes) {
    let format = try #require(BlockFormat(holding: source.type))
    let bytes = OwnedBytes(BlockMatrix.bytes(format, rows: source.rows, columns: source.columns))
    let work = BlockRepacking(source, format, to: bytes.buffer)
    for task in 0..<work.tasks { work.run(task: task, worker: 0) }
    return (work.result, bytes)
  }

  @Test(arguments: types)
  func repackedBlocksStandForTheSameNumbers(type: GGMLType) throws {
    var random = SplitMix(11)
    for (rows, columns) in Self.shapes {
      let owner = self.random(type, rows, columns, &random)
      let source = GGMLMatrix(
        type, rows: rows, columns: columns, bytes: UnsafeRawBufferPointer(rebasing: owner.buffer[...]))
      let (weights, bytes) = try repacked(source)
      let (expected, ours) = (FloatBuffer(columns), FloatBuffer(columns))
      for row in 0..<rows {
        widen(source.row(row), type, columns, to: expected.base)
        widen(weights, row: row, to: ours.base)
        withExtendedLifetime((ours, expected)) {
          for column in 0..<columns { #expect(ours.base[column] == expected.base[column], "\(type) \(row), \(column)") }
        }
      }
      withExtendedLifetime((owner, bytes)) {}
    }
  }

  @Test(arguments: types)
  func productsHaveTheSameBitsHoweverTheyAreComputed(type: GGMLType) throws {
    var random = SplitMix(12)
    for (rows, columns) in Self.shapes {
      let owner = self.random(type, rows, columns, &random)
      let source = GGMLMatrix(
        type, rows: rows, columns: columns, bytes: UnsafeRawBufferPointer(rebasing: owner.buffer[...]))
      let (weights, bytes) = try repacked(source)
      let vectors = 31
      let x = random.floats(vectors * columns)
      let expected = try BlockTests.run(weights, x, vectors, [Float](repeating: 0, count: rows), .portable, threads: 1)
      let wide = FloatBuffer(columns)
      for row in 0..<rows {
        widen(source.row(row), type, columns, to: wide.base)
        for vector in 0..<vectors {
          let rounded = Reference.rounded(Array(x[vector * columns..<(vector + 1) * columns]))
          // A block's integers are exact; its factors, products and sums are rounded up to five times, at the size of the
          // largest numbers: a minimum may cancel what it is added to.
          var (sum, size) = (0.0, 0.0)
          for column in 0..<columns {
            sum += rounded[column] * Double(wide.base[column])
            size += abs(rounded[column]) * max(abs(Double(wide.base[column])), largest(wide, columns))
          }
          let ours = Double(expected[vector * rows + row])
          #expect(abs(ours - sum) <= Double(8 + columns / 32) * 0x1p-24 * size, "\(type) \(rows)x\(columns)")
        }
      }
      for instructions in InstructionSet.available {
        for count in [1, 2, 5, 7, 24, vectors] {
          let some = Array(x.prefix(count * columns))
          let ours = try BlockTests.run(
            weights, some, count, [Float](repeating: 0, count: rows), instructions, threads: 2)
          #expect(ours.map(\.bitPattern) == expected.prefix(count * rows).map(\.bitPattern), "\(instructions) \(count)")
        }
      }
      withExtendedLifetime((owner, bytes)) {}
    }
  }

  private func largest(_ numbers: FloatBuffer, _ count: Int) -> Double {
    (0..<count).reduce(0) { max($0, abs(Double(numbers.base[$1]))) }
  }

  @Test(arguments: GGMLType.allCases.filter { $0.isReadable && $0.block.elements > 1 })
  func exactProductsAreThoseOfTheSameNumbersInF32(type: GGMLType) throws {
    var random = SplitMix(13)
    let (rows, columns, vectors) = (37, 512, 3)
    let owner = self.random(type, rows, columns, &random)
    let source = GGMLMatrix(
      type, rows: rows, columns: columns, bytes: UnsafeRawBufferPointer(rebasing: owner.buffer[...]))
    let wide = FloatBuffer(rows * columns)
    widen(.ggml(source), rows: 0..<rows, to: wide.base)
    #expect(areFinite(wide.base, rows * columns))
    let plain = Matrix(
      TensorView(
        type: .f32, shape: [rows, columns],
        bytes: UnsafeRawBufferPointer(start: wide.base, count: rows * columns * MemoryLayout<Float>.stride)))
    let x = random.floats(vectors * columns)
    for instructions in InstructionSet.available {
      let (ours, expected) = (FloatBuffer(vectors * rows), FloatBuffer(vectors * rows))
      let scratch = FloatBuffer(16 * columns)
      x.withUnsafeBufferPointer { x in
        guard let x = x.baseAddress else { return }
        let exact = WidenedVectorProduct(
          .ggml(source), input: x, vectors: vectors, bias: nil, output: ours.base, outputStride: rows,
          scratch: scratch.base, scratchStride: 16 * columns, instructions: instructions)
        for task in 0..<exact.tasks { exact.run(task: task, worker: 0) }
        let stored = MatrixVectorProduct(
          plain, input: x, vectors: vectors, bias: nil, output: expected.base, outputStride: rows,
          scratch: scratch.base, instructions: instructions)
        for task in 0..<stored.tasks { stored.run(task: task, worker: 0) }
      }
      withExtendedLifetime((ours, expected)) {
        for index in 0..<vectors * rows { #expect(ours.base[index] == expected.base[index]) }
      }
    }
    withExtendedLifetime((owner, wide)) {}
  }
}
