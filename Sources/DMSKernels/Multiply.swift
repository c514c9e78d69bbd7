// C = α A B by one thread, in fp32 or with factors rounded to BF16: half the numbers' bits, twice the speed where the processor
// multiplies BF16. Elsewhere rounded copies are multiplied, which gives the same numbers but for the order of their sums.

import CKernels
import COpenBLAS

/// What the factors of a product are rounded to. Sums are fp32.
public enum ProductType: String, Sendable, CaseIterable {
  /// As they are: OpenBLAS.
  case f32
  /// To BF16, 8 bits of precision.
  case bf16
}

/// C = α A B, or the same added to C, with either factor transposed: `[m, k] × [k, n]`, row-major with the given strides.
package func multiply(
  _ m: Int, _ n: Int, _ k: Int, _ a: UnsafePointer<Float>, _ aStride: Int, transposedA: Bool = false,
  _ b: UnsafePointer<Float>, _ bStride: Int, transposed: Bool, _ c: UnsafeMutablePointer<Float>, _ cStride: Int,
  accumulating: Bool, alpha: Float = 1, in type: ProductType = .f32
) {
  func product(_ a: UnsafePointer<Float>, _ aStride: Int, _ b: UnsafePointer<Float>, _ bStride: Int) {
    cblas_sgemm(
      CblasRowMajor, transposedA ? CblasTrans : CblasNoTrans, transposed ? CblasTrans : CblasNoTrans, blasint(m),
      blasint(n), blasint(k), alpha, a, blasint(aStride), b, blasint(bStride), accumulating ? 1 : 0, c,
      blasint(cStride))
  }
  switch type {
  case .f32: product(a, aStride, b, bStride)
  case .bf16 where hasBF16Products:
    withUnsafeTemporaryAllocation(byteCount: Int(dms_product_bf16_scratch(Int64(m), Int64(k))), alignment: 64) {
      dms_product_bf16_avx512(
        Int64(m), Int64(n), Int64(k), dms_factor(numbers: a, stride: Int64(aStride), transposed: transposedA),
        dms_factor(numbers: b, stride: Int64(bStride), transposed: transposed), c, Int64(cStride), accumulating, alpha,
        $0.baseAddress)
    }
  case .bf16:
    let (aRows, aColumns) = transposedA ? (k, m) : (m, k)
    let (bRows, bColumns) = transposed ? (n, k) : (k, n)
    withUnsafeTemporaryAllocation(of: Float.self, capacity: max(1, m * k + n * k)) { copies in
      guard let base = copies.baseAddress else { return }
      roundToBF16(a, rows: aRows, columns: aColumns, stride: aStride, to: base)
      roundToBF16(b, rows: bRows, columns: bColumns, stride: bStride, to: base + m * k)
      product(base, aColumns, base + m * k, bColumns)
    }
  }
}

/// Whether this processor multiplies BF16.
let hasBF16Products = dms_has_avx512bf16()

/// To the nearest number of BF16, ties to even, subnormals to zero.
package func roundedToBF16(_ x: Float) -> Float {
  guard x.isNormal else { return x.isSubnormal ? 0 : x }
  let bits = x.bitPattern
  return Float(bitPattern: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000)
}

private func roundToBF16(
  _ x: UnsafePointer<Float>, rows: Int, columns: Int, stride: Int, to copy: UnsafeMutablePointer<Float>
) {
  for row in 0..<rows {
    for column in 0..<columns { copy[row * columns + column] = roundedToBF16(x[row * stride + column]) }
  }
}
