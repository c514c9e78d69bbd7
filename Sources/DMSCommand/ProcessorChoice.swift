// OpenBLAS releases that do not know this processor are told which of those that they know it resembles; and where memory is
// limited, all are told to start no threads, each of which would take 128 MiB of address space, or try for ever. They listen
// only while they are loaded, so the program starts itself anew, once, before it has done anything.

import DMSKernels
import DMSPlatform
import Glibc

/// Returns where there is nothing to do, or where the user has chosen.
func restartWithBetterBLAS() {
  let threads = "OPENBLAS_NUM_THREADS"
  let better = getenv(BLASProcessor.variable) == nil ? BLASProcessor.better : nil
  guard better != nil || (MemoryLimits.limitsAddresses && getenv(threads) == nil) else { return }
  if let better { setenv(BLASProcessor.variable, better, 1) }
  setenv(threads, "1", 0)
  // By its path, so that the process keeps its name.
  var path = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
  guard readlink("/proc/self/exe", &path, Int(PATH_MAX)) > 0 else { return }
  execv(path, CommandLine.unsafeArgv)
  // Where a program cannot be started anew, it is slower.
}
