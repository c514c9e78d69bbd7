// Seeded numbers, and memory in the stored types.

import DMSPlatform
import DMSTensor

@testable import DMSKernels

struct SplitMix: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
  /// Uniform in [-1, 1).
  mutating func float() -> Float { Float(next() >> 40) * 0x1p-23 - 1 }
  mutating func floats(_ count: Int) -> [Float] { (0..<count).map { _ in float() } }
}

/// A matrix of random numbers in a stored type.
final class RandomMatrix {
  let matrix: Matrix
  private let bytes: UnsafeMutableRawBufferPointer

  init(_ rows: Int, _ columns: Int, _ type: ElementType, _ random: inout SplitMix) {
    bytes = .allocate(byteCount: rows * columns * type.size, alignment: 64)
    let numbers = random.floats(rows * columns)
    if let base = bytes.baseAddress { narrow(numbers, numbers.count, to: base, type) }
    matrix = Matrix(TensorView(type: type, shape: [rows, columns], bytes: UnsafeRawBufferPointer(bytes)))
  }

  deinit { bytes.deallocate() }
}

/// A sum of n products of numbers up to 1, in any order, is off by at most n · ε · Σ|a b| ≤ n² · 2⁻²⁴; partial sums and the
/// independence of roundings make n · 2⁻²² generous for all that is tested here, and far from what a wrong index does.
func sumTolerance(_ terms: Int) -> Double { Double(max(1, terms)) * 0x1p-22 }

let storedTypes: [ElementType] = [.f32, .bf16, .f16]
