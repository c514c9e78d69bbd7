// What a line of a chat means: a message, or one of the commands. Only what begins with a known command's word is one, for a
// message may begin with a slash, too. What commands do is not known here.

/// A line that is not empty.
enum ChatLine: Equatable {
  case message(String)
  case command(Command)
  case system(String)
  /// A single word with a slash that no command has: perhaps a mistyped one.
  case unknown(String)
  /// A command that is not used as it can be, and why.
  case misused(String)

  /// Commands that are a word and nothing else.
  enum Command: String, CaseIterable {
    case help, reset, stats, thinking, bye
  }

  /// - Returns: `nil` for a line without anything.
  init?(_ line: String) {
    let words = line.split(maxSplits: 1, whereSeparator: \.isWhitespace)
    guard let word = words.first else { return nil }
    let rest = words.dropFirst().first.map(Self.withoutSpaceAtEnds) ?? ""
    guard word.hasPrefix("/") else {
      self = .message(line)
      return
    }
    if word == "/system" {
      self = rest.isEmpty ? .misused("/system needs a text") : .system(rest)
    } else if let command = Command(rawValue: String(word.dropFirst())) {
      self = rest.isEmpty ? .command(command) : .misused("\(word) stands alone, nothing comes after it")
    } else {
      self = rest.isEmpty ? .unknown(String(word)) : .message(line)
    }
  }

  private static func withoutSpaceAtEnds(_ text: Substring) -> String {
    var text = text.drop(while: \.isWhitespace)
    while text.last?.isWhitespace ?? false { text.removeLast() }
    return String(text)
  }
}
