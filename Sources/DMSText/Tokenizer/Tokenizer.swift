// Text to token ids and back: byte-level BPE (GPT-2's, as Qwen and Llama 3 use it) and SentencePiece-style BPE with byte
// fallback (Llama 2). What a checkpoint's files say is in `TokenizerDefinition`; here it is carried out.

import DMSPlatform

/// A checkpoint's tokenizer. Immutable; any number of threads may use it.
public final class Tokenizer: Sendable {
  private let definition: TokenizerDefinition
  /// Control tokens as the files write them.
  private let special: [Int: String]
  /// Added tokens as they stand in the text, and those that are looked for after normalisation.
  private let early: AddedTokenFinder
  private let late: AddedTokenFinder
  /// The token that begins a sequence.
  public let bosID: Int?
  /// The token that ends a sequence.
  public let eosID: Int?

  /// Reads `tokenizer.json`, or `vocab.json` and `merges.txt`, and `tokenizer_config.json` where it exists.
  ///
  /// Cost: about 0.2 s for 150,000 tokens.
  /// - Throws: `InputError` naming the file, and what in it is missing, malformed or not supported.
  public convenience init(folder: String) throws { try self.init(TokenizerDefinition(folder: folder)) }

  init(_ definition: TokenizerDefinition) {
    self.definition = definition
    let added = definition.added
    special = Dictionary(uniqueKeysWithValues: added.filter(\.isSpecial).map { ($0.id, $0.content) })
    early = AddedTokenFinder(added.filter { !$0.isNormalized })
    late = AddedTokenFinder(
      added.filter(\.isNormalized).map { token in
        var token = token
        let normal = definition.normalizers.reduce(Array(token.content.utf8)) { $1.apply($0) }
        token.content = String(decoding: normal, as: UTF8.self)
        return token
      })
    bosID = definition.bosToken.flatMap(definition.id(of:))
    eosID = definition.eosToken.flatMap(definition.id(of:))
  }

  /// The text of the token that begins or ends a sequence, as the checkpoint names it.
  public var bosToken: String? { definition.bosToken }
  /// The text of the token that ends a sequence, as the checkpoint names it.
  public var eosToken: String? { definition.eosToken }

  /// Added tokens in the order of their ids.
  var added: [AddedToken] { definition.added }
  /// Whether tokens are made of bytes.
  var isByteLevel: Bool { definition.vocabulary.isByteLevel }

  /// One more than the largest id that has a token.
  public var vocabularySize: Int { definition.vocabulary.decoded.count }

  /// The id of a token as the checkpoint's files write it: `<|im_end|>`, `<s>`, `▁the`, `Ġthe`.
  public func id(of token: String) -> Int? { definition.id(of: token) }

  /// What the checkpoint wants before a text: BOS, or nothing.
  package var beginning: [Int] { definition.prefix }

  /// Whether an id is a control token.
  public func isSpecial(_ id: Int) -> Bool { special[id] != nil }

  /// A control token as the checkpoint's files write it; `nil` for every other id.
  public func specialToken(_ id: Int) -> String? { special[id] }

  /// The bytes that an id stands for; none for an id without a token. They need not be whole characters.
  public func bytes(of id: Int) -> [UInt8] { withBytes(of: id) { Array($0) } }

  func withBytes<Result>(of id: Int, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    definition.vocabulary.decoded.withBytes(of: id, body)
  }

  var leadingSpace: TokenDecoding.LeadingSpace { definition.decoding.leading }

  /// The ids of a text.
  ///
  /// - Parameters:
  ///   - addSpecialTokens: puts what the checkpoint wants around a text, such as BOS.
  ///   - parseSpecial: whether control tokens written in the text become themselves. Text from strangers should not.
  public func encode(_ text: String, addSpecialTokens: Bool, parseSpecial: Bool = true) -> [Int] {
    var ids = addSpecialTokens ? definition.prefix : []
    var encoder = WordEncoder(definition)
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
    if addSpecialTokens { ids.append(contentsOf: definition.suffix) }
    return ids
  }

  private func encode(
    _ bytes: UnsafeBufferPointer<UInt8>, isFirst: Bool, _ parseSpecial: Bool, _ encoder: inout WordEncoder,
    _ ids: inout [Int]
  ) {
    let normal = definition.normalizers.reduce(Array(bytes)) { $1.apply($0) }
    normal.withUnsafeBufferPointer { bytes in
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

  /// The text of ids. Bytes that are not UTF-8 become U+FFFD; ids without a token are passed over.
  public func decode(_ ids: [Int], skippingSpecial: Bool) -> String {
    var decoder = TokenDecoder(self, skippingSpecial: skippingSpecial)
    var text = ""
    for id in ids { text += decoder.append(id) }
    return text + decoder.finish()
  }
}
