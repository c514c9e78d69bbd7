// The files of a tokenizer whose tables stood in another container: tokenizer.json and tokenizer_config.json that say the same.

import DMSPlatform

extension TokenizerTables {
  /// - Parameters:
  ///   - template: how a conversation is written down.
  ///   - source: the container, for errors.
  /// - Throws: `InputError` for SentencePiece's tables, whose scores those files do not have.
  package func files(_ template: ChatTemplate?, source: String) throws -> (tokenizer: JSON, configuration: JSON) {
    guard case .byteLevel(let name) = model else {
      throw InputError(
        "a tokenizer.json is not written of SentencePiece's scores", at: source,
        remedy: "take the tokenizer from the model's Hugging Face folder")
    }
    let named = try NamedPreTokenizer(name, source)
    let (bos, eos) = (try text(of: bosID, "BOS", source), try text(of: eosID, "EOS", source))
    let adds = (bos: (addsBOS ?? named.addsBOS) && bos != nil, eos: (addsEOS ?? false) && eos != nil)
    var vocabulary = JSONObject()
    for (id, token) in tokens.enumerated() where type(of: id) != .unused {
      vocabulary[String(decoding: token, as: UTF8.self)] = .integer(id)
    }
    let byteLevel = JSON.members([
      "type": .string("ByteLevel"), "add_prefix_space": .bool(false), "trim_offsets": .bool(false),
      "use_regex": .bool(false),
    ])
    let tokenizer = JSON.members([
      "version": .string("1.0"), "truncation": .null, "padding": .null, "added_tokens": .array(addedTokens),
      "normalizer": named.normalizers.isEmpty ? .null : .members(["type": .string("NFC")]),
      "pre_tokenizer": .members([
        "type": .string("Sequence"), "pretokenizers": .array(named.parts.map(\.json)),
      ]),
      "post_processor": adds.bos || adds.eos ? around(bos: adds.bos ? bos : nil, eos: adds.eos ? eos : nil) : byteLevel,
      "decoder": byteLevel,
      "model": .members([
        "type": .string("BPE"), "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .string(""),
        "end_of_word_suffix": .string(""), "fuse_unk": .bool(false), "byte_fallback": .bool(false),
        "ignore_merges": .bool(named.ignoresMerges), "vocab": .object(vocabulary),
        "merges": .array(merges.map { .string(String(decoding: $0, as: UTF8.self)) }),
      ]),
    ])
    var configuration = JSONObject([
      "tokenizer_class": .string("PreTrainedTokenizerFast"), "clean_up_tokenization_spaces": .bool(false),
    ])
    configuration["bos_token"] = bos.map { .string($0) } ?? .null
    configuration["eos_token"] = eos.map { .string($0) } ?? .null
    configuration["chat_template"] = template.map { template in
      guard let tools = template.toolText else { return .string(template.text) }
      return .array(
        [("default", template.text), ("tool_use", tools)].map {
          .members(["name": .string($0.0), "template": .string($0.1)])
        })
    }
    return (tokenizer, .object(configuration))
  }

  private var addedTokens: [JSON] {
    tokens.indices.compactMap { id in
      let type = type(of: id)
      let isSpecial = type == .control || type == .unknown || id == bosID || id == eosID
      guard isSpecial || type == .userDefined, !tokens[id].isEmpty else { return nil }
      return .members([
        "id": .integer(id), "content": .string(String(decoding: tokens[id], as: UTF8.self)),
        "single_word": .bool(false), "lstrip": .bool(false), "rstrip": .bool(false), "normalized": .bool(false),
        "special": .bool(isSpecial),
      ])
    }
  }

  private func around(bos: String?, eos: String?) -> JSON {
    func token(_ text: String) -> JSON {
      .members(["SpecialToken": .members(["id": .string(text), "type_id": .integer(0)])])
    }
    func sequence(_ name: String) -> JSON {
      .members(["Sequence": .members(["id": .string(name), "type_id": .integer(0)])])
    }
    let (before, behind) = ([bos].compactMap { $0.map(token) }, [eos].compactMap { $0.map(token) })
    var special = JSONObject()
    for (text, id) in [(bos, bosID), (eos, eosID)] {
      guard let text, let id else { continue }
      special[text] = .members([
        "id": .string(text), "ids": .array([.integer(id)]), "tokens": .array([.string(text)]),
      ])
    }
    return .members([
      "type": .string("TemplateProcessing"), "single": .array(before + [sequence("A")] + behind),
      "pair": .array(before + [sequence("A")] + behind + before + [sequence("B")] + behind),
      "special_tokens": .object(special),
    ])
  }
}

extension PreTokenizerPart {
  /// As tokenizer.json says it.
  fileprivate var json: JSON {
    switch self {
    case .byteLevel(let addsSpace, let words):
      .members([
        "type": .string("ByteLevel"), "add_prefix_space": .bool(addsSpace), "trim_offsets": .bool(false),
        "use_regex": .bool(words != nil),
      ])
    case .split(.characters(.digit), let behavior, _):
      .members(["type": .string("Digits"), "individual_digits": .bool(behavior == .isolated)])
    case .split(.characters, let behavior, _):
      .members(["type": .string("Punctuation"), "behavior": .string(behavior.rawValue)])
    case .split(let pattern, let behavior, let isInverted):
      .members([
        "type": .string("Split"), "pattern": pattern.json, "behavior": .string(behavior.rawValue),
        "invert": .bool(isInverted),
      ])
    case .metaspace(let metaspace):
      .members(["type": .string("Metaspace"), "replacement": .string(String(decoding: metaspace.mark, as: UTF8.self))])
    }
  }
}

extension SplitPattern {
  fileprivate var json: JSON {
    switch self {
    case .text(let text): .members(["String": .string(String(decoding: text, as: UTF8.self))])
    case .regex(let regex): .members(["Regex": .string(regex.pattern)])
    case .known(let splitter): .members(["Regex": .string(splitter.pattern)])
    case .characters, .words: preconditionFailure("parts of their own")
    }
  }
}
