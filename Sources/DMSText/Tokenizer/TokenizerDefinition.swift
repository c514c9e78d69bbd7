// What a checkpoint's files say about its tokenizer, read and checked. Everything that is not supported is refused here, by
// the name of the construct.

import DMSPlatform
import Glibc

struct TokenizerDefinition: Sendable {
  enum Model: Sendable {
    /// `byteIDs`: the id of each single byte, -1 where the vocabulary lacks it.
    case byteLevel(TextSplitter, addsSpace: Bool, byteIDs: [Int])
    case sentencePiece(SentencePiece)
  }

  /// Tokens as encoding sees them, and as they decode.
  private(set) var vocabulary: ByteTable
  private(set) var decoded: ByteStrings
  private(set) var merges: MergeTable
  private(set) var model: Model
  /// Whether a word that is a token is that token, whatever merging would make of it.
  private(set) var ignoresMerges = false
  private(set) var decoding: TokenDecoding
  private(set) var normalizers: [Normalizer] = []
  private(set) var added: [AddedToken] = []
  /// Ids around a text when special tokens are asked for.
  private(set) var prefix: [Int] = []
  private(set) var suffix: [Int] = []
  private(set) var bosToken: String?
  private(set) var eosToken: String?

  static let largestID = 1 << 24

  /// The id of a token as the files write it: `<s>`, `▁the`, `Ġthe`.
  func id(of token: String) -> Int? {
    if let added = added.first(where: { $0.content.utf8.elementsEqual(token.utf8) }) { return added.id }
    guard case .byteLevel = model else { return vocabulary.id(of: token) }
    var token = token
    var bytes: [UInt8] = []
    token.withUTF8 { if !ByteAlphabet.decode($0, into: &bytes) { bytes = Array($0) } }
    return bytes.withUnsafeBufferPointer { vocabulary.id(of: $0) }
  }

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
    let map = try Self.specialTokensMap(folder)
    func token(_ key: String) -> String? {
      let value = config[key] ?? map[key]
      return value?.string ?? value?["content"]?.string
    }
    bosToken = token("bos_token")
    eosToken = token("eos_token")
    if prefix.isEmpty, config["add_bos_token"]?.bool ?? false, let id = bosToken.flatMap(id(of:)) { prefix = [id] }
    if suffix.isEmpty, config["add_eos_token"]?.bool ?? false, let id = eosToken.flatMap(id(of:)) { suffix = [id] }
  }

  /// Where `tokenizer_config.json` says nothing, this file names the special tokens.
  private static func specialTokensMap(_ folder: String) throws -> JSON {
    let path = folder + "/special_tokens_map.json"
    return access(path, F_OK) == 0 ? try JSON(file: path) : .null
  }

  /// Maps one of the tables. Places in it are 32 bits wide.
  private static func table(_ path: String) throws -> MappedFile {
    let file = try MappedFile(path: path)
    guard file.bytes.count < 1 << 31 else { throw InputError("larger than 2 GB", at: path) }
    return file
  }

  /// Reads `tokenizer.json`.
  init(file path: String) throws {
    let file = try Self.table(path)
    // The readers point into the mapping.
    defer { withExtendedLifetime(file) {} }
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
        "the model type \"\(oneLine(settings["type"]?.string ?? "?"))\" is not supported", at: source,
        remedy: "supported are BPE tokenizers")
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] where !(settings[key]?.string ?? "").isEmpty {
      throw InputError("\(key) is not supported", at: source)
    }
    guard settings["dropout"]?.double ?? 0 == 0 else {
      throw InputError("dropout is not supported", at: source, remedy: "set it to null: it is for training")
    }
    added = try Self.addedTokens(parts["added_tokens"], source)
    normalizers = try Self.normalizers(parts["normalizer"], source)
    let splitting = try PreTokenizer(parts["pre_tokenizer"], source)
    decoding = try TokenDecoding(parts["decoder"], isByteLevel: splitting.isByteLevel, source)
    var tables = try VocabularyReader(
      added: added, normalizers: normalizers, isByteLevel: splitting.isByteLevel, decoding: decoding, source: source)
    var vocabulary = vocabulary
    try tables.read(vocabulary: &vocabulary)
    try tables.read(merges: merges)
    self.vocabulary = tables.vocabulary
    decoded = tables.decoded
    self.merges = tables.merges
    model = try splitting.model(settings, tables.vocabulary, source)
    ignoresMerges = settings["ignore_merges"]?.bool ?? false
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
        "the tokenizer class \"\(oneLine(kind))\" needs a tokenizer.json", at: folder,
        remedy: "download it with the checkpoint")
    }
    added = try Self.addedTokens(config: config, folder)
    decoding = TokenDecoding(isByteLevel: true)
    var tables = try VocabularyReader(
      added: added, normalizers: normalizers, isByteLevel: true, decoding: decoding, source: vocabularyPath)
    let file = try Self.table(vocabularyPath)
    defer { withExtendedLifetime(file) {} }
    var reader = JSONReader(file.bytes, source: vocabularyPath)
    try tables.read(vocabulary: &reader)
    try reader.finish()
    try tables.read(mergesText: try Self.table(mergesPath), mergesPath)
    vocabulary = tables.vocabulary
    decoded = tables.decoded
    merges = tables.merges
    model = .byteLevel(
      try TextSplitter(pattern: pattern, source: folder), addsSpace: config["add_prefix_space"]?.bool ?? false,
      byteIDs: PreTokenizer.byteIDs(tables.vocabulary))
  }

  /// Added tokens where there is no `tokenizer.json`.
  private static func addedTokens(config: JSON, _ folder: String) throws -> [AddedToken] {
    if let tokens = config["added_tokens_decoder"]?.object {
      let path = folder + "/tokenizer_config.json"
      return try tokens.members.map { id, value in
        guard let id = Int(id) else { throw InputError("\"\(oneLine(id))\" is not an id", at: path) }
        return try addedToken(value, id: id, path)
      }
    }
    let path = folder + "/added_tokens.json"
    guard access(path, F_OK) == 0 else { return [] }
    // The file knows no flags; control tokens are those that the special tokens' map names.
    let map = try specialTokensMap(folder)
    var special: [String] = []
    for value in map.object.map({ $0.members.map(\.value) }) ?? [] {
      for value in value.array ?? [value] { special += [value.string ?? value["content"]?.string].compactMap { $0 } }
    }
    return try (JSON(file: path).object?.members.map { $0 } ?? []).map { content, id in
      guard let id = id.integer, (0..<largestID).contains(id) else {
        throw InputError("the token \"\(oneLine(content))\" has no id, or one out of range", at: path)
      }
      return AddedToken(
        id: id, content: content, isSpecial: special.contains(content), stripsLeft: false, stripsRight: false,
        isSingleWord: false, isNormalized: false)
    }
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
    case "Prepend": return [.prepend(Array((value["prepend"]?.string ?? "").utf8))]
    case "Replace":
      guard let pattern = value["pattern"]?["String"]?.string, let content = value["content"]?.string else {
        throw InputError("a Replace normalizer by a regular expression is not supported", at: source)
      }
      return [.replace(Array(pattern.utf8), with: Array(content.utf8))]
    case let type:
      throw InputError("the normalizer \"\(oneLine(type ?? "?"))\" is not supported", at: source)
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
          guard let ids = value["special_tokens"]?[name]?["ids"]?.array?.compactMap(\.integer),
            ids.allSatisfy(decoded.contains)
          else { throw InputError("the post-processor's token \"\(oneLine(name))\" has no id", at: source) }
          if reached { suffix += ids } else { prefix += ids }
        }
      }
    case let type:
      throw InputError("the post-processor \"\(oneLine(type ?? "?"))\" is not supported", at: source)
    }
  }
}
