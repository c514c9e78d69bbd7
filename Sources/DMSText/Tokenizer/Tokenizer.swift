// Text to token ids and back: byte-level BPE (GPT-2's, as Qwen and Llama 3 use it) and SentencePiece-style BPE with byte
// fallback (Llama 2). What a checkpoint's files say is in `TokenizerDefinition`; here it is carried out.

import DMSPlatform

/// A checkpoint's tokenizer. Immutable; any number of threads may use it.
public final class Tokenizer: Sendable {
  let vocabulary: ByteTable
  /// What each id decodes to.
  private let decoded: ByteTable
  private let special: Set<Int>
  private let merges: MergeTable
  private let normalizers: [Normalizer]
  private let model: TokenizerDefinition.Model
  private let early: AddedTokenFinder
  private let late: AddedTokenFinder
  private let prefix: [Int]
  private let suffix: [Int]
  /// Decoded text loses the space that SentencePiece put in front of it.
  let stripsLeadingSpace: Bool
  public let bosToken: String?
  public let eosToken: String?
  public let bosID: Int?
  public let eosID: Int?

  /// Reads `tokenizer.json`, or `vocab.json` and `merges.txt`, and `tokenizer_config.json` where it exists.
  ///
  /// Cost: about 0.2 s for 150,000 tokens.
  /// - Throws: `InputError` naming the file, and what in it is missing, malformed or not supported.
  public convenience init(folder: String) throws { try self.init(TokenizerDefinition(folder: folder)) }

  init(_ definition: TokenizerDefinition) throws {
    vocabulary = definition.vocabulary
    decoded = definition.decoded
    merges = definition.merges
    normalizers = definition.normalizers
    model = definition.model
    special = Set(definition.added.filter(\.isSpecial).map(\.id))
    early = AddedTokenFinder(definition.added.filter { !$0.isNormalized || definition.normalizers.isEmpty })
    late = AddedTokenFinder(definition.added.filter { $0.isNormalized && !definition.normalizers.isEmpty })
    prefix = definition.prefix
    suffix = definition.suffix
    stripsLeadingSpace = definition.stripsLeadingSpace
    bosToken = definition.bosToken
    eosToken = definition.eosToken
    bosID = definition.bosToken.flatMap(definition.id(of:))
    eosID = definition.eosToken.flatMap(definition.id(of:))
  }

  /// One more than the largest id that has a token.
  public var vocabularySize: Int { decoded.count }

  /// The id of an added or special token by its text.
  public func id(of token: String) -> Int? { decoded.id(of: token) }

  /// Whether an id is a control token.
  public func isSpecial(_ id: Int) -> Bool { special.contains(id) }

  /// The bytes that an id stands for; none for an id without a token. They need not be whole characters.
  public func bytes(of id: Int) -> [UInt8] { decoded.withBytes(of: id) { Array($0) } }

  func withBytes<Result>(of id: Int, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    decoded.withBytes(of: id, body)
  }

  /// The ids of a text.
  ///
  /// - Parameters:
  ///   - addSpecialTokens: puts what the checkpoint wants around a text, such as BOS.
  ///   - parseSpecial: whether control tokens written in the text become themselves. Text from strangers should not.
  public func encode(_ text: String, addSpecialTokens: Bool, parseSpecial: Bool = true) -> [Int] {
    var ids = addSpecialTokens ? prefix : []
    var encoder = WordEncoder(vocabulary: vocabulary, merges: merges, model: model)
    var text = text
    text.withUTF8 { bytes in
      for piece in early.split(bytes, parseSpecial: parseSpecial) {
        switch piece {
        case .token(let id): ids.append(id)
        case .text(let range):
          let plain = UnsafeBufferPointer(rebasing: bytes[range])
          encode(plain, isFirst: range.lowerBound == 0, parseSpecial, &encoder, &ids)
        }
      }
    }
    if addSpecialTokens { ids.append(contentsOf: suffix) }
    return ids
  }

  private func encode(
    _ bytes: UnsafeBufferPointer<UInt8>, isFirst: Bool, _ parseSpecial: Bool, _ encoder: inout WordEncoder,
    _ ids: inout [Int]
  ) {
    if normalizers.isEmpty, late.isEmpty, case .byteLevel = model {
      encoder.encode(bytes, isFirst: isFirst, into: &ids)
      return
    }
    var normal = String(decoding: bytes, as: UTF8.self)
    for normalizer in normalizers { normal = normalizer.apply(normal) }
    normal.withUTF8 { bytes in
      for piece in late.split(bytes, parseSpecial: parseSpecial) {
        switch piece {
        case .token(let id): ids.append(id)
        case .text(let range):
          let plain = UnsafeBufferPointer(rebasing: bytes[range])
          encoder.encode(plain, isFirst: isFirst && range.lowerBound == 0, into: &ids)
        }
      }
    }
  }

  /// The text of ids. Bytes that are not UTF-8 become U+FFFD.
  public func decode(_ ids: [Int], skippingSpecial: Bool) -> String {
    var decoder = TokenDecoder(self, skippingSpecial: skippingSpecial)
    var text = ""
    for id in ids { text += decoder.append(id) }
    return text + decoder.finish()
  }
}

/// Encodes words, remembering those it has seen.
private struct WordEncoder {
  let vocabulary: ByteTable
  let merges: MergeTable
  let model: TokenizerDefinition.Model
  private var merger = SymbolMerger()
  private var symbols: [Int] = []
  /// Ids of the words so far: their bytes are in `seen`, their ids in `known`.
  private var seen = ByteTable(expecting: 1 << 12)
  private var known: [Int] = []
  private var ranges: [Range<Int>] = []

  /// Longer words are rare and not worth remembering.
  private static let longestKnown = 64
  private static let mostKnown = 1 << 18

  init(vocabulary: ByteTable, merges: MergeTable, model: TokenizerDefinition.Model) {
    self.vocabulary = vocabulary
    self.merges = merges
    self.model = model
  }

  mutating func encode(_ text: UnsafeBufferPointer<UInt8>, isFirst: Bool, into ids: inout [Int]) {
    switch model {
    case .byteLevel(let splitter, let bytes, let ignoreMerges):
      splitter.split(text) { word in encode(word: word, bytes, ignoreMerges, &ids) }
    case .sentencePiece(let pieces):
      symbols.removeAll(keepingCapacity: true)
      pieces.symbols(of: text, isFirst: isFirst, in: vocabulary, into: &symbols)
      merger.merge(&symbols, with: merges)
      ids.append(contentsOf: symbols)
    }
  }

  private mutating func encode(
    word: UnsafeBufferPointer<UInt8>, _ byteIDs: [Int], _ ignoreMerges: Bool, _ ids: inout [Int]
  ) {
    if let place = word.count <= Self.longestKnown ? seen.id(of: word) : nil {
      ids.append(contentsOf: known[ranges[place]])
      return
    }
    if ignoreMerges, let id = vocabulary.id(of: word) {
      symbols = [id]
    } else {
      symbols.removeAll(keepingCapacity: true)
      for byte in word where byteIDs[Int(byte)] >= 0 { symbols.append(byteIDs[Int(byte)]) }
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
