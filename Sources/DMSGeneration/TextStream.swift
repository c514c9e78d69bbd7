// Tokens to text as they come: whole characters only, and nothing of a stop string.

import DMSText

/// Text of tokens as they come: whole characters only, and nothing of a stop string.
public struct TextStream: Sendable {
  private var decoder: TokenDecoder
  private var stops: StopMatcher
  /// Whether a stop string was met.
  public private(set) var isStopped = false

  /// A stream of text that ends before any of `stops`; special tokens are left out.
  public init(_ tokenizer: Tokenizer, stops: [String]) {
    decoder = TokenDecoder(tokenizer, skippingSpecial: true)
    self.stops = StopMatcher(stops)
  }

  /// The text that can be shown after one more token.
  public mutating func append(_ id: Int) -> String {
    guard !isStopped else { return "" }
    let piece = stops.append(decoder.append(id))
    isStopped = piece.isStopped
    return piece.text
  }

  /// What was held back, at the end.
  public mutating func finish() -> String {
    guard !isStopped else { return "" }
    let piece = stops.append(decoder.finish())
    isStopped = piece.isStopped
    return piece.text + (isStopped ? "" : stops.finish())
  }
}
