// The large tables of a tokenizer, straight from the file's bytes: a hundred thousand tokens and merges in a tenth of a
// second.

import DMSPlatform

struct VocabularyReader {
  private(set) var vocabulary = ByteTable(expecting: 1 << 17)
  private(set) var decoded = ByteStrings(expecting: 1 << 17)
  private(set) var merges = MergeTable(expecting: 1 << 17)
  private let added: [AddedToken]
  private let isByteLevel: Bool
  private let decoding: TokenDecoding
  private let source: String
  private var rank: UInt32 = 0

  init(
    added: [AddedToken], normalizers: [Normalizer], isByteLevel: Bool, decoding: TokenDecoding, source: String
  ) throws {
    self.added = added
    self.isByteLevel = isByteLevel
    self.decoding = decoding
    self.source = source
    for token in added {
      guard !decoded.contains(token.id) else {
        throw InputError("the id \(token.id) belongs to two added tokens", at: source, remedy: Self.remedy)
      }
      guard decoded.insert(decoding.decode(added: token, normalizers), id: token.id) else {
        throw InputError("the texts of the added tokens take more than 4 GB", at: source, remedy: Self.remedy)
      }
    }
  }

  private static let remedy = "download the tokenizer again"

  mutating func read(vocabulary reader: inout JSONReader) throws {
    var (bytes, text): ([UInt8], [UInt8]) = ([], [])
    try reader.objectBytes { reader, token in
      let id = try reader.integer()
      guard (0..<TokenizerDefinition.largestID).contains(id) else { throw reader.error("the id \(id) is out of range") }
      bytes.removeAll(keepingCapacity: true)
      Self.stored(token, isByteLevel, into: &bytes)
      guard vocabulary.insert(bytes, id: id) else { throw reader.error("the id \(id) belongs to two tokens") }
      if decoded.contains(id) { return }
      text.removeAll(keepingCapacity: true)
      decoding.decode(token, into: &text)
      guard decoded.insert(text, id: id) else { throw reader.error("the texts of the tokens take more than 4 GB") }
    }
    try checkAdded()
  }

  /// An added token may stand in the vocabulary too, but then under the same id.
  private func checkAdded() throws {
    for token in added {
      var content = token.content
      var bytes: [UInt8] = []
      content.withUTF8 { Self.stored($0, isByteLevel, into: &bytes) }
      let known = vocabulary.id(of: bytes)
      guard known == token.id || (known == nil && !vocabulary.contains(token.id)) else {
        throw InputError(
          "the added token \"\(oneLine(token.content))\" and the vocabulary disagree about the id \(token.id)",
          at: source, remedy: Self.remedy)
      }
    }
  }

  /// Merges as `"a b"` or `["a", "b"]`.
  mutating func read(merges reader: JSONReader) throws {
    var reader = reader
    var (left, right, text): ([UInt8], [UInt8], [UInt8]) = ([], [], [])
    try reader.array { reader in
      left.removeAll(keepingCapacity: true)
      right.removeAll(keepingCapacity: true)
      guard try reader.peek() == .array else {
        try Self.read(&reader, &text) { line in try split(line, &left, &right) }
        return try add(&left, right)
      }
      var parts = 0
      try reader.array { reader in
        try Self.read(&reader, &text) { part in
          if parts == 0 { Self.stored(part, isByteLevel, into: &left) }
          if parts == 1 { Self.stored(part, isByteLevel, into: &right) }
        }
        parts += 1
      }
      guard parts == 2 else { throw reader.error("a merge joins two tokens") }
      try add(&left, right)
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
    var (left, right): ([UInt8], [UInt8]) = ([], [])
    for (number, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
      let line = line.last == 0x0D ? line.dropLast() : line
      if line.isEmpty || (number == 0 && line.starts(with: "#version".utf8)) { continue }
      left.removeAll(keepingCapacity: true)
      right.removeAll(keepingCapacity: true)
      do {
        try split(UnsafeBufferPointer(rebasing: line), &left, &right)
        try add(&left, right)
      } catch let error as InputError {
        throw InputError(error.problem, at: "\(path), line \(number + 1)", remedy: error.remedy)
      }
    }
  }

  private func split(_ line: UnsafeBufferPointer<UInt8>, _ left: inout [UInt8], _ right: inout [UInt8]) throws {
    guard let space = line.firstIndex(of: 0x20), space > 0, space + 1 < line.count else {
      throw InputError("merge \(rank + 1) is not two tokens with a space between", at: source, remedy: Self.remedy)
    }
    Self.stored(UnsafeBufferPointer(rebasing: line[..<space]), isByteLevel, into: &left)
    Self.stored(UnsafeBufferPointer(rebasing: line[(space + 1)...]), isByteLevel, into: &right)
  }

  /// - Parameter left: becomes the joined token.
  private mutating func add(_ left: inout [UInt8], _ right: [UInt8]) throws {
    let (first, second) = (vocabulary.id(of: left), vocabulary.id(of: right))
    let leftCount = left.count
    left.append(contentsOf: right)
    guard let first, let second, let joined = vocabulary.id(of: left) else {
      let missing = first == nil ? Array(left[..<leftCount]) : second == nil ? right : left
      let name = oneLine(String(decoding: missing, as: UTF8.self))
      throw InputError(
        "merge \(rank + 1) needs the token \"\(name)\", which the vocabulary lacks",
        at: source, remedy: Self.remedy)
    }
    merges.insert(first, second, MergeTable.Merge(rank: rank, result: UInt32(joined)))
    rank += 1
  }

  /// A token as encoding sees it: bytes for byte-level vocabularies, its text for others.
  private static func stored(_ token: UnsafeBufferPointer<UInt8>, _ isByteLevel: Bool, into out: inout [UInt8]) {
    if !isByteLevel || !ByteAlphabet.decode(token, into: &out) { out.append(contentsOf: token) }
  }
}
