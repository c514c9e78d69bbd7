// The large tables of a tokenizer, straight from the file's bytes: a hundred thousand tokens and merges in a tenth of a
// second.

import DMSPlatform

struct VocabularyReader {
  private(set) var vocabulary: Vocabulary
  private(set) var merges = MergeTable(expecting: 1 << 17)
  private let decoding: TokenDecoding
  private let source: String
  private var rank: UInt32 = 0
  /// The two tokens of a merge.
  private var (left, right): ([UInt8], [UInt8]) = ([], [])

  init(isByteLevel: Bool, decoding: TokenDecoding, source: String) {
    vocabulary = Vocabulary(isByteLevel: isByteLevel)
    self.decoding = decoding
    self.source = source
  }

  private static let remedy = "download the tokenizer again"
  /// Vocabularies that were SentencePiece's have twice as many merges as tokens.
  private static let mostMerges = 4 * TokenizerDefinition.largestID

  mutating func read(vocabulary reader: inout JSONReader) throws {
    var text: [UInt8] = []
    try reader.objectBytes { reader, token in
      let id = try reader.integer()
      text.removeAll(keepingCapacity: true)
      decoding.decode(token, into: &text)
      if let problem = vocabulary.insert(token, id: id, text: text) { throw reader.error(problem) }
    }
  }

  /// Merges as `"a b"` or `["a", "b"]`.
  mutating func read(merges reader: JSONReader) throws {
    var reader = reader
    var (text, first): ([UInt8], [UInt8]) = ([], [])
    try reader.array { reader in
      guard try reader.peek() == .array else {
        return try Self.read(&reader, &text) { line in try add(line: line) }
      }
      var parts = 0
      try reader.array { reader in
        try Self.read(&reader, &text) { part in
          if parts == 0 { first = Array(part) }
          if parts == 1 { try first.withUnsafeBufferPointer { try add($0, part) } }
        }
        parts += 1
      }
      guard parts == 2 else { throw reader.error("a merge joins two tokens") }
    }
  }

  /// The bytes of the next string: in place, or unescaped in `text`.
  private static func read(
    _ reader: inout JSONReader, _ text: inout [UInt8], _ body: (UnsafeBufferPointer<UInt8>) throws -> Void
  ) throws {
    if let plain = try reader.plainStringBytes() { return try body(plain) }
    text.removeAll(keepingCapacity: true)
    try reader.string(into: &text)
    try text.withUnsafeBufferPointer(body)
  }

  /// `merges.txt`: a line each, after an optional comment that states the version.
  mutating func read(mergesText file: MappedFile, _ path: String) throws {
    defer { withExtendedLifetime(file) {} }
    let bytes = file.bytes.bindMemory(to: UInt8.self)
    var (start, number) = (0, 0)
    while start < bytes.count {
      let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
      let line = end > start && bytes[end - 1] == 0x0D ? bytes[start..<end - 1] : bytes[start..<end]
      number += 1
      start = end + 1
      if line.isEmpty || (number == 1 && line.starts(with: "#version".utf8)) { continue }
      do {
        try add(line: UnsafeBufferPointer(rebasing: line))
      } catch let error as InputError {
        throw InputError(error.problem, at: "\(path), line \(number)", remedy: error.remedy)
      }
    }
  }

  // MARK: - Tables

  /// Tokens in the order of their ids, and their merges or scores. Empty tokens are none.
  mutating func read(_ tables: TokenizerTables) throws {
    guard tables.tokens.count <= TokenizerDefinition.largestID else {
      throw InputError("\(tables.tokens.count) tokens, more than \(TokenizerDefinition.largestID)", at: source)
    }
    var text: [UInt8] = []
    for (id, token) in tables.tokens.enumerated() where !token.isEmpty {
      let type = tables.type(of: id)
      let problem = token.withUnsafeBufferPointer { bytes in
        text.removeAll(keepingCapacity: true)
        if type == .normal || type == .byte {
          decoding.decode(bytes, into: &text)
        } else {
          text.append(contentsOf: bytes)
        }
        return vocabulary.insert(bytes, id: id, text: text, isEncoded: type == .normal || type == .byte)
      }
      if let problem { throw InputError(problem, at: "\(source): token \(id)", remedy: Self.remedy) }
    }
    if case .sentencePiece(let scores) = tables.model { return try read(scores: scores, tables) }
    for merge in tables.merges { try merge.withUnsafeBufferPointer { try add(line: $0) } }
  }

  /// SentencePiece has no list of merges: any two neighbours may become a token, the highest score first, of equal ones the
  /// leftmost. Listed are those whose halves are tokens, since no others come about.
  private mutating func read(scores: [Float], _ tables: TokenizerTables) throws {
    guard scores.count == tables.tokens.count, scores.allSatisfy({ !$0.isNaN }) else {
      throw InputError(
        "\(tables.tokens.count) tokens, but \(scores.count) scores, or one that is no number", at: source,
        remedy: Self.remedy)
    }
    // Each token is looked up by every beginning and end: the square of its length.
    let work = tables.tokens.reduce(0) { min($0 + min($1.count, 1 << 16) * min($1.count, 1 << 16), 1 << 40) }
    guard work < 1 << 31 else { throw InputError("the tokens are too long", at: source, remedy: Self.remedy) }
    let ids = scores.indices.filter { tables.type(of: $0) == .normal }.sorted { (scores[$1], $0) < (scores[$0], $1) }
    var last: Float?
    for id in ids {
      if let last, last != scores[id] { rank += 1 }
      last = scores[id]
      tables.tokens[id].withUnsafeBufferPointer { token in
        for place in token.indices.dropFirst() where token[place] & 0xC0 != 0x80 {
          guard let left = vocabulary.tokens.id(of: UnsafeBufferPointer(rebasing: token[..<place])),
            let right = vocabulary.tokens.id(of: UnsafeBufferPointer(rebasing: token[place...])),
            tables.type(of: left) == .normal, tables.type(of: right) == .normal
          else { continue }
          merges.insert(left, right, MergeTable.Merge(rank: rank, result: UInt32(id)))
        }
      }
    }
  }

  private mutating func add(line: UnsafeBufferPointer<UInt8>) throws {
    guard let space = line.firstIndex(of: 0x20), space > 0, space + 1 < line.count else {
      throw InputError("merge \(rank + 1) is not two tokens with a space between", at: source, remedy: Self.remedy)
    }
    try add(UnsafeBufferPointer(rebasing: line[..<space]), UnsafeBufferPointer(rebasing: line[(space + 1)...]))
  }

  private mutating func add(_ left: UnsafeBufferPointer<UInt8>, _ right: UnsafeBufferPointer<UInt8>) throws {
    guard rank < Self.mostMerges else {
      throw InputError("more than \(Self.mostMerges) merges", at: source, remedy: Self.remedy)
    }
    guard let (first, second, result) = ids(left, right) else {
      let missing = [Array(left), Array(right), Array(left) + Array(right)].first { token in
        token.withUnsafeBufferPointer { vocabulary.id(of: $0) } == nil
      }
      let name = oneLine(String(decoding: missing ?? [], as: UTF8.self))
      throw InputError(
        "merge \(rank + 1) needs the token \"\(name)\", which the vocabulary lacks", at: source, remedy: Self.remedy)
    }
    merges.insert(first, second, MergeTable.Merge(rank: rank, result: UInt32(result)))
    rank += 1
  }

  /// The ids of two tokens and of both in a row.
  private mutating func ids(
    _ left: UnsafeBufferPointer<UInt8>, _ right: UnsafeBufferPointer<UInt8>
  ) -> (Int, Int, Int)? {
    self.left.removeAll(keepingCapacity: true)
    self.right.removeAll(keepingCapacity: true)
    if vocabulary.stored(left, into: &self.left), vocabulary.stored(right, into: &self.right) {
      let (first, second) = (vocabulary.tokens.id(of: self.left), vocabulary.tokens.id(of: self.right))
      self.left.append(contentsOf: self.right)
      guard let first, let second, let result = vocabulary.tokens.id(of: self.left) else { return nil }
      return (first, second, result)
    }
    let joined = Array(left) + Array(right)
    guard let first = vocabulary.id(of: left), let second = vocabulary.id(of: right),
      let result = joined.withUnsafeBufferPointer({ vocabulary.id(of: $0) })
    else { return nil }
    return (first, second, result)
  }
}
