// How far two files are apart: types, shapes, NaN, infinities and exact integers.

import DMSCheckpoint
import DMSTensor
import Testing

@Suite struct TensorComparisonTests {
  private typealias Tensor = (String, ElementType, [Int], [UInt8])

  private func compare(_ a: [Tensor], _ b: [Tensor]) throws -> [TensorComparison] {
    let folder = try TemporaryFolder()
    return TensorComparison.compare(
      try SafetensorsFile(path: writeTensors(folder.path + "/a.safetensors", a)),
      try SafetensorsFile(path: writeTensors(folder.path + "/b.safetensors", b)))
  }

  private func compare(_ a: Tensor, _ b: Tensor) throws -> TensorComparison {
    try #require(try compare([a], [b]).first)
  }

  private func floats(_ numbers: [Float], _ shape: [Int]? = nil) -> Tensor {
    ("t", .f32, shape ?? [numbers.count], bytes(numbers))
  }

  @Test func theLargestDifferenceIsRelativeToTheReferencesLargestMagnitude() throws {
    let result = try compare(floats([1, -8, 0, 2, 4, 1], [2, 3]), floats([1, -8, 0, 2, 4.5, 1.25], [2, 3]))
    #expect(result.outcome == .compared(largestAbsolute: 0.5, largestRelative: 0.0625, index: [1, 1]))
    #expect(result.isWithin(0.0625) && !result.isWithin(0.0624))
  }

  @Test func floatTypesMayDiffer() throws {
    let half: Tensor = ("t", .f16, [4], bytes([UInt16(0x3C00), 0xC000, 0x0001, 0x7C00]))
    #expect(try compare(floats([1, -2, 0x1p-24, .infinity]), half).isWithin(0))
    let brain: Tensor = ("t", .bf16, [2], bytes([UInt16(0x3F80), 0xC000]))
    #expect(try compare(floats([1, -2]), brain).isWithin(0))
  }

  @Test func notANumberEqualsNothing() throws {
    for (a, b, counts, place) in [
      ([1, .nan], [1, .nan], (1, 1), 1), ([.nan, 2], [1, 2], (1, 0), 0), ([1, 5, 7], [1, 5, -.nan], (0, 1), 2),
      ([.signalingNaN, .nan], [0, .infinity], (2, 0), 0), ([.infinity, 0], [.infinity, .nan], (0, 1), 1),
    ] as [([Float], [Float], (Int, Int), Int)] {
      let result = try compare(floats(a), floats(b))
      #expect(result.outcome == .notANumber(counts.0, counts.1, index: [place]))
      #expect(!result.isWithin(.infinity) && !result.isWithin(.nan))
    }
  }

  @Test(arguments: [
    (ElementType.f64, [0x7FF8_0000_0000_0000]), (.f16, [0x7E01]), (.bf16, [0xFF81]), (.f8e4m3, [0xFF]),
    (.f8e5m2, [0x7D]),
    (.f8e8m0, [0xFF]), (.f8e4m3fnuz, [0x80]), (.f8e5m2fnuz, [0x80]), (.c64, [0x3F80_0000, 0x7FC0_0000]),
  ])
  func everyTypeHasItsNotANumber(_ type: ElementType, _ words: [Int]) throws {
    let size = type.size / words.count
    let element = words.flatMap { word in bytes([word]).prefix(size) }
    let one: Tensor = ("t", type, [2], [UInt8](repeating: 0, count: type.size) + element)
    #expect(try compare(one, one).outcome == .notANumber(1, 1, index: [1]))
  }

  @Test func anInfinityEqualsItsLike() throws {
    #expect(try compare(floats([.infinity, -.infinity]), floats([.infinity, -.infinity])).isWithin(0))
    #expect(try !compare(floats([.infinity]), floats([-.infinity])).isWithin(1e30))
    let result = try compare(floats([1, 5]), floats([1, .infinity]))
    #expect(result.outcome == .compared(largestAbsolute: .infinity, largestRelative: .infinity, index: [1]))
    // The largest bytes of F8_E5M2 that are no NaN are infinities.
    #expect(try compare(("t", .f8e5m2, [2], [0x7C, 0xFC]), ("t", .f8e5m2, [2], [0x7C, 0xFC])).isWithin(0))
  }

  @Test func fromAReferenceOfZerosEveryDifferenceIsInfinitelyFar() throws {
    #expect(try compare(floats([0, 0]), floats([0, -0])).isWithin(0))
    #expect(try !compare(floats([0, 0]), floats([0, 1e-30])).isWithin(1))
  }

  @Test func integersAreComparedExactly() throws {
    let large: Tensor = ("t", .i64, [2], bytes([Int64.max, 3]))
    let next: Tensor = ("t", .i64, [2], bytes([Int64.max - 1, 3]))
    let result = try compare(large, next)
    #expect(result.outcome == .compared(largestAbsolute: 1, largestRelative: .infinity, index: [0]))
    #expect(!result.isWithin(1e300))
    #expect(try compare(("t", .i64, [2], bytes([Int64(1), 3])), ("t", .i32, [2], bytes([Int32(1), 3]))).isWithin(0))
    let negative: Tensor = ("t", .i64, [1], bytes([Int64.min]))
    let unsigned: Tensor = ("t", .u64, [1], bytes([UInt64(1) << 63]))
    #expect(try !compare(negative, unsigned).isWithin(0), "the same bits are different numbers")
  }

  @Test func otherTypesAreComparedByTheirBytes() throws {
    #expect(try compare(("t", .f4, [4], [1, 2]), ("t", .f4, [4], [1, 2])).isWithin(0))
    let result = try compare(("t", .f8e4m3, [3], [1, 2, 3]), ("t", .f8e4m3, [3], [1, 2, 4]))
    #expect(result.outcome == .compared(largestAbsolute: .infinity, largestRelative: .infinity, index: [2]))
  }

  @Test func whatCannotBeComparedIsNamedAndFails() throws {
    let results = try compare(
      [("only-a", .u8, [1], [0]), ("shape", .u8, [2], [0, 0]), ("type", .u8, [4], [0, 0, 0, 0])],
      [
        ("only-b", .u8, [1], [0]), ("shape", .u8, [2, 1], [0, 0]),
        ("type", .f32, [4], bytes([Float](repeating: 0, count: 4))),
      ])
    #expect(results.map(\.name) == ["only-a", "shape", "type", "only-b"])
    #expect(results.allSatisfy { !$0.isWithin(.infinity) })
    #expect(results[1].outcome == .shapesDiffer([2], [2, 1]))
    #expect(results[2].outcome == .typesDiffer(.u8, .f32))
    guard case .missing(let a) = results[0].outcome, case .missing(let b) = results[3].outcome else {
      Issue.record("a tensor in one file only is not reported as missing")
      return
    }
    #expect(a.hasSuffix("/b.safetensors") && b.hasSuffix("/a.safetensors"))
  }

  @Test func emptyTensorsAndScalarsAreEqual() throws {
    #expect(try compare(floats([], [0, 7]), floats([], [0, 7])).isWithin(0))
    let scalar = try compare(floats([2], []), floats([2], []))
    #expect(scalar.outcome == .compared(largestAbsolute: 0, largestRelative: 0, index: []))
  }
}
