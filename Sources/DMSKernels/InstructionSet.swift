// Which instructions the inner loops use. Chosen once per engine, when it starts; the portable set is Swift's own SIMD and
// runs everywhere.

import CKernels

/// Instructions that inner loops are made of, the plainest first.
public enum InstructionSet: String, Sendable, CaseIterable {
  /// Swift SIMD on the compiler's baseline.
  case portable
  /// 64-bit ARM. Weights in blocks use the portable products.
  case neon
  /// x86-64 with AVX2, FMA and F16C (2013 and later).
  case avx2
  /// x86-64 with AVX2 and AVX-VNNI (laptops since 2021).
  case avxvnni
  /// x86-64 with AVX-512 F, BW, VL and DQ (2017 and later).
  case avx512
  /// x86-64 with AVX-512 and its VNNI (2019 and later).
  case avx512vnni

  /// Whether this processor has it.
  public var isAvailable: Bool {
    switch self {
    case .portable: true
    case .neon: dms_has_neon()
    case .avx2: dms_has_avx2()
    case .avxvnni: dms_has_avx2() && dms_has_avxvnni()
    case .avx512: dms_has_avx2() && dms_has_avx512()
    case .avx512vnni: dms_has_avx2() && dms_has_avx512vnni()
    }
  }

  /// All sets of x86-64 include AVX2.
  var hasAVX2: Bool { self != .portable && self != .neon }

  var has512Bits: Bool { self == .avx512 || self == .avx512vnni }

  /// The sets that this processor has, the fastest last.
  public static var available: [InstructionSet] { allCases.filter(\.isAvailable) }
  /// The fastest set that this processor has.
  public static var best: InstructionSet { available.last ?? .portable }
}
