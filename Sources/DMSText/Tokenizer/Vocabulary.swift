// The tokens of a vocabulary, in two directions: as encoding looks them up and as they decode.

import DMSPlatform

struct Vocabulary: Sendable {
  let isByteLevel: Bool
  /// Tokens as encoding sees them: their bytes where the vocabulary is byte-level, else their text.
  private(set) var tokens = ByteTable(expecting: 1 << 17)
  /// Tokens as they decode.
  private(set) var decoded = ByteStrings(expecting: 1 << 17)
  /// Tokens that no text is encoded to, but that added tokens may be: what a byte-level vocabulary writes outside the byte
  /// alphabet, and control tokens. Not among the others, since "  " is written like what "ĠĠ" stands for.
  private var outside = ByteTable(expecting: 0)
  private var outsideIDs: [Int] = []
  private(set) var count = 0
  private var bytes: [UInt8] = []

  init(isByteLevel: Bool) { self.isByteLevel = isByteLevel }

  /// - Parameters:
  ///   - text: the bytes that the token decodes to.
  ///   - isEncoded: whether text may be encoded to it, if it is written so.
  /// - Returns: what is wrong, or `nil`.
  mutating func insert(
    _ token: UnsafeBufferPointer<UInt8>, id: Int, text: [UInt8], isEncoded: Bool = true
  ) -> String? {
    guard (0..<TokenizerDefinition.largestID).contains(id) else { return "the id \(id) is out of range" }
    guard !decoded.contains(id) else { return "the id \(id) belongs to two tokens" }
    guard decoded.insert(text, id: id) else { return "the texts of the tokens take more than 4 GB" }
    bytes.removeAll(keepingCapacity: true)
    let isNew: Bool
    if isEncoded, stored(token, into: &bytes) {
      isNew = tokens.id(of: bytes) == nil && outside.id(of: token) == nil && tokens.insert(bytes, id: id)
    } else {
      isNew = self.id(of: token) == nil && outside.insert(token, id: outsideIDs.count)
      outsideIDs.append(id)
    }
    count += 1
    return isNew ? nil : "a token stands in it twice"
  }

  /// The id of each single byte, -1 where a byte has none.
  var byteIDs: [Int] { (0..<256).map { tokens.id(of: [UInt8($0)]) ?? -1 } }

  /// Lets an id decode to something else.
  mutating func decode(_ id: Int, to text: [UInt8]) -> Bool { decoded.replace(text, id: id) }

  /// The id of a token as the files write it.
  func id(of token: UnsafeBufferPointer<UInt8>) -> Int? {
    var bytes: [UInt8] = []
    if stored(token, into: &bytes), let id = tokens.id(of: bytes) { return id }
    return outside.id(of: token).map { outsideIDs[$0] }
  }

  func id(of token: String) -> Int? {
    var token = token
    return token.withUTF8 { id(of: $0) }
  }

  /// Appends a token as encoding sees it; `false` for one that encoding never sees.
  func stored(_ token: UnsafeBufferPointer<UInt8>, into out: inout [UInt8]) -> Bool {
    if isByteLevel { return ByteAlphabet.decode(token, into: &out) }
    out.append(contentsOf: token)
    return true
  }
}
