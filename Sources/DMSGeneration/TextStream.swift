// Tokens to text as they come: whole characters only, no control tokens, and nothing of a stop string. Stop strings are
// looked for in the text with its control tokens written out.

import DMSText

/// Text of tokens as they come: whole characters only, and nothing of a stop string.
public struct TextStream: Sendable {
  private let tokenizer: Tokenizer
  private var decoder: TokenDecoder
  private var stops: StopMatcher
  /// Whether a control token came in the midst of a character.
  private var isSplit = false
  /// Whether a stop string was met.
  public private(set) var isStopped = false

  /// A stream of text that ends before any of `stops`; special tokens are left out.
  public init(_ tokenizer: Tokenizer, stops: [String]) {
    self.tokenizer = tokenizer
    decoder = TokenDecoder(tokenizer, skippingSpecial: true)
    self.stops = StopMatcher(stops)
  }

  /// The text that can be shown after one more token.
  public mutating func append(_ id: Int) -> String {
    guard !isStopped else { return "" }
    if let token = tokenizer.specialToken(id) {
      isSplit = isSplit || decoder.isInsideCharacter
      return take(stops.append(hidden: token))
    }
    return append(decoder.append(id))
  }

  /// What was held back, at the end.
  ///
  /// - Parameter id: the token that ended the text. It is not part of it, but a stop string may end with it.
  public mutating func finish(endedBy id: Int? = nil) -> String {
    guard !isStopped else { return "" }
    var text = append(decoder.finish())
    if !isStopped, let id {
      let token = tokenizer.specialToken(id) ?? String(decoding: tokenizer.bytes(of: id), as: UTF8.self)
      text += take(stops.append(hidden: token))
    }
    return text + (isStopped ? "" : stops.finish())
  }

  private mutating func append(_ text: String) -> String {
    guard isSplit, let first = text.unicodeScalars.first else { return take(stops.append(text)) }
    // A stop string is not found in a character that a control token has cut.
    isSplit = false
    let shown = stops.finish() + String(first)
    return shown + take(stops.append(String(text.unicodeScalars.dropFirst())))
  }

  private mutating func take(_ piece: (text: String, isStopped: Bool)) -> String {
    isStopped = piece.isStopped
    return piece.text
  }
}
