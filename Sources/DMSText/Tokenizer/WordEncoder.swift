// Words to ids, remembering the words seen: natural text repeats itself. One encoder serves one call, so that the
// tokenizer itself stays immutable.

struct WordEncoder {
  private let vocabulary: ByteTable
  private let merges: MergeTable
  private let splitting: PreTokenizer
  private let symbolRule: TokenizerDefinition.SymbolRule
  private let ignoresMerges: Bool
  private var merger = SymbolMerger()
  private var symbols: [Int] = []
  /// The words so far, by their place in `ranges`, and their ids: `known[ranges[place]]`.
  private var seen = ByteTable(expecting: 1 << 12)
  private var known: [Int] = []
  private var ranges: [Range<Int>] = []

  /// Longer words are rare and not worth remembering.
  private static let longestKnown = 64
  private static let mostKnown = 1 << 18

  init(_ definition: TokenizerDefinition) {
    vocabulary = definition.vocabulary.tokens
    merges = definition.merges
    splitting = definition.splitting
    symbolRule = definition.symbolRule
    ignoresMerges = definition.ignoresMerges
  }

  /// - Parameter isFirst: whether the text is the beginning of what is encoded.
  mutating func encode(_ text: UnsafeBufferPointer<UInt8>, isFirst: Bool, into ids: inout [Int]) {
    switch splitting {
    case .words(let splitter, let addsSpace):
      if addsSpace, !text.isEmpty, text[0] != 0x20 {
        ([0x20] + Array(text)).withUnsafeBufferPointer { splitter.split($0) { encode(word: $0, &ids) } }
      } else {
        splitter.split(text) { encode(word: $0, &ids) }
      }
    case .whole: encode(word: text, &ids)
    case .metaspace(let metaspace):
      metaspace.replacingSpaces(in: text, isFirst: isFirst).withUnsafeBufferPointer { text in
        metaspace.words(of: text) { encode(word: $0, &ids) }
      }
    case .parts(let parts, _, let encodes):
      var pieces = TextPieces(text, isFirst: isFirst)
      for (index, part) in parts.enumerated() { pieces.apply(part, encodes: index + 1 < parts.count) }
      pieces.text.withUnsafeBufferPointer { text in
        for range in pieces.ranges { encode(piece: UnsafeBufferPointer(rebasing: text[range]), encodes, &ids) }
      }
    }
  }

  /// - Parameter encoded: whether it is in the byte alphabet, as the vocabulary is not.
  private mutating func encode(piece: UnsafeBufferPointer<UInt8>, _ encoded: Bool, _ ids: inout [Int]) {
    var bytes: [UInt8] = []
    guard encoded, ByteAlphabet.decode(piece, into: &bytes) else { return encode(word: piece, &ids) }
    bytes.withUnsafeBufferPointer { encode(word: $0, &ids) }
  }

  private mutating func encode(word: UnsafeBufferPointer<UInt8>, _ ids: inout [Int]) {
    if let place = word.count <= Self.longestKnown ? seen.id(of: word) : nil {
      ids.append(contentsOf: known[ranges[place]])
      return
    }
    symbols.removeAll(keepingCapacity: true)
    if ignoresMerges, let id = vocabulary.id(of: word) {
      symbols.append(id)
    } else {
      switch symbolRule {
      case .bytes(let byteIDs):
        for byte in word where byteIDs[Int(byte)] >= 0 { symbols.append(byteIDs[Int(byte)]) }
      case .characters(let pieces): pieces.symbols(of: word, in: vocabulary, into: &symbols)
      }
      merger.merge(&symbols, with: merges)
    }
    if word.count <= Self.longestKnown, seen.count < Self.mostKnown {
      ranges.append(known.count..<known.count + symbols.count)
      known.append(contentsOf: symbols)
      _ = seen.insert(word, id: ranges.count - 1)
    }
    ids.append(contentsOf: symbols)
  }
}
