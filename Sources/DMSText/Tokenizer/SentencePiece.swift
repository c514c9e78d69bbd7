// SentencePiece-style byte-pair encoding with byte fallback (Llama 2): the whole text is one word of characters, spaces are
// written ▁, and a character that the vocabulary lacks becomes its bytes <0x00>…<0xFF>.

import DMSPlatform

/// The pre-tokenizer that writes spaces as ▁. Other models leave that to normalizers.
struct Metaspace: Sendable {
  /// When a text gets a leading space of its own.
  enum LeadingSpace: String, Sendable { case never, first, always }

  let mark: [UInt8]
  let leading: LeadingSpace
  /// Whether each ▁ begins a word, across which nothing merges.
  let splits: Bool
  static let usualMark: [UInt8] = Array("▁".utf8)

  init(_ step: JSON, _ source: String) throws {
    guard let mark = step["replacement"]?.string, mark.unicodeScalars.count == 1 else {
      throw InputError("the replacement of a Metaspace is not one character", at: source)
    }
    self.mark = Array(mark.utf8)
    splits = step["split"]?.bool ?? true
    let scheme = step["prepend_scheme"]?.string ?? (step["add_prefix_space"]?.bool ?? true ? "always" : "never")
    guard let leading = LeadingSpace(rawValue: scheme) else {
      throw InputError("the prepend_scheme \(oneLine(scheme)) is not supported", at: source)
    }
    self.leading = leading
  }

  /// Text with its spaces replaced. `isFirst`: nothing stands before it.
  func replacingSpaces(in text: UnsafeBufferPointer<UInt8>, isFirst: Bool) -> [UInt8] {
    let marked = Normalizer.replace([0x20], with: mark).apply(Array(text))
    guard !marked.isEmpty, !marked.starts(with: mark), leading == .always || (leading == .first && isFirst) else {
      return marked
    }
    return mark + marked
  }

  /// The words of text with replaced spaces.
  func words(of text: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Void) {
    guard splits else { return body(text) }
    var (start, index) = (0, 1)
    while index < text.count {
      if text[index] == mark[0], text[index...].starts(with: mark) {
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

  /// - Parameter settings: the `model` of a `tokenizer.json`.
  init(_ settings: JSON, _ vocabulary: ByteTable, _ source: String) throws {
    let unknown = settings["unk_token"]?.string
    unknownID = unknown.flatMap { vocabulary.id(of: $0) }
    guard unknown == nil || unknownID != nil else {
      throw InputError("the vocabulary lacks the unk_token \(oneLine(unknown ?? ""))", at: source)
    }
    byteIDs = settings["byte_fallback"]?.bool ?? false ? Self.byteIDs(vocabulary) : []
    fusesUnknown = settings["fuse_unk"]?.bool ?? false
  }

  /// With the bytes' tokens where the vocabulary has them.
  init(unknownID: Int?, _ vocabulary: ByteTable) {
    (byteIDs, self.unknownID, fusesUnknown) = (Self.byteIDs(vocabulary), unknownID, true)
  }

  private static func byteIDs(_ vocabulary: ByteTable) -> [Int] {
    let digits = Array("0123456789ABCDEF")
    return (0..<256).map { vocabulary.id(of: "<0x\(digits[$0 >> 4])\(digits[$0 & 15])>") ?? -1 }
  }

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
