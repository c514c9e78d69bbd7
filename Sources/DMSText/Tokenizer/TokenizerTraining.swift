// Byte-pair encoding learnt from texts (Sennrich, Haddow and Birch, 2016), byte-level, split as Qwen's tokenizers split: a
// digit is always a token of its own. For small models with a vocabulary of their own; not made for gigabytes of text.

import DMSPlatform

/// Collects the words of texts, then learns merges.
public struct TokenizerTraining {
  /// What is to be learnt.
  public struct Options: Sendable {
    /// Tokens in all: 256 bytes, merges, and those that are added.
    public var vocabulary = 512
    /// Control tokens, in the order of their ids, after the merges.
    public var special: [String] = []
    /// Tokens that are never split and shown as text.
    public var added: [String] = []
    /// The special token that begins a text.
    public var bosToken: String?
    /// The special token that ends a text.
    public var eosToken: String?
    /// The template of conversations.
    public var chatTemplate: String?

    /// A vocabulary of 512 without added tokens.
    public init() {}
  }

  private let splitter: TextSplitter
  private let options: Options
  private var words: [[UInt8]: Int] = [:]

  /// - Throws: `InputError` for a vocabulary that has no room for the bytes and the added tokens, or tokens that cannot be added.
  public init(_ options: Options) throws {
    splitter = TextSplitter.qwen2
    self.options = options
    let least = 256 + options.special.count + options.added.count
    guard (least...(1 << 20)).contains(options.vocabulary) else {
      throw InputError("a vocabulary of \(options.vocabulary) tokens", remedy: "use \(least) to \(1 << 20)")
    }
    let given = options.special + options.added
    guard !given.contains(""), Set(given).count == given.count else {
      throw InputError("an added token is empty or given twice", remedy: "give each token once")
    }
    for token in [options.bosToken, options.eosToken].compactMap({ $0 }) where !options.special.contains(token) {
      throw InputError("the token \(oneLine(token)) is not among the special ones", remedy: "add it to them")
    }
  }

  /// Counts the words of a text. Added tokens in it are left out, as they will be when it is encoded.
  public mutating func read(_ text: String) {
    var pieces = [text[...]]
    for token in options.special + options.added {
      pieces = pieces.flatMap { Self.split($0, at: token) }
    }
    for piece in pieces {
      var bytes = Array(piece.utf8)
      bytes.withUnsafeMutableBufferPointer { buffer in
        splitter.split(UnsafeBufferPointer(buffer)) { words[Array($0), default: 0] += 1 }
      }
    }
  }

  private static func split(_ text: Substring, at token: String) -> [Substring] {
    var parts: [Substring] = []
    var (start, place) = (text.startIndex, text.startIndex)
    while place < text.endIndex {
      if text[place...].hasPrefix(token) {
        parts.append(text[start..<place])
        place = text.index(place, offsetBy: token.count)
        start = place
      } else {
        place = text.index(after: place)
      }
    }
    parts.append(text[start...])
    return parts
  }

  /// Learns the merges.
  /// - Returns: the contents of `tokenizer.json` and of `tokenizer_config.json`.
  /// - Throws: `InputError` if nothing was read.
  public func finish() throws -> (tokenizer: String, configuration: String) {
    guard !words.isEmpty else { throw InputError("no text was read", remedy: "give texts to learn from") }
    var tokens = (0..<256).map { [UInt8($0)] }
    let merges = learn(into: &tokens)
    return (tokenizer(tokens, merges).text + "\n", configuration().text + "\n")
  }

  private struct Pair: Hashable {
    let left: Int
    let right: Int
  }

  /// The most frequent pair first; of equally frequent ones that with the smaller ids.
  private func learn(into tokens: inout [[UInt8]]) -> [Pair] {
    let entries = words.sorted { ($1.value, $0.key.description) < ($0.value, $1.key.description) }
    var symbols = entries.map { $0.key.map(Int.init) }
    let counts = entries.map(\.value)
    var pairs: [Pair: Int] = [:]
    var places: [Pair: Set<Int>] = [:]
    for (word, ids) in symbols.enumerated() {
      for (left, right) in zip(ids, ids.dropFirst()) {
        pairs[Pair(left: left, right: right), default: 0] += counts[word]
        places[Pair(left: left, right: right), default: []].insert(word)
      }
    }
    var merges: [Pair] = []
    let room = options.vocabulary - options.special.count - options.added.count
    while tokens.count < room {
      let best = pairs.max { ($0.value, -$0.key.left, -$0.key.right) < ($1.value, -$1.key.left, -$1.key.right) }
      guard let best, best.value > 1 else { break }
      let (pair, joined) = (best.key, tokens.count)
      tokens.append(tokens[pair.left] + tokens[pair.right])
      merges.append(pair)
      for word in places[pair] ?? [] {
        for (left, right) in zip(symbols[word], symbols[word].dropFirst()) {
          pairs[Pair(left: left, right: right), default: 0] -= counts[word]
        }
        symbols[word] = Self.merge(symbols[word], pair, to: joined)
        for (left, right) in zip(symbols[word], symbols[word].dropFirst()) {
          pairs[Pair(left: left, right: right), default: 0] += counts[word]
          places[Pair(left: left, right: right), default: []].insert(word)
        }
      }
      pairs[pair] = nil
    }
    return merges
  }

  private static func merge(_ symbols: [Int], _ pair: Pair, to joined: Int) -> [Int] {
    var merged: [Int] = []
    var index = 0
    while index < symbols.count {
      if index + 1 < symbols.count, symbols[index] == pair.left, symbols[index + 1] == pair.right {
        merged.append(joined)
        index += 2
      } else {
        merged.append(symbols[index])
        index += 1
      }
    }
    return merged
  }

  private func tokenizer(_ tokens: [[UInt8]], _ merges: [Pair]) -> JSON {
    var vocabulary = JSONObject()
    for (id, token) in tokens.enumerated() { vocabulary[ByteAlphabet.encode(token)] = .integer(id) }
    let added = options.special.map { ($0, true) } + options.added.map { ($0, false) }
    let byteLevel = JSONObject([
      "type": .string("ByteLevel"), "add_prefix_space": .bool(false), "trim_offsets": .bool(false),
      "use_regex": .bool(false),
    ])
    return .members([
      "version": .string("1.0"), "truncation": .null, "padding": .null,
      "added_tokens": .array(
        added.enumerated().map { index, token in
          .members([
            "id": .integer(tokens.count + index), "content": .string(token.0), "single_word": .bool(false),
            "lstrip": .bool(false), "rstrip": .bool(false), "normalized": .bool(false), "special": .bool(token.1),
          ])
        }),
      "normalizer": .members(["type": .string("NFC")]),
      "pre_tokenizer": .members([
        "type": .string("Sequence"),
        "pretokenizers": .array([
          .members([
            "type": .string("Split"), "pattern": .members(["Regex": .string(TextSplitter.qwen2Pattern)]),
            "behavior": .string("Isolated"), "invert": .bool(false),
          ]), .object(byteLevel),
        ]),
      ]),
      "post_processor": .object(byteLevel), "decoder": .object(byteLevel),
      "model": .members([
        "type": .string("BPE"), "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .string(""),
        "end_of_word_suffix": .string(""), "fuse_unk": .bool(false), "byte_fallback": .bool(false),
        "ignore_merges": .bool(false), "vocab": .object(vocabulary),
        "merges": .array(
          merges.map { pair in
            .array([pair.left, pair.right].map { .string(ByteAlphabet.encode(tokens[$0])) })
          }),
      ]),
    ])
  }

  private func configuration() -> JSON {
    var members = JSONObject([
      "tokenizer_class": .string("PreTrainedTokenizerFast"), "add_bos_token": .bool(false),
      "clean_up_tokenization_spaces": .bool(false),
    ])
    members["bos_token"] = options.bosToken.map { .string($0) } ?? .null
    members["eos_token"] = options.eosToken.map { .string($0) } ?? .null
    if let template = options.chatTemplate { members["chat_template"] = .string(template) }
    return .object(members)
  }
}
