// Whether the program behaved: how it ended, what it said, what it left behind.

import Glibc

struct Judge {
  let command: Command
  let damage: Damage
  let end: Program.End
  let output: [UInt8]
  let errors: [UInt8]
  /// The folder's listing before and after.
  let before: [String: String]
  let after: [String: String]
  /// Of a training: one of so many may take its time.
  let tokensAsked: Double
  /// Whether a file has the bytes that it had.
  let isAsBefore: (String) -> Bool
  var megabytesToRefuse: Int?

  /// What is wrong, in a few words that are the same for all cases of a kind; `nil` if nothing is.
  func finding() -> String? { ending ?? words ?? leftovers }

  var wasRefused: Bool { end.code == 1 }

  private var ending: String? {
    if end.wasKilled { return tokensAsked > 100_000 ? nil : "hangs" }
    if end.signal != 0 { return "signal \(end.signal)" }
    switch end.code {
    case 0:
      let isCertain = damage == .certain || damage == .certainInNumbers && command.computes
      return isCertain ? "exit 0 on damage" : nil
    case 1: return megabytesToRefuse.map { end.residentMegabytes > $0 } ?? false ? "memory to refuse it" : nil
    default: return "exit code \(end.code)"
    }
  }

  private var words: String? {
    guard let text = String(validating: errors, as: UTF8.self) else { return "stderr is not UTF-8" }
    // What a model says goes through as it is.
    if command.showsThinking, end.code == 0 { return nil }
    for scalar in text.unicodeScalars {
      if scalar.value < 0x20 && scalar != "\n" || scalar.value == 0x7F || 0x80...0x9F ~= scalar.value
        || 0x2028...0x202E ~= scalar.value
      {
        return "stderr has the control character \(String(scalar.value, radix: 16))"
      }
    }
    if !text.isEmpty, text.last != "\n" { return "stderr does not end with a line" }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
    let errorLines = lines.filter { $0.hasPrefix("dms: ") && !$0.hasPrefix("dms: warning: ") }
    if wasRefused {
      if command.comparesOnly, lines.isEmpty, !output.isEmpty { return nil }
      // A piped conversation goes on after a turn that failed: a line for each. So does a diagnosis.
      let isConversation = command.showsThinking && errorLines.allSatisfy { $0.hasPrefix("dms: stdin, line ") }
      if errorLines.isEmpty || errorLines.count > 1 && !isConversation && command.arguments.first != "inspect" {
        return "\(errorLines.count) lines of error"
      }
      if lines.last?.hasPrefix("dms: ") != true, !isConversation { return "the error is not the last line" }
      if errorLines[0].utf8.count > 5000 { return "an error of \(errorLines[0].utf8.count / 1000) KB" }
      for line in lines where !line.hasPrefix("dms: ") && !command.isProgress(line) && !isConversation {
        return "a line of error beside: \(line.prefix(60))"
      }
    }
    guard command.isJSON, end.code == 0 else { return nil }
    return isJSON(output) ? nil : "stdout is not one JSON object"
  }

  /// Brackets that fit, as far as that shows anything.
  private func isJSON(_ bytes: [UInt8]) -> Bool {
    guard let text = String(validating: bytes, as: UTF8.self) else { return false }
    var (depth, inText, escaped, ended) = (0, false, false, false)
    for scalar in text.unicodeScalars {
      if inText {
        if scalar.value < 0x20 { return false }
        if escaped {
          escaped = false
        } else if scalar == "\\" {
          escaped = true
        } else if scalar == "\"" {
          inText = false
        }
        continue
      }
      switch scalar {
      case "\"": inText = true
      case "{", "[":
        if ended { return false }
        depth += 1
      case "}", "]":
        depth -= 1
        if depth == 0 { ended = true }
      default: break
      }
      if depth < 0 { return false }
    }
    return ended && depth == 0 && !inText && !text.contains("nan") && !text.contains("inf,") && !text.contains("inf}")
  }

  private var leftovers: String? {
    if end.wasKilled { return nil }
    let changed = after.filter { before[$0.key] != $0.value }.map(\.key) + before.keys.filter { after[$0] == nil }
    for path in changed.sorted() {
      if path.hasSuffix(".lock") || path.contains(".partial") { return "left behind: \(kind(path))" }
      guard command.writes(path) else { return "wrote \(kind(path))" }
      // What was answered before something went wrong may be kept; what was written anew as it was is no change.
      if end.code != 0, !(command.keepsWhatIsDone && hasProgress), !isAsBefore(path) {
        return "wrote \(kind(path)) though it failed"
      }
    }
    return nil
  }

  private var hasProgress: Bool { !output.isEmpty || String(decoding: errors, as: UTF8.self).contains("step ") }

  /// A path without what is random in it.
  private func kind(_ path: String) -> String {
    guard let mark = path.range(of: ".partial") else { return path }
    return String(path[..<mark.upperBound])
  }
}

extension String {
  fileprivate func range(of other: String) -> Range<String.Index>? { ranges(of: other).first }
}
