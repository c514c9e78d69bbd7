// Which tokens a checkpoint's configuration adds to a vocabulary, in order, and which are special: tokenizer_config.json with
// its added_tokens_decoder, and where it has none special_tokens_map.json, added_tokens.json and tokenizer.json. A
// transcription of what transformers 5 does on loading (tokenization_utils_base.py, tokenization_utils_tokenizers.py), odd
// as parts of it are: the ids depend on the order. Ids are given in AddedVocabulary.swift.

import DMSPlatform
import Glibc

/// The files beside a tokenizer's tables.
struct TokenizerConfiguration {
  let folder: String
  /// tokenizer_config.json.
  let keys: JSONObject
  private let map: JSONObject?
  private let legacy: JSONObject?
  private let modelType: String?
  let className: String?

  static let file = "tokenizer_config.json"

  init(folder: String) throws {
    func object(_ name: String) throws -> JSONObject? {
      let path = "\(folder)/\(name)"
      guard access(path, F_OK) == 0 else { return nil }
      guard let object = try JSON(file: path).object else { throw InputError("a JSON object is expected", at: path) }
      return object
    }
    self.folder = folder
    keys = try object(Self.file) ?? JSONObject()
    map = try object(SpecialTokens.mapFile)
    legacy = try object(SpecialTokens.legacyFile)
    let model = try object("config.json")
    modelType = model?["model_type"]?.string
    className = keys["tokenizer_class"]?.string ?? model?["tokenizer_class"]?.string
  }

  func tokenizerClass(isByteLevel: Bool) -> TokenizerClass {
    TokenizerClass(named: className, modelType: modelType, isByteLevel: isByteLevel)
  }

  /// - Parameters:
  ///   - fileTokens: the added tokens of tokenizer.json, with their ids.
  ///   - padToken: the token that tokenizer.json pads with.
  func specialTokens(
    _ kind: TokenizerClass, fileTokens: [(id: Int, token: DeclaredToken)], padToken: String?
  ) throws -> SpecialTokens {
    var tokens = SpecialTokens(folder: folder, kind: kind)
    try tokens.read(keys, map: map, legacy: legacy, fileTokens: fileTokens)
    try tokens.resolve(padToken: kind == .gpt2 ? nil : padToken)
    return tokens
  }
}

struct SpecialTokens {
  /// Those with a role, in the order in which they are added.
  private static let roles = [
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
  ]
  static let mapFile = "special_tokens_map.json"
  static let legacyFile = "added_tokens.json"

  private let folder: String
  private let kind: TokenizerClass
  /// The configuration, then what special_tokens_map.json puts in its place.
  private var keys = JSONObject()
  /// Tokens of a name that only this model knows.
  private var ownTokens = JSONObject()
  /// By the ids that the files claim.
  private var listed: [Int: DeclaredToken] = [:]
  private var listedByContent: [ExactText: DeclaredToken] = [:]
  private var named: [(name: String, token: DeclaredToken)] = []
  private var extra: [DeclaredToken] = []

  init(folder: String, kind: TokenizerClass) { (self.folder, self.kind) = (folder, kind) }

  func token(_ name: String) -> String? { named.first { $0.name == name }?.token.content }

  // MARK: - Reading

  mutating func read(
    _ configuration: JSONObject, map: JSONObject?, legacy: JSONObject?, fileTokens: [(id: Int, token: DeclaredToken)]
  ) throws {
    for (key, value) in configuration.members {
      if Self.isOwn(key), value.string != nil { ownTokens[key] = value } else { keys[key] = value }
    }
    // The older name of the list counts where the newer one is absent or empty.
    if let additional = keys["additional_special_tokens"], !(keys["extra_special_tokens"]?.isTrue ?? false) {
      keys["extra_special_tokens"] = additional
      keys["additional_special_tokens"] = nil
    }
    moveNamedExtras()
    if let list = keys["added_tokens_decoder"] {
      try readList(list)
    } else {
      if let map { try read(map) }
      if let legacy { try readLegacy(legacy) }
      for (id, token) in fileTokens { enlist(token, id: id) }
    }
  }

  /// `image_token` and the like.
  private static func isOwn(_ key: String) -> Bool {
    key.utf8.suffix(6).elementsEqual("_token".utf8) && !roles.contains { $0.isIdentical(to: key) }
  }

  /// `extra_special_tokens` as an object names its tokens.
  private mutating func moveNamedExtras() {
    guard let object = keys["extra_special_tokens"]?.object else { return }
    for (key, value) in object.members { ownTokens[key] = value }
    keys["extra_special_tokens"] = nil
  }

  private mutating func enlist(_ token: DeclaredToken, id: Int) {
    listed[id] = token
    listedByContent[ExactText(token.content)] = token
  }

  private mutating func readList(_ list: JSON) throws {
    guard let list = list.object else { throw wrong("added_tokens_decoder", "an object of ids and tokens") }
    for (id, value) in list.members {
      guard let id = Int(id) else { throw wrong("added_tokens_decoder", "ids as keys, not \"\(oneLine(id))\"") }
      guard value.object != nil, let token = DeclaredToken(value) else {
        throw wrong("added_tokens_decoder", "a token with content and flags under \(id)")
      }
      enlist(token, id: id)
    }
  }

  private mutating func read(_ map: JSONObject) throws {
    for (key, value) in map.members {
      if key == "extra_special_tokens", let more = value.array {
        var list = keys[key]?.array ?? []
        var seen = Set(try list.map { try token($0, key) })
        for value in more where seen.insert(try token(value, key)).inserted { list.append(value) }
        keys[key] = .array(list)
      } else if value.object != nil, key != "extra_special_tokens" {
        // Whatever the map describes is special.
        guard var object = value.object else { continue }
        object["special"] = .bool(true)
        keys[key] = .object(object)
      } else {
        keys[key] = value
      }
    }
    moveNamedExtras()
  }

  /// This file knows no flags: special are those tokens that have a role or are listed as extra, but for serialised objects,
  /// which transformers reads later.
  private mutating func readLegacy(_ legacy: JSONObject) throws {
    var special: Set<ExactText> = []
    for value in Self.roles.compactMap({ keys[$0] }) + (keys["extra_special_tokens"]?.array ?? []) {
      if value["__type"] == nil, let token = DeclaredToken(value) { special.insert(ExactText(token.content)) }
    }
    for (content, id) in legacy.members {
      guard let id = id.integer else {
        throw InputError("the token \"\(oneLine(content))\" has no id", at: "\(folder)/\(Self.legacyFile)")
      }
      let isSpecial = special.contains(ExactText(content))
      enlist(DeclaredToken(content: content, isSpecial: isSpecial, normalized: !isSpecial), id: id)
    }
  }

  private func token(_ value: JSON, _ key: String) throws -> DeclaredToken {
    guard let token = DeclaredToken(value) else { throw wrong(key, "a token, or an object with its content and flags") }
    return token
  }

  private func wrong(_ key: String, _ expected: String) -> InputError {
    InputError(
      "\(expected) is expected", at: "\(folder): \(oneLine(key)) of the tokenizer's configuration",
      remedy: "download the tokenizer again")
  }

  // MARK: - Roles

  mutating func resolve(padToken: String?) throws {
    var own = JSONObject()
    for (key, value) in keys.members where Self.isOwn(key) && DeclaredToken(value) != nil { own[key] = value }
    for (key, value) in ownTokens.members { own[key] = value }
    for name in Self.roles {
      // An object of extra tokens may give a role, too.
      if let token = try own[name].map({ try token($0, name) }) ?? role(name, padToken: padToken) {
        named.append((name, token))
      }
    }
    for (key, value) in own.members where !Self.roles.contains(key) { named.append((key, try token(value, key))) }
    // Without the newer list, the older one of special_tokens_map.json is left.
    switch keys["extra_special_tokens"] ?? keys["additional_special_tokens"] {
    case nil, .null?: break
    case .array(let list)?: extra = try list.map { try token($0, "extra_special_tokens") }
    default: throw wrong("extra_special_tokens", "a list or an object of tokens")
    }
  }

  private func role(_ name: String, padToken: String?) throws -> DeclaredToken? {
    if let value = keys[name] {
      guard !value.isNull else { return nil }
      let token = try token(value, name)
      return listedByContent[ExactText(token.content)] ?? token
    }
    let content = kind.defaults.first { $0.key == name }?.value ?? (name == "pad_token" ? padToken : nil)
    return content.map { DeclaredToken(content: $0, isBare: true) }
  }

  /// What is added to a vocabulary that has the tokens of `file` already.
  func additions(to file: [DeclaredToken]) -> [[DeclaredToken]] {
    var list = listed.sorted { $0.key < $1.key }.map(\.value)
    let known = Set((list + file).map { ExactText($0.content) })
    var added = Set(list)
    for token in named.map(\.token) + extra
    where !known.contains(ExactText(token.content)) && added.insert(token).inserted { list.append(token) }
    let roles = Set(named.map { ExactText($0.token.content) })
    let first = list.map { token in
      if token.isBare { return DeclaredToken.control(token.content) }
      var token = token
      if roles.contains(ExactText(token.content)) { token.isSpecial = true }
      return token
    }
    guard kind.dropsFlagsOfSpecialTokens else { return [first] }
    return [first, (named.map(\.token) + extra).map { .control($0.content) }]
  }
}

extension JSON {
  /// Python's truth of a value.
  var isTrue: Bool {
    switch self {
    case .null: false
    case .bool(let value): value
    case .integer(let value): value != 0
    case .number(let value): value != 0
    case .string(let value): !value.isEmpty
    case .array(let value): !value.isEmpty
    case .object(let value): !value.members.isEmpty
    }
  }
}
