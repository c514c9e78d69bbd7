// How a token's text becomes bytes: the decoders of `tokenizer.json`, as one rule that is applied to the whole vocabulary at
// loading. What is left for decoding time is the space at the very beginning.

import DMSPlatform

struct TokenDecoding: Sendable {
  /// What decoded text loses at its beginning: the space that SentencePiece put there.
  enum LeadingSpace: Sendable {
    /// At most so many spaces.
    case ofText(Int)
    /// Every space that the first token begins with.
    case ofFirstToken
  }

  /// What is done to a token's text before it becomes bytes.
  private enum Rule: Sendable {
    case replace(Normalizer)
    /// Takes away up to so many of a character.
    case strip([UInt8], start: Int, stop: Int)
  }

  private var isByteLevel = false
  private var rules: [Rule] = []
  /// `<0x0A>` is a byte.
  private var hasByteFallback = false
  private(set) var leading = LeadingSpace.ofText(0)

  /// How many times longer the tokens' texts may become; also, how many rules there may be.
  private static let mostGrowth = 8

  /// What a vocabulary of this kind needs at least.
  init(isByteLevel: Bool, leadingSpaces: Int = 0) {
    self.isByteLevel = isByteLevel
    hasByteFallback = !isByteLevel
    rules = isByteLevel ? [] : [.replace(.replace(Metaspace.usualMark, with: [0x20]))]
    leading = .ofText(leadingSpaces)
  }

  /// - Parameters:
  ///   - decoder: the `decoder` of a `tokenizer.json`. Where there is none, the kind of vocabulary decides: the reference
  ///     would put a space between any two tokens, which no text of a language model wants.
  init(_ decoder: JSON?, isByteLevel: Bool, _ source: String) throws {
    guard let decoder, !decoder.isNull else {
      self = TokenDecoding(isByteLevel: isByteLevel)
      return
    }
    var steps: [JSON] = []
    try Self.flatten(decoder, into: &steps, source)
    // Tokens, then bytes, then the text as a whole: what looks beyond a token is exact at its beginning only.
    var stage = 0
    var growth = 1
    for step in steps {
      let name = step["type"]?.string ?? "?"
      let unsupported = InputError("the decoder \(oneLine(name)) is not supported as it stands here", at: source)
      switch name {
      case "ByteLevel" where stage == 0:
        self.isByteLevel = true
        stage = 2
      case "Metaspace" where stage == 0:
        let metaspace = try Metaspace(step, source)
        rules.append(.replace(.replace(metaspace.mark, with: [0x20])))
        if metaspace.leading != .never { leading = .ofFirstToken }
        stage = 2
      case "Replace" where stage == 0:
        let replace = try Normalizer.replace(step, source)
        guard replace.growth <= Self.mostGrowth / growth, rules.count < Self.mostGrowth else { throw unsupported }
        growth *= replace.growth
        rules.append(.replace(replace))
      case "ByteFallback" where stage == 0:
        hasByteFallback = true
        stage = 1
      case "Fuse" where stage <= 2: stage = 2
      case "Strip" where stage != 1:
        guard let content = step["content"]?.string, content.unicodeScalars.count == 1,
          let start = step["start"]?.integer, let stop = step["stop"]?.integer, start >= 0, stop >= 0,
          rules.count < Self.mostGrowth
        else { throw unsupported }
        if stage == 0 {
          rules.append(.strip(Array(content.utf8), start: start, stop: stop))
          continue
        }
        guard stage == 2, content == " ", stop == 0, case .ofText = leading else { throw unsupported }
        leading = .ofText(start)
        stage = 3
      default: throw unsupported
      }
    }
  }

  private static func flatten(_ decoder: JSON, into steps: inout [JSON], _ source: String) throws {
    guard decoder["type"]?.string == "Sequence" else { return steps.append(decoder) }
    guard let parts = decoder["decoders"]?.array else {
      throw InputError("the decoder Sequence has no decoders", at: source)
    }
    for part in parts { try flatten(part, into: &steps, source) }
  }

  /// Appends the bytes of a token of the vocabulary.
  func decode(_ token: UnsafeBufferPointer<UInt8>, into out: inout [UInt8]) {
    if rules.isEmpty { return append(token, to: &out) }
    let text = rules.reduce(Array(token)) { text, rule in
      switch rule {
      case .replace(let normalizer): normalizer.apply(text)
      case .strip(let content, let start, let stop): Self.stripped(text, content, start, stop)
      }
    }
    text.withUnsafeBufferPointer { append($0, to: &out) }
  }

  private func append(_ token: UnsafeBufferPointer<UInt8>, to out: inout [UInt8]) {
    if isByteLevel, ByteAlphabet.decode(token, into: &out) { return }
    if hasByteFallback, let byte = Self.byte(token) { return out.append(byte) }
    out.append(contentsOf: token)
  }

  private static func stripped(_ text: [UInt8], _ content: [UInt8], _ start: Int, _ stop: Int) -> [UInt8] {
    var rest = text[...]
    var count = 0
    while count < start, rest.starts(with: content) {
      rest = rest.dropFirst(content.count)
      count += 1
    }
    count = 0
    while count < stop, rest.suffix(content.count).elementsEqual(content) {
      rest = rest.dropLast(content.count)
      count += 1
    }
    return Array(rest)
  }

  /// The bytes of an added token. SentencePiece's is decoded as it was found: with the space that normalisation put before
  /// it. A byte-level one is its own text, since it never was in the byte alphabet.
  func decode(added token: AddedToken, _ normalizers: [Normalizer]) -> [UInt8] {
    let content = Array(token.content.utf8)
    if isByteLevel { return content }
    let found = token.isNormalized ? normalizers.reduce(content) { $1.apply($0) } : content
    var out: [UInt8] = []
    found.withUnsafeBufferPointer { decode($0, into: &out) }
    return out
  }

  /// The byte that `<0x0A>` stands for.
  private static func byte(_ token: UnsafeBufferPointer<UInt8>) -> UInt8? {
    guard token.count == 6, token.starts(with: Array("<0x".utf8)), token[5] == UInt8(ascii: ">") else { return nil }
    return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
  }
}

/// A name from a file, fit for an error's one line.
func oneLine(_ name: String) -> String { DMSPlatform.oneLine(name, most: 200) }
