import DMSTensor
import Glibc
import Testing

@testable import DMSKernels

struct ElementTests {
  @Test(arguments: [ElementType.bf16, .f16])
  func everyBitPatternWidensExactlyAndNarrowsBack(type: ElementType) {
    let patterns = (0...UInt16.max).map { $0 }
    var wide = [Float](repeating: 0, count: patterns.count)
    patterns.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      widen(base, type, patterns.count, to: &wide)
      let exact = Reference.numbers(base, type, patterns.count)
      for (ours, number) in zip(wide, exact) {
        #expect(Double(ours) == number || (ours.isNaN && number.isNaN))
      }
    }
    var back = [UInt16](repeating: 0, count: patterns.count)
    narrow(wide, wide.count, to: &back, type)
    for (pattern, ours) in zip(patterns, back) where !wide[Int(pattern)].isNaN { #expect(ours == pattern) }
    for (pattern, ours) in zip(patterns, back) where wide[Int(pattern)].isNaN {
      var again: Float = 0
      widen([ours], type, 1, to: &again)
      #expect(again.isNaN, "NaN \(pattern) stays NaN")
    }
  }

  /// Narrowing rounds to the nearest, of two nearest to the even one: no stored number is nearer.
  @Test(arguments: [ElementType.bf16, .f16])
  func narrowingRoundsToNearestEven(type: ElementType) {
    let patterns = (0..<UInt16(type == .f16 ? 0x7BFF : 0x7F7F)).map { $0 }
    var wide = [Float](repeating: 0, count: patterns.count + 1)
    (patterns + [patterns.last.map { $0 + 1 } ?? 0]).withUnsafeBytes { bytes in
      if let base = bytes.baseAddress { widen(base, type, patterns.count + 1, to: &wide) }
    }
    for pattern in patterns {
      let (low, high) = (wide[Int(pattern)], wide[Int(pattern) + 1])
      let middle = Float((Double(low) + Double(high)) / 2)
      guard Double(middle) == (Double(low) + Double(high)) / 2, middle > low, middle < high else { continue }
      var out: [UInt16] = [0, 0, 0]
      narrow([middle.nextDown, middle, middle.nextUp], 3, to: &out, type)
      #expect(out == [pattern, pattern & 1 == 0 ? pattern : pattern + 1, pattern + 1])
    }
  }

  @Test func theExponentialKeepsItsBound() {
    var worst = 0.0
    for step in 0..<1_100_000 {
      let x = Float(-87) + Float(step) * 1.59e-4
      guard x <= 88 else { break }
      let ours = Double(exponential(SIMD16(repeating: x))[5])
      worst = max(worst, abs(ours - exp(Double(x))) / exp(Double(x)))
    }
    #expect(worst < 2e-7, "worst \(worst)")
    #expect(exponential(SIMD16(repeating: -.infinity))[0] == 0)
    #expect(exponential(SIMD16(repeating: -87.1))[0] == 0)
    #expect(exponential(SIMD16(repeating: .nan))[0].isNaN)
    #expect(exponential(SIMD16(repeating: 1000))[0].isFinite)
    #expect(exponential(SIMD16(repeating: 0))[0] == 1)
  }
}
