// OpenBLAS releases that do not know this processor are told which of those that they know it resembles. They listen only
// while they are loaded, so the program starts itself anew, once, before it has done anything.

import DMSKernels
import Glibc

/// Returns where there is nothing to do, or where the user has chosen.
func restartWithBetterBLAS() {
  guard getenv(BLASProcessor.variable) == nil, let better = BLASProcessor.better else { return }
  setenv(BLASProcessor.variable, better, 1)
  // By its path, so that the process keeps its name.
  var path = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
  guard readlink("/proc/self/exe", &path, Int(PATH_MAX)) > 0 else { return }
  execv(path, CommandLine.unsafeArgv)
  // Where a program cannot be started anew, it is slower.
}
