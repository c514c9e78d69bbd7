// What a checkpoint's files say about its tokenizer, read and checked. Everything that is not supported is refused here, by
// the name of the construct.

import DMSPlatform
import Glibc

struct TokenizerDefinition {
  enum Model: Sendable {
    /// `byteIDs`: the id of each single byte, -1 where the vocabulary lacks it.
    case byteLevel(TextSplitter, byteIDs: [Int], ignoreMerges: Bool)
    case sentencePiece(SentencePiece)
  }

  /// Tokens as encoding sees them, and as they decode.
  private(set) var vocabulary: ByteTable
  private(set) var decoded: ByteTable
  private(set) var merges: MergeTable
  private(set) var model: Model
  private(set) var normalizers: [Normalizer] = []
  private(set) var added: [AddedToken] = []
  /// Ids around a text when special tokens are asked for.
  private(set) var prefix: [Int] = []
  private(set) var suffix: [Int] = []
  private(set) var stripsLeadingSpace = false
  private(set) var bosToken: String?
  private(set) var eosToken: String?

  static let largestID = 1 << 24

  func id(of token: String) -> Int? { decoded.id(of: token) }

  init(folder: String) throws {
    let configPath = folder + "/tokenizer_config.json"
    let config = access(configPath, F_OK) == 0 ? try JSON(file: configPath) : .object(JSONObject())
    if access(folder + "/tokenizer.json", F_OK) == 0 {
      try self.init(file: folder + "/tokenizer.json")
    } else if access(folder + "/vocab.json", F_OK) == 0, access(folder + "/merges.txt", F_OK) == 0 {
      try self.init(vocabularyAndMerges: folder, config: config)
    } else {
      throw InputError(
        "neither tokenizer.json nor vocab.json with merges.txt", at: folder,
        remedy: "download the checkpoint's tokenizer, or give token ids")
    }
    func token(_ key: String) -> String? { config[key]?.string ?? config[key]?["content"]?.string }
    bosToken = token("bos_token")
    eosToken = token("eos_token")
    if prefix.isEmpty, config["add_bos_token"]?.bool ?? false, let id = bosToken.flatMap(id(of:)) { prefix = [id] }
    if suffix.isEmpty, config["add_eos_token"]?.bool ?? false, let id = eosToken.flatMap(id(of:)) { suffix = [id] }
  }

  /// Reads `tokenizer.json`.
  init(file path: String) throws {
    let file = try MappedFile(path: path)
    var reader = JSONReader(file.bytes, source: path)
    var parts = JSONObject()
    var model = JSONObject()
    var (vocabularyReader, mergesReader): (JSONReader?, JSONReader?)
    try reader.object { reader, key in
      guard key == "model", try reader.peek() == .object else {
        parts[key] = try reader.value()
        return
      }
      // The large tables are read last, when it is known how: here their places are kept.
      try reader.object { reader, key in
        switch key {
        case "vocab":
          vocabularyReader = reader
          try reader.skip()
        case "merges":
          mergesReader = reader
          try reader.skip()
        default: model[key] = try reader.value()
        }
      }
    }
    try reader.finish()
    guard let vocabularyReader, let mergesReader else {
      throw InputError("the model has no vocab and merges", at: path, remedy: "supported are BPE tokenizers")
    }
    try self.init(
      parts: .object(parts), model: .object(model), vocabulary: vocabularyReader, merges: mergesReader, source: path)
  }

  private init(
    parts: JSON, model settings: JSON, vocabulary: JSONReader, merges: JSONReader, source: String
  ) throws {
    guard settings["type"]?.string ?? "BPE" == "BPE" else {
      throw InputError(
        "the model type \"\(settings["type"]?.string ?? "?")\" is not supported", at: source,
        remedy: "supported are BPE tokenizers")
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] where !(settings[key]?.string ?? "").isEmpty {
      throw InputError("\(key) is not supported", at: source)
    }
    added = try Self.addedTokens(parts["added_tokens"], source)
    normalizers = try Self.normalizers(parts["normalizer"], source)
    let splitting = try PreTokenizer(parts["pre_tokenizer"], source)
    var tables = VocabularyReader(added: added, isByteLevel: splitting.isByteLevel, source: source)
    try tables.read(vocabulary: vocabulary)
    try tables.read(merges: merges)
    self.vocabulary = tables.vocabulary
    decoded = tables.decoded
    self.merges = tables.merges
    model = splitting.model(settings, tables.vocabulary)
    stripsLeadingSpace = Self.stripsLeadingSpace(parts["decoder"])
    try readPostProcessor(parts["post_processor"], source)
  }

  /// Reads `vocab.json` and `merges.txt`, the older form of GPT-2's and Qwen's tokenizers.
  private init(vocabularyAndMerges folder: String, config: JSON) throws {
    let (vocabularyPath, mergesPath) = (folder + "/vocab.json", folder + "/merges.txt")
    let kind = config["tokenizer_class"]?.string ?? "Qwen2Tokenizer"
    let pattern: String
    switch kind.hasSuffix("Fast") ? String(kind.dropLast(4)) : kind {
    case "Qwen2Tokenizer":
      pattern = TextSplitter.qwen2Pattern
      normalizers = [.nfc]
    case "GPT2Tokenizer": pattern = TextSplitter.gpt2Pattern
    default:
      throw InputError(
        "the tokenizer class \"\(kind)\" needs a tokenizer.json", at: folder, remedy: "download it with the checkpoint")
    }
    if let tokens = config["added_tokens_decoder"]?.object {
      added = try tokens.members.map { id, value in
        guard let id = Int(id) else {
          throw InputError("\"\(id)\" is not an id", at: folder + "/tokenizer_config.json")
        }
        return try Self.addedToken(value, id: id, folder + "/tokenizer_config.json")
      }
    } else if access(folder + "/added_tokens.json", F_OK) == 0 {
      let path = folder + "/added_tokens.json"
      for (content, id) in try JSON(file: path).object?.members.map({ $0 }) ?? [] {
        guard let id = id.integer, (0..<Self.largestID).contains(id) else {
          throw InputError("the token \"\(content)\" has no id", at: path)
        }
        added.append(
          AddedToken(
            id: id, content: content, isSpecial: true, stripsLeft: false, stripsRight: false, isSingleWord: false,
            isNormalized: false))
      }
    }
    var tables = VocabularyReader(added: added, isByteLevel: true, source: vocabularyPath)
    let file = try MappedFile(path: vocabularyPath)
    try tables.read(vocabulary: JSONReader(file.bytes, source: vocabularyPath))
    try tables.read(mergesText: try MappedFile(path: mergesPath), mergesPath)
    vocabulary = tables.vocabulary
    decoded = tables.decoded
    merges = tables.merges
    model = .byteLevel(
      try TextSplitter(pattern: pattern, source: folder), byteIDs: PreTokenizer.byteIDs(tables.vocabulary),
      ignoreMerges: false)
  }

  private static func addedTokens(_ value: JSON?, _ source: String) throws -> [AddedToken] {
    try (value?.array ?? []).map { value in
      guard let id = value["id"]?.integer else { throw InputError("an added token has no id", at: source) }
      return try addedToken(value, id: id, source)
    }
  }

  private static func addedToken(_ value: JSON, id: Int, _ source: String) throws -> AddedToken {
    guard let content = value["content"]?.string, (0..<largestID).contains(id) else {
      throw InputError("the added token \(id) has no content, or its id is out of range", at: source)
    }
    func flag(_ key: String) -> Bool { value[key]?.bool ?? false }
    return AddedToken(
      id: id, content: content, isSpecial: flag("special"), stripsLeft: flag("lstrip"), stripsRight: flag("rstrip"),
      isSingleWord: flag("single_word"), isNormalized: flag("normalized"))
  }

  private static func normalizers(_ value: JSON?, _ source: String) throws -> [Normalizer] {
    guard let value, !value.isNull else { return [] }
    switch value["type"]?.string {
    case "NFC": return [.nfc]
    case "Sequence": return try (value["normalizers"]?.array ?? []).flatMap { try normalizers($0, source) }
    case "Prepend": return [.prepend(value["prepend"]?.string ?? "")]
    case "Replace":
      guard let pattern = value["pattern"]?["String"]?.string, let content = value["content"]?.string else {
        throw InputError("a Replace normalizer by a regular expression is not supported", at: source)
      }
      return [.replace(pattern, with: content)]
    case let type:
      throw InputError("the normalizer \"\(type ?? "?")\" is not supported", at: source)
    }
  }

  /// Whether decoding removes the first space: `Strip` at the start, or Metaspace with a leading space.
  private static func stripsLeadingSpace(_ decoder: JSON?) -> Bool {
    switch decoder?["type"]?.string {
    case "Sequence": (decoder?["decoders"]?.array ?? []).contains { stripsLeadingSpace($0) }
    case "Strip": decoder?["content"]?.string == " " && decoder?["start"]?.integer ?? 0 > 0
    case "Metaspace": decoder?["prepend_scheme"]?.string ?? "always" != "never"
    default: false
    }
  }

  /// What stands around a text: the special tokens of a template for single texts.
  private mutating func readPostProcessor(_ value: JSON?, _ source: String) throws {
    guard let value, !value.isNull else { return }
    switch value["type"]?.string {
    case "ByteLevel": return
    case "Sequence":
      for part in value["processors"]?.array ?? [] { try readPostProcessor(part, source) }
    case "TemplateProcessing":
      var reached = false
      for step in value["single"]?.array ?? [] {
        if step["Sequence"] != nil {
          reached = true
        } else if let name = step["SpecialToken"]?["id"]?.string {
          guard let ids = value["special_tokens"]?[name]?["ids"]?.array?.compactMap(\.integer) else {
            throw InputError("the post-processor's token \"\(name)\" is not defined", at: source)
          }
          if reached { suffix += ids } else { prefix += ids }
        }
      }
    case let type:
      throw InputError("the post-processor \"\(type ?? "?")\" is not supported", at: source)
    }
  }
}

/// How text is split before byte-pair encoding.
private struct PreTokenizer {
  private var splitter: TextSplitter?
  private var metaspace: SentencePiece.LeadingSpace?

  var isByteLevel: Bool { splitter != nil }

  init(_ value: JSON?, _ source: String) throws {
    guard let value, !value.isNull else { return }
    let steps = value["type"]?.string == "Sequence" ? value["pretokenizers"]?.array ?? [] : [value]
    var pattern: String?
    for step in steps {
      switch step["type"]?.string {
      case "Split":
        guard let regex = step["pattern"]?["Regex"]?.string, step["behavior"]?.string == "Isolated" else {
          throw InputError("a Split other than by an isolating regular expression is not supported", at: source)
        }
        pattern = regex
      case "ByteLevel":
        guard !(step["add_prefix_space"]?.bool ?? false) else {
          throw InputError("ByteLevel with add_prefix_space is not supported", at: source)
        }
        let used = step["use_regex"]?.bool ?? true ? TextSplitter.gpt2Pattern : pattern
        guard let used, pattern == nil || used == pattern else {
          throw InputError("a ByteLevel pre-tokenizer needs one split pattern", at: source)
        }
        splitter = try TextSplitter(pattern: used, source: source)
      case "Metaspace":
        guard step["replacement"]?.string == "▁", step["split"]?.bool == false else {
          throw InputError("a Metaspace pre-tokenizer that splits is not supported", at: source)
        }
        switch step["prepend_scheme"]?.string ?? "always" {
        case "always": metaspace = .always
        case "first": metaspace = .first
        case "never": metaspace = .never
        case let scheme: throw InputError("the prepend_scheme \"\(scheme)\" is not supported", at: source)
        }
      case let type:
        throw InputError("the pre-tokenizer \"\(type ?? "?")\" is not supported", at: source)
      }
    }
    guard pattern == nil || splitter != nil else {
      throw InputError("a Split without ByteLevel is not supported", at: source)
    }
  }

  func model(_ settings: JSON, _ vocabulary: ByteTable) -> TokenizerDefinition.Model {
    if let splitter {
      return .byteLevel(
        splitter, byteIDs: Self.byteIDs(vocabulary), ignoreMerges: settings["ignore_merges"]?.bool ?? false)
    }
    var bytes: [Int] = []
    if settings["byte_fallback"]?.bool ?? false {
      let digits = Array("0123456789ABCDEF")
      let ids = (0..<256).map { vocabulary.id(of: "<0x\(digits[$0 >> 4])\(digits[$0 & 15])>") }
      bytes = ids.compactMap { $0 }
      if bytes.count < 256 { bytes = [] }
    }
    return .sentencePiece(
      SentencePiece(
        byteIDs: bytes, unknownID: settings["unk_token"]?.string.flatMap { vocabulary.id(of: $0) },
        fusesUnknown: settings["fuse_unk"]?.bool ?? false, metaspace: metaspace))
  }

  static func byteIDs(_ vocabulary: ByteTable) -> [Int] {
    (0..<256).map { byte in
      withUnsafePointer(to: UInt8(byte)) { vocabulary.id(of: UnsafeBufferPointer(start: $0, count: 1)) ?? -1 }
    }
  }
}
