// OpenBLAS releases that do not know this processor are told which of those that they know it resembles. They listen only
// while they are loaded, so the program starts itself anew, once, before it has done anything.

import DMSKernels
import Glibc

/// Returns where there is nothing to do, or where the user has chosen.
func restartWithBetterBLAS() {
  guard getenv(BLASProcessor.variable) == nil, let better = BLASProcessor.better else { return }
  setenv(BLASProcessor.variable, better, 1)
  execv("/proc/self/exe", CommandLine.unsafeArgv)
  // Where a program cannot be started anew, it is slower.
}
