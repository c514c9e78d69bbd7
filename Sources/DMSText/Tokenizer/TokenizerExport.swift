// The tables of a checkpoint's tokenizer, for a container that has no room for its files, such as GGUF. What cannot be said there
// is refused: a tokenizer made of the tables must give the same ids.

import DMSPlatform
import Glibc

extension Tokenizer {
  /// Whether a folder has a tokenizer at all.
  package static func isThere(in folder: String) -> Bool {
    ["tokenizer.json", "vocab.json"].contains { access("\(folder)/\($0)", F_OK) == 0 }
  }
}

extension TokenizerTables {
  /// Texts that tell ways of splitting apart.
  private static let probes = [
    "I'm  HERE, you'LL see\n\n  \n x\t\ty 1234567 3.14 a1b22c333 été e\u{301}te \u{1F600}\u{1F680} 你好 世界 こんにちは",
    "can't WON'T don'T  !!! ... ??=--> ##foo_bar FooBar HTTPServer \r\n\r\n  end  ", "０１２ ½ Ⅷ ٣٤٥ ไทย हिन्दी עִברִית  .\n",
  ]

  /// The tables of the tokenizer in a folder.
  /// - Throws: `InputError` for files that are missing, malformed or not supported, and for a tokenizer that tables cannot say.
  package init(folder: String) throws {
    let tokenizer = try Tokenizer(folder: folder)
    let isWhole = access(folder + "/tokenizer.json", F_OK) == 0
    let source = folder + (isWhole ? "/tokenizer.json" : "/vocab.json")
    let file = try JSON(file: source)
    let model = isWhole ? file["model"] ?? .null : file
    var tokens = [[UInt8]](repeating: [], count: tokenizer.vocabularySize)
    var types = [TokenType](repeating: .unused, count: tokens.count)
    func add(_ content: String, _ id: Int?, _ type: TokenType) {
      guard let id, tokens.indices.contains(id) else { return }
      (tokens[id], types[id]) = (Array(content.utf8), type)
    }
    let vocabulary = (isWhole ? model["vocab"]?.object : model.object) ?? JSONObject()
    for (content, id) in vocabulary.members { add(content, id.integer, .normal) }
    for token in tokenizer.added { add(token.content, token.id, token.isSpecial ? .control : .userDefined) }
    // Ids without a token.
    for id in tokens.indices where types[id] == .unused { tokens[id] = Array("[PAD\(id)]".utf8) }
    let merges = try isWhole ? Self.merges(model["merges"]) : Self.merges(text: folder + "/merges.txt")

    self.init(model: .byteLevel(preTokenizer: ""), tokens: tokens)
    self.types = types
    (bosID, eosID) = (tokenizer.bosID, tokenizer.eosID)
    let around = tokenizer.encode("a", addSpecialTokens: true)
    let plain = tokenizer.encode("a", addSpecialTokens: false)
    addsBOS = around.count > plain.count && around.first == bosID
    addsEOS = around.count > plain.count && around.last == eosID
    if tokenizer.isByteLevel {
      self.merges = merges
      try chooseName(tokenizer, source)
    } else {
      unknownID = model["unk_token"]?.string.flatMap(tokenizer.id(of:))
      if let unknownID { self.types[unknownID] = .unknown }
      try chooseScores(merges, tokenizer, source)
    }
  }

  private static func merges(_ value: JSON?) throws -> [[UInt8]] {
    (value?.array ?? []).map { merge in
      let text = merge.string ?? (merge.array ?? []).compactMap(\.string).joined(separator: " ")
      return Array(text.utf8)
    }
  }

  private static func merges(text path: String) throws -> [[UInt8]] {
    let file = try MappedFile(path: path)
    return withExtendedLifetime(file) {
      file.bytes.split(separator: 0x0A).map { Array($0.last == 0x0D ? $0.dropLast() : $0) }
        .filter { !$0.isEmpty && !$0.starts(with: "#version".utf8) }
    }
  }

  private func gives(_ tokenizer: Tokenizer, _ source: String) throws -> Bool {
    let own = try Tokenizer(tables: self, source: source)
    return Self.probes.allSatisfy {
      own.encode($0, addSpecialTokens: true) == tokenizer.encode($0, addSpecialTokens: true)
    }
  }

  private mutating func chooseName(_ tokenizer: Tokenizer, _ source: String) throws {
    for name in NamedPreTokenizer.names {
      model = .byteLevel(preTokenizer: name)
      if try gives(tokenizer, source) { return }
    }
    throw InputError(
      "its way of splitting text has no name in GGUF files", at: source, remedy: "keep the model's folder")
  }

  /// A token's score is the place of the first merge that makes it: earlier merges score higher.
  private mutating func chooseScores(_ merges: [[UInt8]], _ tokenizer: Tokenizer, _ source: String) throws {
    var scores = [Float](repeating: -Float(merges.count) - 1, count: tokens.count)
    for (rank, merge) in merges.enumerated().reversed() {
      let joined = String(decoding: merge.filter { $0 != 0x20 }, as: UTF8.self)
      if let id = tokenizer.id(of: joined) { scores[id] = -Float(rank) }
    }
    for byte in 0..<256 {
      let digits = String(byte, radix: 16, uppercase: true)
      let name = "<0x\(digits.count < 2 ? "0" : "")\(digits)>"
      if let id = tokenizer.id(of: name) { types[id] = .byte }
    }
    model = .sentencePiece(scores: scores)
    for adds in [true, false] {
      addsSpacePrefix = adds
      if try gives(tokenizer, source) { return }
    }
    throw InputError("its way of merging cannot be said by scores", at: source, remedy: "keep the model's folder")
  }
}
