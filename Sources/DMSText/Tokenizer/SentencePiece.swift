// SentencePiece-style byte-pair encoding with byte fallback (Llama 2): the whole text is one word of characters, spaces are
// written ▁, and a character that the vocabulary lacks becomes its bytes <0x00>…<0xFF>.

struct SentencePiece: Sendable {
  /// When a text gets a leading space of its own.
  enum LeadingSpace: Sendable { case never, first, always }

  /// Ids of <0x00>…<0xFF>; empty without byte fallback.
  var byteIDs: [Int]
  var unknownID: Int?
  /// Whether neighbouring unknown characters become one token.
  var fusesUnknown: Bool
  /// Set where spaces are replaced before splitting (Metaspace); `nil` where normalizers do it.
  var metaspace: LeadingSpace?

  static let space: [UInt8] = Array("▁".utf8)

  /// Appends the ids of a text's characters, from which merging starts.
  func symbols(
    of text: UnsafeBufferPointer<UInt8>, isFirst: Bool, in vocabulary: borrowing ByteTable, into ids: inout [Int]
  ) {
    guard !text.isEmpty else { return }
    var lastWasUnknown = false
    func append(_ character: UnsafeBufferPointer<UInt8>) {
      if let id = vocabulary.id(of: character) {
        ids.append(id)
        lastWasUnknown = false
      } else if !byteIDs.isEmpty {
        for byte in character { ids.append(byteIDs[Int(byte)]) }
        lastWasUnknown = false
      } else if let unknownID {
        if !(fusesUnknown && lastWasUnknown) { ids.append(unknownID) }
        lastWasUnknown = true
      }
    }
    Self.space.withUnsafeBufferPointer { space in
      let leads = metaspace == .always || (metaspace == .first && isFirst)
      if leads, text[0] != 0x20, !text.starts(with: space) { append(space) }
      var index = 0
      while index < text.count {
        let byte = text[index]
        let length = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4
        let end = min(text.count, index + length)
        if byte == 0x20, metaspace != nil {
          append(space)
        } else {
          append(UnsafeBufferPointer(rebasing: text[index..<end]))
        }
        index = end
      }
    }
  }
}
