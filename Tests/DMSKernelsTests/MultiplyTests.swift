import Testing

@testable import DMSKernels

/// Products of two factors in fp32 memory.
struct MultiplyTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let type: ProductType
    let transposedA: Bool
    let transposedB: Bool
    var testDescription: String { "\(type) \(transposedA ? "Aᵀ" : "A") \(transposedB ? "Bᵀ" : "B")" }
  }

  static let cases = ProductType.allCases.flatMap { type in
    [false, true].flatMap { a in [false, true].map { Case(type: type, transposedA: a, transposedB: $0) } }
  }

  /// Around the sizes of panels (8, 16, 48) and of pieces of a sum (32, 288).
  static let shapes = [
    (1, 1, 1), (7, 47, 2), (8, 48, 32), (9, 49, 33), (16, 15, 31), (17, 97, 64), (24, 64, 288), (3, 50, 289),
    (33, 5, 600), (2, 3, 0),
  ]

  @Test(arguments: cases)
  func productsAreThoseOfTheTwin(_ way: Case) {
    useOneBLASThread()
    var random = SplitMix(3)
    for (m, n, k) in Self.shapes {
      for accumulating in [false, true] {
        let factors = Factors(m, n, k, way, &random)
        let found = factors.product(accumulating: accumulating)
        for row in 0..<m {
          for column in 0..<factors.cStride {
            let index = row * factors.cStride + column
            // What lies between the rows is not touched.
            let exact =
              column < n ? factors.twin(row, column, accumulating: accumulating) : Double(factors.c[index])
            #expect(abs(Double(found[index]) - exact) <= sumTolerance(k), "\(m)x\(n)x\(k)")
          }
        }
      }
    }
  }

  /// What makes a training's result the same for any number of threads and any tiles. OpenBLAS, which multiplies where the
  /// processor has no BF16, does not promise it.
  @Test(
    .enabled(if: hasBF16Products),
    arguments: cases.filter { $0.type == .bf16 && !$0.transposedA && $0.transposedB })
  func aNumberOfABF16ProductDoesNotFeelItsNeighbours(_ way: Case) {
    useOneBLASThread()
    var random = SplitMix(4)
    let factors = Factors(37, 101, 333, way, &random)
    let all = factors.product(accumulating: false)
    for (row, column) in [(0, 0), (7, 47), (8, 48), (36, 100), (20, 99)] {
      var alone: Float = 0
      multiply(
        1, 1, 333, Array(factors.a[(row * factors.aStride)...]), factors.aStride,
        Array(factors.b[(column * factors.bStride)...]), factors.bStride, transposed: true, &alone, 1,
        accumulating: false, alpha: Factors.alpha, in: .bf16)
      #expect(alone.bitPattern == all[row * factors.cStride + column].bitPattern)
    }
  }

  @Test func numbersAreRoundedToTheNearestEven() {
    // 1 + 2⁻⁸ lies between 1 and 1 + 2⁻⁷; 1 + 3 · 2⁻⁸ between 1 + 2⁻⁷ and 1 + 2⁻⁶.
    for (x, rounded) in [
      (1 + 0x1p-8, 1), (1 + 0x1.8p-7, 1 + 0x1p-6), (1 + 0x1.01p-8, 1 + 0x1p-7), (-3.14159, -3.140625), (0x1p-130, 0),
      (.infinity, .infinity),
    ] as [(Float, Float)] {
      #expect(roundedToBF16(x) == rounded)
    }
  }
}

private struct Factors {
  static let alpha: Float = 0.75
  let (m, n, k): (Int, Int, Int)
  let way: MultiplyTests.Case
  let (a, b, c): ([Float], [Float], [Float])
  let (aStride, bStride, cStride): (Int, Int, Int)

  init(_ m: Int, _ n: Int, _ k: Int, _ way: MultiplyTests.Case, _ random: inout SplitMix) {
    (self.m, self.n, self.k, self.way) = (m, n, k, way)
    (aStride, bStride, cStride) = ((way.transposedA ? m : k) + 3, (way.transposedB ? k : n) + 1, n + 2)
    a = random.floats(aStride * (way.transposedA ? k : m) + 1)
    b = random.floats(bStride * (way.transposedB ? n : k) + 1)
    c = random.floats(cStride * m)
  }

  func product(accumulating: Bool) -> [Float] {
    var out = c
    multiply(
      m, n, k, a, aStride, transposedA: way.transposedA, b, bStride, transposed: way.transposedB, &out, cStride,
      accumulating: accumulating, alpha: Self.alpha, in: way.type)
    return out
  }

  func twin(_ row: Int, _ column: Int, accumulating: Bool) -> Double {
    func rounded(_ x: Float) -> Double { Double(way.type == .bf16 ? roundedToBF16(x) : x) }
    let sum = (0..<k).reduce(0.0) { sum, step in
      sum + rounded(way.transposedA ? a[step * aStride + row] : a[row * aStride + step])
        * rounded(way.transposedB ? b[column * bStride + step] : b[step * bStride + column])
    }
    return Double(Self.alpha) * sum + (accumulating ? Double(c[row * cStride + column]) : 0)
  }
}
