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

  private var isByteLevel: Bool
  private var replacements: [Normalizer]
  /// `<0x0A>` is a byte.
  private var hasByteFallback: Bool
  private(set) var leading = LeadingSpace.ofText(0)

  /// What a vocabulary of this kind needs at least.
  init(isByteLevel: Bool) {
    self.isByteLevel = isByteLevel
    hasByteFallback = !isByteLevel
    replacements = isByteLevel ? [] : [.replace(Metaspace.mark, with: [0x20])]
  }

  /// - Parameters:
  ///   - decoder: the `decoder` of a `tokenizer.json`. Where there is none, the kind of vocabulary decides: the reference
  ///     would put a space between any two tokens, which no text of a language model wants.
  init(_ decoder: JSON?, isByteLevel: Bool, _ source: String) throws {
    guard let decoder, !decoder.isNull else {
      self.init(isByteLevel: isByteLevel)
      return
    }
    self.init(isByteLevel: false)
    (hasByteFallback, replacements) = (false, [])
    let steps = decoder["type"]?.string == "Sequence" ? decoder["decoders"]?.array ?? [] : [decoder]
    // Replace, ByteFallback, Fuse, Strip: in this order the first two work on tokens and the last on the text.
    var stage = 0
    for step in steps {
      let name = step["type"]?.string ?? "?"
      let unsupported = InputError("the decoder \(oneLine(name)) is not supported as it stands here", at: source)
      switch name {
      case "ByteLevel" where steps.count == 1: self.isByteLevel = true
      case "Metaspace" where steps.count == 1:
        guard let mark = step["replacement"]?.string, !mark.isEmpty else { throw unsupported }
        replacements = [.replace(Array(mark.utf8), with: [0x20])]
        let addsSpace = step["add_prefix_space"]?.bool ?? true
        if step["prepend_scheme"]?.string ?? (addsSpace ? "always" : "never") != "never" { leading = .ofFirstToken }
      case "Replace" where stage == 0:
        // A replacement that does not grow keeps the decoded vocabulary within the file's size.
        guard let pattern = step["pattern"]?["String"]?.string, let content = step["content"]?.string,
          content.utf8.count <= pattern.utf8.count
        else { throw unsupported }
        replacements.append(.replace(Array(pattern.utf8), with: Array(content.utf8)))
      case "ByteFallback" where stage == 0:
        hasByteFallback = true
        stage = 1
      case "Fuse" where stage < 2: stage = 2
      case "Strip" where stage == 2:
        guard step["content"]?.string == " ", step["stop"]?.integer ?? 0 == 0,
          let count = step["start"]?.integer, count >= 0
        else { throw unsupported }
        leading = .ofText(count)
        stage = 3
      default: throw unsupported
      }
    }
  }

  /// Appends the bytes of a token of the vocabulary.
  func decode(_ token: UnsafeBufferPointer<UInt8>, into out: inout [UInt8]) {
    if isByteLevel {
      if !ByteAlphabet.decode(token, into: &out) { out.append(contentsOf: token) }
    } else if hasByteFallback, let byte = Self.byte(token) {
      out.append(byte)
    } else if replacements.isEmpty {
      out.append(contentsOf: token)
    } else {
      out.append(contentsOf: replacements.reduce(Array(token)) { $1.apply($0) })
    }
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
