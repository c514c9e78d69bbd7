// How far long work is, as a bar on stderr, where people look at it.

import Glibc

/// Shows the share of a piece of work that is done, under its name, and clears the line at the end. `nil` where stderr is no
/// terminal.
func progressBar(_ work: String) -> ((Double) -> Void)? {
  guard isatty(STDERR_FILENO) != 0 else { return nil }
  return { share in
    let filled = Int(max(0, min(1, share)) * 40)
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 40 - filled)
    showProgress("\r\(work) [\(bar)] \(Int(share * 100)) %" + (share < 1 ? "" : "\r\u{1B}[K"))
  }
}
