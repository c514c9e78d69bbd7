// The large tables of a tokenizer, straight from the file's bytes: a hundred thousand tokens and merges in a tenth of a
// second.

import DMSPlatform

struct VocabularyReader {
  private(set) var vocabulary = ByteTable(expecting: 1 << 17)
  private(set) var decoded = ByteTable(expecting: 1 << 17)
  private(set) var merges = MergeTable(expecting: 1 << 17)
  private let isByteLevel: Bool
  private let source: String
  private var rank: UInt32 = 0
  private var (left, right): ([UInt8], [UInt8]) = ([], [])

  init(added: [AddedToken], isByteLevel: Bool, source: String) {
    self.isByteLevel = isByteLevel
    self.source = source
    for token in added {
      var content = token.content
      content.withUTF8 { _ = decoded.insert($0, id: token.id) }
    }
  }

  mutating func read(vocabulary reader: JSONReader) throws {
    var reader = reader
    var bytes: [UInt8] = []
    var plain: [UInt8] = []
    try reader.objectBytes { reader, token in
      let id = try reader.integer()
      guard (0..<TokenizerDefinition.largestID).contains(id) else { throw reader.error("the id \(id) is out of range") }
      bytes.removeAll(keepingCapacity: true)
      stored(token, into: &bytes)
      guard bytes.withUnsafeBufferPointer({ vocabulary.insert($0, id: id) }) else {
        throw reader.error("the id \(id) belongs to two tokens")
      }
      if isByteLevel {
        // An added token of this id decodes to its own text.
        _ = bytes.withUnsafeBufferPointer { decoded.insert($0, id: id) }
      } else {
        plain.removeAll(keepingCapacity: true)
        Self.plainText(token, into: &plain)
        _ = plain.withUnsafeBufferPointer { decoded.insert($0, id: id) }
      }
    }
  }

  /// Merges as `"a b"` or `["a", "b"]`.
  mutating func read(merges reader: JSONReader) throws {
    var reader = reader
    var text: [UInt8] = []
    try reader.array { reader in
      if try reader.peek() == .array {
        var parts: [[UInt8]] = []
        try reader.array { reader in
          var part: [UInt8] = []
          try reader.string(into: &part)
          parts.append(part)
        }
        guard parts.count == 2 else { throw reader.error("a merge joins two tokens") }
        try parts[0].withUnsafeBufferPointer { a in try parts[1].withUnsafeBufferPointer { b in try add(a, b) } }
      } else if let plain = try reader.plainStringBytes() {
        try add(line: plain)
      } else {
        text.removeAll(keepingCapacity: true)
        try reader.string(into: &text)
        try text.withUnsafeBufferPointer { try add(line: $0) }
      }
    }
  }

  /// `merges.txt`: a line each, after an optional comment that states the version.
  mutating func read(mergesText file: MappedFile, _ path: String) throws {
    let bytes = file.bytes.bindMemory(to: UInt8.self)
    for (number, line) in bytes.split(separator: 0x0A).enumerated() {
      let line = line.last == 0x0D ? line.dropLast() : line
      if line.isEmpty || (number == 0 && line.starts(with: Array("#version".utf8))) { continue }
      do {
        try add(line: UnsafeBufferPointer(rebasing: line))
      } catch let error as InputError {
        throw InputError(error.problem, at: "\(path), line \(number + 1)", remedy: error.remedy)
      }
    }
  }

  private mutating func add(line: UnsafeBufferPointer<UInt8>) throws {
    guard let space = line.firstIndex(of: 0x20), space + 1 < line.count else {
      throw InputError("merge \(rank + 1) is not two tokens with a space between", at: source)
    }
    try add(
      UnsafeBufferPointer(rebasing: line[..<space]), UnsafeBufferPointer(rebasing: line[(space + 1)...]))
  }

  private mutating func add(_ a: UnsafeBufferPointer<UInt8>, _ b: UnsafeBufferPointer<UInt8>) throws {
    left.removeAll(keepingCapacity: true)
    right.removeAll(keepingCapacity: true)
    stored(a, into: &left)
    stored(b, into: &right)
    let first = left.withUnsafeBufferPointer { vocabulary.id(of: $0) }
    let second = right.withUnsafeBufferPointer { vocabulary.id(of: $0) }
    left.append(contentsOf: right)
    let joined = left.withUnsafeBufferPointer { vocabulary.id(of: $0) }
    guard let first, let second, let joined else {
      let missing = first == nil ? String(decoding: a, as: UTF8.self) : String(decoding: b, as: UTF8.self)
      throw InputError(
        "merge \(rank + 1) needs the token \"\(first != nil && second != nil ? "\(String(decoding: a, as: UTF8.self))\(missing)" : missing)\", which the vocabulary lacks",
        at: source, remedy: "download the tokenizer again")
    }
    merges.insert(first, second, MergeTable.Merge(rank: rank, result: UInt32(joined)))
    rank += 1
  }

  /// A token as encoding sees it: bytes for byte-level vocabularies, its text for others.
  private func stored(_ token: UnsafeBufferPointer<UInt8>, into out: inout [UInt8]) {
    if !isByteLevel || !ByteAlphabet.decode(token, into: &out) { out.append(contentsOf: token) }
  }

  /// What a SentencePiece token decodes to: ▁ is a space, <0x0A> a byte.
  private static func plainText(_ token: UnsafeBufferPointer<UInt8>, into out: inout [UInt8]) {
    if token.count == 6, token.starts(with: Array("<0x".utf8)), token[5] == UInt8(ascii: ">"),
      let byte = UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
    {
      out.append(byte)
      return
    }
    var index = 0
    while index < token.count {
      if token[index...].starts(with: SentencePiece.space) {
        out.append(0x20)
        index += SentencePiece.space.count
      } else {
        out.append(token[index])
        index += 1
      }
    }
  }
}
