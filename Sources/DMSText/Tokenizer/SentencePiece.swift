// SentencePiece-style byte-pair encoding with byte fallback (Llama 2): the whole text is one word of characters, spaces are
// written ▁, and a character that the vocabulary lacks becomes its bytes <0x00>…<0xFF>.

/// The pre-tokenizer that writes spaces as ▁. Other models leave that to normalizers.
struct Metaspace: Sendable {
  /// When a text gets a leading space of its own.
  enum LeadingSpace: Sendable { case never, first, always }

  var leading: LeadingSpace
  /// Whether each ▁ begins a word, across which nothing merges.
  var splits: Bool
  static let mark: [UInt8] = Array("▁".utf8)

  /// Text with its spaces replaced. `isFirst`: nothing stands before it.
  func replacingSpaces(in text: UnsafeBufferPointer<UInt8>, isFirst: Bool) -> [UInt8] {
    let marked = Normalizer.replace([0x20], with: Self.mark).apply(Array(text))
    guard !marked.isEmpty, !marked.starts(with: Self.mark), leading == .always || (leading == .first && isFirst) else {
      return marked
    }
    return Self.mark + marked
  }

  /// The words of text with replaced spaces.
  func words(of text: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Void) {
    guard splits else { return body(text) }
    var (start, index) = (0, 1)
    while index < text.count {
      if text[index] == Self.mark[0], text[index...].starts(with: Self.mark) {
        body(UnsafeBufferPointer(rebasing: text[start..<index]))
        start = index
      }
      index += 1
    }
    if start < text.count { body(UnsafeBufferPointer(rebasing: text[start...])) }
  }
}

struct SentencePiece: Sendable {
  /// Ids of <0x00>…<0xFF>, -1 where the vocabulary lacks one; empty without byte fallback.
  var byteIDs: [Int]
  var unknownID: Int?
  /// Whether neighbouring unknown characters become one token.
  var fusesUnknown: Bool
  var metaspace: Metaspace?

  /// Appends the ids of a word's characters, from which merging starts.
  func symbols(of word: UnsafeBufferPointer<UInt8>, in vocabulary: borrowing ByteTable, into ids: inout [Int]) {
    var index = 0
    // Waits for the next known character: so the reference does, and so a fused run is one token.
    var unknown: Int?
    while index < word.count {
      let byte = word[index]
      let length = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4
      let end = min(word.count, index + length)
      let character = UnsafeBufferPointer(rebasing: word[index..<end])
      index = end
      if let id = vocabulary.id(of: character) {
        if let unknown { ids.append(unknown) }
        unknown = nil
        ids.append(id)
      } else if !byteIDs.isEmpty, character.allSatisfy({ byteIDs[Int($0)] >= 0 }) {
        for byte in character { ids.append(byteIDs[Int(byte)]) }
      } else if let unknownID {
        if let unknown, !fusesUnknown { ids.append(unknown) }
        unknown = unknownID
      }
    }
    if let unknown { ids.append(unknown) }
  }
}
