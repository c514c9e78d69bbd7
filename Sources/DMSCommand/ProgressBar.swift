// How far long work is, as a bar on stderr, where people look at it: one line, never wider than the terminal, that is gone
// before anything else is written and when the program ends. What the work is is not known here.

import DMSPlatform
import Glibc
import Synchronization

/// The line of a terminal that is written anew again and again.
enum ProgressLine {
  private static let isShown = Atomic<Bool>(false)
  private static let erasure: StaticString = "\r\u{1B}[K"

  /// Shows a text in the place of what is shown.
  static func show(_ text: String) {
    isShown.store(true, ordering: .relaxed)
    writeToTerminal("\(erasure)\(text)")
  }

  /// Takes the line away. A signal's handler may call this.
  static func clear() {
    guard isShown.exchange(false, ordering: .relaxed) else { return }
    _ = write(STDERR_FILENO, erasure.utf8Start, erasure.utf8CodeUnitCount)
  }
}

/// Shows the share of a piece of work that is done, under its name, and clears the line at the end. `nil` where stderr is no
/// terminal.
func progressBar(_ work: String) -> ((Double) -> Void)? {
  guard Terminal.width(of: STDERR_FILENO) != nil else { return nil }
  return { share in
    guard let width = Terminal.width(of: STDERR_FILENO) else { return }
    // The last column stays free: terminals differ in where the cursor stands behind it.
    ProgressLine.show(ProgressText.bar(work, share, columns: width - 1))
    if share >= 1 { ProgressLine.clear() }
  }
}

/// Lines that fit a terminal.
enum ProgressText {
  private static let longestBar = 40
  private static let shortestBar = 5

  /// The name, a bar and the share. Where the columns are few, first the bar becomes shorter and goes, then the name, and the
  /// share last.
  static func bar(_ work: String, _ share: Double, columns: Int) -> String {
    let share = share.isFinite ? max(0, min(1, share)) : 0
    let percent = "\(Int(share * 100)) %"
    let work = oneLine(work)
    // The bar's brackets, two spaces, and the widest share: the bar must not become shorter as the share grows.
    let length = min(longestBar, columns - width(of: work) - "100 %".count - 4)
    guard length < shortestBar else {
      let filled = Int(share * Double(length))
      return
        "\(work) [\(String(repeating: "#", count: filled))\(String(repeating: ".", count: length - filled))] \(percent)"
    }
    let name = cut(work, to: columns - percent.count - 1)
    return name.isEmpty ? (percent.count <= columns ? percent : "") : "\(name) \(percent)"
  }

  /// The beginning that fits, with a mark where the rest is cut off; nothing where not even that is readable.
  static func cut(_ text: String, to columns: Int) -> String {
    guard width(of: text) > columns else { return text }
    var (kept, used) = ("", 0)
    for character in text {
      let next = width(of: character)
      guard used + next < columns else { break }
      kept.append(character)
      used += next
    }
    return kept.isEmpty ? "" : kept + "…"
  }

  static func width(of text: String) -> Int { text.reduce(0) { $0 + width(of: $1) } }

  /// Columns of a character, or more: scripts from Hangul on may take two, and what joins scalars into one picture is not
  /// known to every terminal.
  private static func width(of character: Character) -> Int {
    character.unicodeScalars.reduce(0) { $0 + ($1.value < 0x1100 || $1 == "…" ? 1 : 2) }
  }
}
