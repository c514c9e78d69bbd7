// How text is split before byte-pair encoding, as `tokenizer.json` says it: byte-level words by a known pattern, or
// SentencePiece's text as a whole.

import DMSPlatform

struct PreTokenizer {
  private var splitter: TextSplitter?
  private var addsSpace = false
  private var metaspace: Metaspace?

  var isByteLevel: Bool { splitter != nil }

  init(_ value: JSON?, _ source: String) throws {
    guard let value, !value.isNull else { return }
    let steps = value["type"]?.string == "Sequence" ? value["pretokenizers"]?.array ?? [] : [value]
    switch (steps.first?["type"]?.string, steps.count) {
    case (nil, 0): return
    case ("ByteLevel", 1):
      guard steps[0]["use_regex"]?.bool ?? true else {
        throw InputError("a ByteLevel pre-tokenizer without a split pattern is not supported", at: source)
      }
      splitter = try TextSplitter(pattern: TextSplitter.gpt2Pattern, source: source)
      addsSpace = steps[0]["add_prefix_space"]?.bool ?? true
    case ("Split", 2) where steps[1]["type"]?.string == "ByteLevel":
      guard let regex = steps[0]["pattern"]?["Regex"]?.string, steps[0]["behavior"]?.string == "Isolated",
        !(steps[0]["invert"]?.bool ?? false)
      else { throw InputError("a Split other than by an isolating regular expression is not supported", at: source) }
      // GPT-2's pattern leaves its own words whole, but would split those of another.
      guard regex == TextSplitter.gpt2Pattern || !(steps[1]["use_regex"]?.bool ?? true) else {
        throw InputError("ByteLevel with use_regex after a Split is not supported", at: source)
      }
      guard !(steps[1]["add_prefix_space"]?.bool ?? true) else {
        throw InputError("ByteLevel with add_prefix_space after a Split is not supported", at: source)
      }
      splitter = try TextSplitter(pattern: regex, source: source)
    case ("Metaspace", 1): metaspace = try Self.metaspace(steps[0], source)
    default:
      let names = steps.map { oneLine($0["type"]?.string ?? "?") }.joined(separator: ", ")
      throw InputError("the pre-tokenizer \(names) is not supported", at: source)
    }
  }

  private static func metaspace(_ step: JSON, _ source: String) throws -> Metaspace {
    guard step["replacement"]?.string?.utf8.elementsEqual(Metaspace.mark) ?? false else {
      throw InputError("a Metaspace replacement other than ▁ is not supported", at: source)
    }
    let splits = step["split"]?.bool ?? true
    let addsSpace = step["add_prefix_space"]?.bool ?? true
    switch step["prepend_scheme"]?.string ?? (addsSpace ? "always" : "never") {
    case "always": return Metaspace(leading: .always, splits: splits)
    case "first": return Metaspace(leading: .first, splits: splits)
    case "never": return Metaspace(leading: .never, splits: splits)
    case let scheme: throw InputError("the prepend_scheme \(oneLine(scheme)) is not supported", at: source)
    }
  }

  /// - Parameter settings: the `model` of a `tokenizer.json`.
  func model(_ settings: JSON, _ vocabulary: ByteTable, _ source: String) throws -> TokenizerDefinition.Model {
    if let splitter {
      return .byteLevel(splitter, addsSpace: addsSpace, byteIDs: Self.byteIDs(vocabulary))
    }
    var bytes: [Int] = []
    if settings["byte_fallback"]?.bool ?? false {
      let digits = Array("0123456789ABCDEF")
      bytes = (0..<256).map { vocabulary.id(of: "<0x\(digits[$0 >> 4])\(digits[$0 & 15])>") ?? -1 }
    }
    let unknown = settings["unk_token"]?.string
    let unknownID = unknown.flatMap { vocabulary.id(of: $0) }
    guard unknown == nil || unknownID != nil else {
      throw InputError("the vocabulary lacks the unk_token \(oneLine(unknown ?? ""))", at: source)
    }
    return .sentencePiece(
      SentencePiece(
        byteIDs: bytes, unknownID: unknownID, fusesUnknown: settings["fuse_unk"]?.bool ?? false, metaspace: metaspace))
  }

  static func byteIDs(_ vocabulary: ByteTable) -> [Int] {
    (0..<256).map { byte in
      withUnsafePointer(to: UInt8(byte)) { vocabulary.id(of: UnsafeBufferPointer(start: $0, count: 1)) ?? -1 }
    }
  }
}
