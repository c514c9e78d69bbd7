// What a checkpoint's files say about its tokenizer, read and checked. Everything that is not supported is refused here, by
// the name of the construct.

import DMSPlatform
import Glibc

struct TokenizerDefinition: Sendable {
  /// How a word becomes the symbols from which merging starts.
  enum SymbolRule: Sendable {
    /// The id of each single byte, -1 where the vocabulary lacks it.
    case bytes([Int])
    case characters(SentencePiece)
  }

  private(set) var vocabulary: Vocabulary
  private(set) var merges: MergeTable
  private(set) var splitting: PreTokenizer
  private(set) var symbolRule: SymbolRule
  /// Whether a word that is a token is that token, whatever merging would make of it.
  private(set) var ignoresMerges = false
  private(set) var decoding: TokenDecoding
  private(set) var normalizers: [Normalizer] = []
  private var addedVocabulary = AddedVocabulary()
  /// Ids around a text when special tokens are asked for.
  private(set) var prefix: [Int] = []
  private(set) var suffix: [Int] = []
  private(set) var bosToken: String?
  private(set) var eosToken: String?

  /// Four times as much as the largest vocabularies have.
  static let largestID = 1 << 20

  /// Tokens that a post-processor puts around a text; real ones put one or two.
  private static let mostAround = 4096

  /// Added tokens in the order of their ids.
  var added: [AddedToken] { addedVocabulary.tokens.values.sorted { $0.id < $1.id } }

  /// The id of a token as the files write it: `<s>`, `▁the`, `Ġthe`.
  func id(of token: String) -> Int? { addedVocabulary.id(of: token) ?? vocabulary.id(of: token) }

  init(folder: String) throws {
    let configuration = try TokenizerConfiguration(folder: folder)
    if access(folder + "/tokenizer.json", F_OK) == 0 {
      try self.init(file: folder + "/tokenizer.json", configuration)
    } else if access(folder + "/vocab.json", F_OK) == 0, access(folder + "/merges.txt", F_OK) == 0 {
      try self.init(vocabularyAndMerges: folder, configuration)
    } else {
      throw InputError(
        "neither tokenizer.json nor vocab.json with merges.txt", at: folder,
        remedy: "download the checkpoint's tokenizer, or give token ids")
    }
  }

  /// Maps one of the tables. Places in it are 32 bits wide.
  private static func table(_ path: String) throws -> MappedFile {
    let file = try MappedFile(path: path)
    guard file.bytes.count < 1 << 31 else { throw InputError("larger than 2 GB", at: path) }
    return file
  }

  /// Reads `tokenizer.json`. What stands around a text is said there alone: add_bos_token and add_eos_token count for
  /// tokenizers without that file.
  private init(file path: String, _ configuration: TokenizerConfiguration) throws {
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
      parts: .object(parts), model: .object(model), vocabulary: vocabularyReader, merges: mergesReader, configuration,
      source: path)
  }

  private init(
    parts: JSON, model settings: JSON, vocabulary: JSONReader, merges: JSONReader,
    _ configuration: TokenizerConfiguration, source: String
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
    normalizers = try Normalizer.steps(parts["normalizer"], source)
    splitting = try PreTokenizer(parts["pre_tokenizer"], source)
    decoding = try TokenDecoding(parts["decoder"], isByteLevel: splitting.isByteLevel, source)
    var tables = VocabularyReader(isByteLevel: splitting.isByteLevel, decoding: decoding, source: source)
    var vocabulary = vocabulary
    try tables.read(vocabulary: &vocabulary)
    try tables.read(merges: merges)
    self.vocabulary = tables.vocabulary
    self.merges = tables.merges
    symbolRule =
      splitting.isByteLevel
      ? .bytes(tables.vocabulary.byteIDs) : .characters(try SentencePiece(settings, tables.vocabulary.tokens, source))
    ignoresMerges = settings["ignore_merges"]?.bool ?? false

    let fileTokens = try Self.addedTokens(parts["added_tokens"], tables.vocabulary, source)
    let isByteLevel = ["normalizer", "pre_tokenizer", "post_processor", "decoder"].contains {
      parts[$0]?.line.utf8.contains("\"ByteLevel\"".utf8) ?? false
    }
    let kind = configuration.tokenizerClass(isByteLevel: isByteLevel)
    if kind.keepsFileTokens { try add(fileTokens.map(\.token), source) }
    try add(
      configuration.specialTokens(
        kind, fileTokens: fileTokens, padToken: parts["padding"]?["pad_token"]?.string), configuration.folder)
    let known = Set(fileTokens.map(\.id) + addedVocabulary.tokens.keys)
    try readPostProcessor(parts["post_processor"], source) {
      known.contains($0) || tables.vocabulary.decoded.contains($0)
    }
  }

  private mutating func add(_ tokens: some Sequence<DeclaredToken>, _ source: String) throws {
    try addedVocabulary.add(tokens, to: vocabulary, source: source)
  }

  /// Adds what the configuration says, in the end of all.
  private mutating func add(_ special: SpecialTokens, _ source: String) throws {
    let present = addedVocabulary.tokens.values.map { DeclaredToken(content: $0.content) }
    for tokens in special.additions(to: present) { try add(tokens, source) }
    try decodeAddedTokens(source)
    bosToken = special.token("bos_token")
    eosToken = special.token("eos_token")
  }

  private mutating func decodeAddedTokens(_ source: String) throws {
    for token in addedVocabulary.tokens.values {
      guard vocabulary.decode(token.id, to: decoding.decode(added: token, normalizers)) else {
        throw InputError("the texts of the tokens take more than 4 GB", at: source)
      }
    }
  }

  /// Reads `vocab.json` and `merges.txt`, the older form of GPT-2's and Qwen's tokenizers.
  private init(vocabularyAndMerges folder: String, _ configuration: TokenizerConfiguration) throws {
    let (vocabularyPath, mergesPath) = (folder + "/vocab.json", folder + "/merges.txt")
    var kind = configuration.tokenizerClass(isByteLevel: true)
    if configuration.className == nil { kind = .qwen2 }
    let splitter: TextSplitter
    switch kind {
    case .qwen2:
      splitter = .qwen2
      normalizers = [.nfc]
    case .gpt2: splitter = .gpt2
    case .general, .llama:
      throw InputError(
        "the tokenizer class \"\(oneLine(configuration.className ?? "?"))\" needs a tokenizer.json", at: folder,
        remedy: "download it with the checkpoint")
    }
    decoding = TokenDecoding(isByteLevel: true)
    var tables = VocabularyReader(isByteLevel: true, decoding: decoding, source: vocabularyPath)
    let file = try Self.table(vocabularyPath)
    defer { withExtendedLifetime(file) {} }
    var reader = JSONReader(file.bytes, source: vocabularyPath)
    try tables.read(vocabulary: &reader)
    try reader.finish()
    try tables.read(mergesText: try Self.table(mergesPath), mergesPath)
    vocabulary = tables.vocabulary
    merges = tables.merges
    let keys = configuration.keys
    splitting = .words(splitter, addsSpace: keys["add_prefix_space"]?.bool ?? false)
    symbolRule = .bytes(tables.vocabulary.byteIDs)
    try add(configuration.specialTokens(kind, fileTokens: [], padToken: nil), folder)
    if keys["add_bos_token"]?.isTrue ?? false, let id = bosToken.flatMap(id(of:)) { prefix = [id] }
    if keys["add_eos_token"]?.isTrue ?? false, let id = eosToken.flatMap(id(of:)) { suffix = [id] }
  }

  /// What a container says that has no files of the tokenizer.
  init(_ tables: TokenizerTables, source: String) throws {
    let isByteLevel: Bool
    var (addsBOS, addsEOS) = (false, false)
    switch tables.model {
    case .byteLevel(let name):
      let named = try NamedPreTokenizer(name, source)
      (isByteLevel, addsBOS, ignoresMerges) = (true, named.addsBOS, named.ignoresMerges)
      (normalizers, splitting) = (named.normalizers, try PreTokenizer(parts: named.parts, source))
      decoding = TokenDecoding(isByteLevel: true)
    case .sentencePiece:
      (isByteLevel, addsBOS, splitting) = (false, true, .whole)
      let addsSpace = tables.addsSpacePrefix ?? true
      normalizers = addsSpace ? [.prepend([0x20])] : []
      normalizers.append(.replace([0x20], with: Metaspace.usualMark))
      decoding = TokenDecoding(isByteLevel: false, leadingSpaces: addsSpace ? 1 : 0)
    }
    var reader = VocabularyReader(isByteLevel: isByteLevel, decoding: decoding, source: source)
    try reader.read(tables)
    (vocabulary, merges) = (reader.vocabulary, reader.merges)
    symbolRule =
      isByteLevel
      ? .bytes(vocabulary.byteIDs)
      : .characters(SentencePiece(unknownID: tables.unknownID, vocabulary.tokens))
    try add(tables.added(source), source)
    try decodeAddedTokens(source)
    bosToken = try tables.text(of: tables.bosID, "BOS", source)
    eosToken = try tables.text(of: tables.eosID, "EOS", source)
    _ = try tables.text(of: tables.unknownID, "unknown characters", source)
    (addsBOS, addsEOS) = (tables.addsBOS ?? addsBOS, tables.addsEOS ?? addsEOS)
    if addsBOS, let id = tables.bosID { prefix = [id] }
    if addsEOS, let id = tables.eosID { suffix = [id] }
  }

  /// The added tokens of tokenizer.json. It must not contradict itself about their ids.
  private static func addedTokens(
    _ value: JSON?, _ vocabulary: Vocabulary, _ source: String
  ) throws -> [(id: Int, token: DeclaredToken)] {
    var seen: Set<Int> = []
    return try (value?.array ?? []).map { value in
      guard let id = value["id"]?.integer else { throw InputError("an added token has no id", at: source) }
      guard var token = DeclaredToken(value), !token.isBare, (0..<largestID).contains(id) else {
        throw InputError("the added token \(id) has no content, or its id is out of range", at: source)
      }
      token.normalized = token.normalized ?? false
      guard seen.insert(id).inserted else {
        throw InputError("the id \(id) belongs to two added tokens", at: source, remedy: Self.remedy)
      }
      let known = vocabulary.id(of: token.content)
      guard known == id || (known == nil && !vocabulary.decoded.contains(id)) else {
        throw InputError(
          "the added token \"\(oneLine(token.content))\" and the vocabulary disagree about the id \(id)", at: source,
          remedy: Self.remedy)
      }
      return (id, token)
    }
  }

  private static let remedy = "download the tokenizer again"

  /// What stands around a text: the special tokens of a template for single texts.
  private mutating func readPostProcessor(_ value: JSON?, _ source: String, isKnown: (Int) -> Bool) throws {
    guard let value, !value.isNull else { return }
    switch value["type"]?.string {
    case "ByteLevel": return
    case "Sequence":
      for part in value["processors"]?.array ?? [] { try readPostProcessor(part, source, isKnown: isKnown) }
    case "TemplateProcessing":
      // Each stands around what those before it have made.
      var (before, after): ([Int], [Int]?) = ([], nil)
      for step in value["single"]?.array ?? [] {
        if step["Sequence"] != nil {
          guard after == nil else { throw InputError("a template that repeats the text is not supported", at: source) }
          after = []
        } else if let name = step["SpecialToken"]?["id"]?.string {
          guard let ids = value["special_tokens"]?[name]?["ids"]?.array?.compactMap(\.integer),
            ids.allSatisfy(isKnown)
          else { throw InputError("the post-processor's token \"\(oneLine(name))\" has no id", at: source) }
          if after == nil { before += ids } else { after?.append(contentsOf: ids) }
        }
      }
      guard let after else { throw InputError("a template without the text is not supported", at: source) }
      (prefix, suffix) = (before + prefix, suffix + after)
      guard prefix.count + suffix.count <= Self.mostAround else {
        throw InputError("more than \(Self.mostAround) tokens around a text are not supported", at: source)
      }
    case let type:
      throw InputError("the post-processor \"\(oneLine(type ?? "?"))\" is not supported", at: source)
    }
  }
}
