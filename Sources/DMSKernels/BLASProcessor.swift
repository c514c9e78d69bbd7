// Which processor OpenBLAS believes to be on. It chooses its kernels when it is loaded, before a line of ours runs; a
// release older than the processor may not know it and then falls back to kernels of 2004, five times slower.

import COpenBLAS

/// The processor that OpenBLAS believes to be on: the speed of prefill and of training hangs on it.
public enum BLASProcessor {
  /// Environment variable that OpenBLAS obeys when it is loaded: to be set before the program starts.
  public static let variable = "OPENBLAS_CORETYPE"

  /// OpenBLAS's name of the processor whose kernels it uses.
  public static var chosen: String { String(cString: openblas_get_corename()) }

  /// Name of the processor that it should be told to be on; `nil` if its choice is good.
  public static var better: String? { better(than: chosen, on: .best) }

  /// Those of its x86-64 kernels that know no AVX2.
  private static let old: Set<String> = [
    "prescott", "core2", "penryn", "dunnington", "nehalem", "atom", "nano", "sandybridge", "opteron", "opteron_sse3",
    "barcelona", "bobcat", "bulldozer", "piledriver", "steamroller", "generic",
  ]

  static func better(than chosen: String, on instructions: InstructionSet) -> String? {
    guard instructions.hasAVX2, old.contains(chosen.lowercased()) else { return nil }
    return instructions.has512Bits ? "SkylakeX" : "Haswell"
  }
}
