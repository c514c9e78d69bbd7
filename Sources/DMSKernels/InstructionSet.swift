// Which instructions the inner loops use. Chosen once per engine, when it starts; the portable set is Swift's own SIMD and
// runs everywhere.

import CKernels

public enum InstructionSet: String, Sendable, CaseIterable {
  /// Swift SIMD on the compiler's baseline.
  case portable
  /// x86-64 with AVX2, FMA and F16C (2013 and later).
  case avx2

  /// Whether this processor has it.
  public var isAvailable: Bool {
    switch self {
    case .portable: true
    case .avx2: dms_has_avx2()
    }
  }

  /// Those that this processor has, the fastest last.
  public static var available: [InstructionSet] { allCases.filter(\.isAvailable) }
  public static var best: InstructionSet { available.last ?? .portable }
}
