// Linear maps and the embedding on a device, against the slow twins.

import DMSCUDA
import DMSKernels
import DMSTensor
import Testing

struct ProductTests {
  enum Form: String, CaseIterable { case f32, bf16, f16, q8, q4 }

  /// Random weights in a form; the bytes live as long as this.
  final class Sample {
    let weights: Weights
    private let bytes: UnsafeMutableRawBufferPointer

    init(_ form: Form, _ rows: Int, _ columns: Int, _ random: inout SplitMix) {
      let numbers = random.floats(rows * columns)
      if let type = ElementType(rawValue: form.rawValue.uppercased()) {
        bytes = .allocate(byteCount: rows * columns * type.size, alignment: 64)
        if let base = bytes.baseAddress { narrow(numbers, numbers.count, to: base, type) }
        weights = .stored(Matrix(TensorView(type: type, shape: [rows, columns], bytes: UnsafeRawBufferPointer(bytes))))
        return
      }
      let format: BlockFormat = form == .q8 ? .q8 : .q4
      let count = BlockMatrix.bytes(format, rows: rows, columns: columns)
      bytes = .allocate(byteCount: count, alignment: 64)
      // Any bytes are numbers of a block; scales are BF16 near 1 / 128 or 1 / 8.
      for index in 0..<count { bytes[index] = UInt8(truncatingIfNeeded: random.next()) }
      let scales = BlockMatrix.scaleShape(rows: rows, columns: columns).reduce(2, *)
      for offset in stride(from: count - scales, to: count, by: 2) {
        let scale = (format == .q8 ? 1 : 16) * (1 + random.float() / 2) / 128
        bytes.storeBytes(of: UInt16(scale.bitPattern >> 16), toByteOffset: offset, as: UInt16.self)
      }
      weights = .blocks(BlockMatrix(format, rows: rows, columns: columns, bytes: UnsafeRawBufferPointer(bytes)))
    }

    deinit { bytes.deallocate() }

    /// `[rows, columns]`, exactly.
    var numbers: [Double] {
      (0..<weights.rows).flatMap { row -> [Double] in
        switch weights {
        case .stored(let matrix): Reference.numbers(matrix.row(row), matrix.type, matrix.columns)
        case .blocks(let matrix):
          (0..<matrix.columns).map { Reference.number(matrix, row: row, column: $0) }
        case .ggml: []
        }
      }
    }
  }

  static let shapes = [(0, 8), (1, 1), (1, 8), (7, 33), (8, 64), (9, 31), (16, 32), (17, 257), (33, 40), (5, 264)]

  @Test(arguments: Form.allCases, EmulatedDevice.Turns.allCases)
  func linearMapsAreThoseOfTheTwin(form: Form, turns: EmulatedDevice.Turns) throws {
    var random = SplitMix(17)
    let device = EmulatedDevice(turns)
    for (rows, columns) in Self.shapes {
      let sample = Sample(form, rows, columns, &random)
      let (matrix, numbers) = (try DeviceMatrix(sample.weights, on: device), sample.numbers)
      for (count, hasBias) in [(0, false), (1, false), (1, true), (2, true), (4, false), (5, true)] {
        let (input, bias) = (random.floats(count * columns), random.floats(rows))
        let stride = rows + 3
        let output = try device.floats([Float](repeating: 7, count: count * stride))
        let (x, b) = (try device.floats(input), try device.floats(bias))
        try matrix.multiply(
          x.address, count: count, bias: hasBias ? b.address : 0, to: output.address, stride: stride)
        let expected = (0..<count).flatMap { vector in
          (0..<stride).map { row -> Double in
            guard row < rows else { return 7 }
            return (0..<columns).reduce(hasBias ? Double(bias[row]) : 0) {
              $0 + numbers[row * columns + $1] * Double(input[vector * columns + $1])
            }
          }
        }
        let difference = largestDifference(try output.floats(), expected)
        #expect(difference <= 2 * sumTolerance(columns), "\(rows) x \(columns), \(count)")
      }
    }
  }

  @Test(arguments: Form.allCases)
  func aResultDoesNotDependOnTheNumberOfVectors(form: Form) throws {
    var random = SplitMix(18)
    let device = EmulatedDevice()
    let (rows, columns) = (19, 296)
    let sample = Sample(form, rows, columns, &random)
    let matrix = try withExtendedLifetime(sample) { try DeviceMatrix(sample.weights, on: device) }
    let input = try device.floats(random.floats(6 * columns))
    let (together, apart) = (try device.room(6 * rows), try device.room(6 * rows))
    try matrix.multiply(input.address, count: 6, to: together.address, stride: rows)
    for vector in 0..<6 {
      try matrix.multiply(
        input.address + UInt64(4 * vector * columns), count: 1, to: apart.address + UInt64(4 * vector * rows),
        stride: rows)
    }
    #expect(try together.floats() == apart.floats())
  }

  @Test(arguments: Form.allCases)
  func rowsAreThoseOfTheMatrix(form: Form) throws {
    var random = SplitMix(19)
    let device = EmulatedDevice()
    for (rows, columns) in Self.shapes where rows > 0 {
      let sample = Sample(form, rows, columns, &random)
      let ids = [rows - 1, 0, rows / 2]
      let output = try device.room(ids.count * columns)
      try DeviceMatrix(sample.weights, on: device).look(
        up: device.integers(ids).address, count: ids.count, to: output.address)
      let numbers = sample.numbers
      let expected = ids.flatMap { numbers[$0 * columns..<($0 + 1) * columns] }
      #expect(try output.floats().map(Double.init) == expected)
    }
  }
}
