// How text is split before byte-pair encoding, as `tokenizer.json` says it. Splits that most models share have a fast path
// each; all others are made of their parts.

import DMSPlatform

enum PreTokenizer: Sendable {
  /// The text is one word.
  case whole
  /// Byte-level words by a known pattern.
  case words(TextSplitter, addsSpace: Bool)
  case metaspace(Metaspace)
  /// `encodes`: the words come in the byte alphabet.
  case parts([PreTokenizerPart], isByteLevel: Bool, encodes: Bool)

  /// More parts, nested or not, than any model has.
  private static let mostParts = 64

  var isByteLevel: Bool {
    switch self {
    case .words: true
    case .parts(_, let isByteLevel, _): isByteLevel
    case .whole, .metaspace: false
    }
  }

  init(_ value: JSON?, _ source: String) throws {
    var steps: [JSON] = []
    if let value, !value.isNull { try Self.flatten(value, into: &steps, source) }
    try self.init(parts: steps.map { try PreTokenizerPart($0, source) }, source)
  }

  init(parts: [PreTokenizerPart], _ source: String) throws {
    switch (parts.first, parts.count) {
    case (nil, _): self = .whole
    case (.byteLevel(let addsSpace, let splitter?), 1): self = .words(splitter, addsSpace: addsSpace)
    case (.split(.known(let splitter), .isolated, isInverted: false), 2):
      // GPT-2's pattern leaves its own words whole, but would split those of another.
      guard case .byteLevel(addsSpace: false, let again) = parts[1], again == nil || splitter.isGPT2 else {
        fallthrough
      }
      self = .words(splitter, addsSpace: false)
    default:
      if parts.count == 1, case .metaspace(let metaspace) = parts[0] {
        self = .metaspace(metaspace)
        return
      }
      let bytes = parts.firstIndex { if case .byteLevel = $0 { true } else { false } }
      if let bytes {
        for part in parts[(bytes + 1)...] {
          switch part {
          case .byteLevel: throw InputError("the pre-tokenizer ByteLevel twice is not supported", at: source)
          case .metaspace: throw InputError("the pre-tokenizer Metaspace after ByteLevel is not supported", at: source)
          case .split: break
          }
        }
      }
      self = .parts(parts, isByteLevel: bytes != nil, encodes: bytes != nil && bytes != parts.count - 1)
    }
  }

  private static func flatten(_ value: JSON, into steps: inout [JSON], _ source: String) throws {
    guard value["type"]?.string == "Sequence" else {
      steps.append(value)
      guard steps.count <= mostParts else {
        throw InputError("more than \(mostParts) pre-tokenizers are not supported", at: source)
      }
      return
    }
    guard let parts = value["pretokenizers"]?.array else {
      throw InputError("the pre-tokenizer Sequence has no pretokenizers", at: source)
    }
    for part in parts { try flatten(part, into: &steps, source) }
  }
}
