// Changes of a tokenizer's files by what they mean: ids, merges, added tokens, the steps around the model.

enum TokenizerMutators {
  static let file = Mutators(
    [
      (10, vocabulary), (8, merge), (10, added), (8, step), (5, postProcessor), (3, model),
    ].map { ($0.0 * 4, $0.1) } + JSONMutators.file.shares.map { ($0.share, $0.change) })

  /// vocab.json is the vocabulary alone.
  static let vocabularyFile = Mutators(
    [
      (60, vocabularyEntry)
    ] + JSONMutators.file.shares.map { ($0.share, $0.change) })

  /// merges.txt
  static let mergesFile = Mutators(
    [
      (20, line({ _ in ["nospace"] }, .certain)), (10, line({ $0 + $0 }, .possible)),
      (10, line({ _ in ["qqqq zzzz"] }, .certain)),
      (10, line({ _ in ["a  b"] }, .certain)), (5, line({ _ in [" a"] }, .certain)), (10, line({ _ in [] }, .possible)),
      (5, line({ _ in ["\u{0} a"] }, .certain)), (5, line({ _ in Array(repeating: "t h", count: 100_000) }, .possible)),
      (5, line({ $0.map { $0 + "\r" } }, .possible)),
    ] + ByteMutators.all(cut: .possible, isUTF8: false))

  private static func line(_ body: @escaping @Sendable ([String]) -> [String], _ damage: Damage) -> Mutator {
    { bytes, random in
      var lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false).map(
        String.init)
      guard lines.count > 2 else { return nil }
      let index = 1 + random.below(lines.count - 2)
      let new = body([lines[index]])
      lines.replaceSubrange(index...index, with: new)
      return Mutation(
        bytes: Array(lines.joined(separator: "\n").utf8), what: "line \(index + 1) is \(new.prefix(2))", damage: damage)
    }
  }

  private static let vocabulary: Mutator = { bytes, random in
    var tree = Tree(bytes)
    guard var model = tree["model"], let vocabulary = model["vocab"],
      let (changed, what, damage) = changeVocabulary(vocabulary, &random)
    else { return nil }
    model["vocab"] = changed
    tree["model"] = model
    return Mutation(bytes: tree.bytes, what: what, damage: damage)
  }

  private static func changeVocabulary(_ tree: Tree, _ random: inout Random) -> (Tree, String, Damage)? {
    guard case .object(var members) = tree, members.count > 2 else { return nil }
    let index = random.below(members.count)
    let key = members[index].key
    switch random.below(5) {
    case 0:
      let id = random.pick([
        "-1", "16777216", "9223372036854775807", "9223372036854775808", "\"1\"", "null", "1.5", "[]", "{}",
      ])
      members[index].value = .literal(id)
      return (.object(members), "the id of \(key) is \(id)", .certain)
    case 1:
      let other = random.pick(members.filter { $0.key != key })
      members[index].value = other.value
      return (.object(members), "\(key) and \(other.key) have one id", .certain)
    case 2:
      // Beyond what the model predicts, or far away.
      members[index].value = .literal(random.pick(["16777215", "1000000", "400"]))
      return (.object(members), "\(key) has a large id", .possible)
    case 3:
      members.remove(at: index)
      return (.object(members), "no token \(key)", .possible)
    default:
      members[index].key = random.pick([
        "", "\\u0000", "\\ud83d\\ude00", "zzzz", "<|im_end|>", String(repeating: "a", count: 100_000),
      ])
      return (.object(members), "\(key) is \(members[index].key.prefix(20))", .possible)
    }
  }

  private static let merge: Mutator = { bytes, random in
    var tree = Tree(bytes)
    guard var model = tree["model"], case .list(var merges)? = model["merges"], !merges.isEmpty else { return nil }
    let index = random.below(merges.count)
    let (new, damage): (Tree, Damage) = random.pick([
      (.string("nospace"), .certain), (.string("qqqq zzzz"), .certain), (.literal("1"), .certain),
      (.literal("[\"a\"]"), .certain),
      (.literal("[\"a\",\"b\",\"c\"]"), .certain), (.literal("null"), .certain), (.literal("[1,2]"), .certain),
      (.string(""), .certain),
      (merges[index], .possible), (.string("a\\u0000 b"), .certain),
    ])
    merges.insert(new, at: index)
    if random.chance(0.1) { merges = Array(repeating: merges[0], count: 200_000) }
    let count = merges.count
    model["merges"] = .list(merges)
    tree["model"] = model
    return Mutation(
      bytes: tree.bytes, what: "\(count) merges, one \(String(decoding: new.bytes, as: UTF8.self))",
      damage: count == 200_000 ? .possible : damage)
  }

  private static let added: Mutator = { bytes, random in
    var tree = Tree(bytes)
    guard case .list(var tokens)? = tree["added_tokens"], !tokens.isEmpty else { return nil }
    let index = random.below(tokens.count)
    var damage = Damage.certain
    let what: String
    switch random.below(6) {
    case 0:
      let id = random.pick(["-1", "16777216", "9223372036854775808", "\"1\"", "null", "1.5"])
      tokens[index]["id"] = .literal(id)
      what = "an added token's id is \(id)"
    case 1:
      let value = random.pick(["null", "1", "[]", "{}"])
      tokens[index]["content"] = .literal(value)
      what = "an added token's content is \(value)"
    case 2:
      tokens.append(tokens[index])
      what = "an added token is there twice"
    case 3:
      tokens[index]["content"] = .string(
        random.pick(["", " ", "\\n", "a", "\\u0000", "x\\ud83d\\ude00", String(repeating: "<", count: 70_000)]))
      damage = .possible
      what = "an added token is another text"
    case 4:
      for key in ["lstrip", "rstrip", "single_word", "normalized", "special"] where random.chance(0.5) {
        tokens[index][key] = .literal(random.pick(["true", "false", "null", "1"]))
      }
      damage = .possible
      what = "an added token has other flags"
    default:
      let id = tokens[index]["id"]?.integer ?? 0
      tokens += (0..<20_000).map { .literal("{\"id\":\(id + 1000 + $0),\"content\":\"<\($0)>\",\"special\":true}") }
      damage = .possible
      what = "20,000 added tokens"
    }
    tree["added_tokens"] = .list(tokens)
    return Mutation(bytes: tree.bytes, what: what, damage: damage)
  }

  private static let step: Mutator = { bytes, random in
    var tree = Tree(bytes)
    let part = random.pick(["normalizer", "pre_tokenizer", "decoder"])
    let unknown = [
      #"{"type":"Unknown"}"#, #"{"type":1}"#, "{}", "[]", "1", "\"NFC\"",
      #"{"type":"Sequence","normalizers":[{"type":"X"}],"pretokenizers":[{"type":"X"}],"decoders":[{"type":"X"}]}"#,
    ]
    let known = [
      "null", #"{"type":"NFC"}"#, #"{"type":"Prepend","prepend":"▁"}"#, #"{"type":"Prepend"}"#,
      #"{"type":"Replace","pattern":{"String":" "},"content":"▁"}"#,
      #"{"type":"Replace","pattern":{"String":""},"content":"x"}"#,
      #"{"type":"Replace","pattern":{"Regex":"("},"content":"x"}"#, #"{"type":"ByteLevel"}"#,
      #"{"type":"Metaspace","replacement":"▁"}"#,
      #"{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":false}"#,
      #"{"type":"Metaspace","replacement":""}"#,
      #"{"type":"Split","pattern":{"Regex":"(?:a|b)+"},"behavior":"Isolated"}"#,
      #"{"type":"Sequence","normalizers":[],"pretokenizers":[],"decoders":[]}"#,
      #"{"type":"Sequence","decoders":[{"type":"Strip","content":" ","start":9223372036854775807,"stop":0}]}"#,
      #"{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}"#,
      #"{"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Fuse"}]}"#,
      #"{"type":"Replace","pattern":{"String":"a"},"content":"\#(String(repeating: "b", count: 100_000))"}"#,
      #"{"type":"Prepend","prepend":"\#(String(repeating: "a", count: 100_000))"}"#,
    ]
    let isUnknown = random.chance(0.2)
    let value = random.pick(isUnknown ? unknown : known)
    tree[part] = .literal(value)
    return Mutation(bytes: tree.bytes, what: "\(part) is \(value.prefix(90))")
  }

  private static let postProcessor: Mutator = { bytes, random in
    var tree = Tree(bytes)
    let value = random.pick([
      #"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<x>","type_id":0}}],"special_tokens":{"<x>":{"ids":[9999999]}}}"#,
      #"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<x>"}},{"Sequence":{}}],"special_tokens":{"<x>":{"ids":[-1]}}}"#,
      #"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<x>"}}],"special_tokens":{}}"#,
      #"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<x>"}}],"special_tokens":{"<x>":{"ids":[1e400]}}}"#,
      #"{"type":"TemplateProcessing","single":{},"special_tokens":[]}"#,
      #"{"type":"Sequence","processors":[{"type":"X"}]}"#,
      #"{"type":"BertProcessing","sep":["a",1],"cls":["b",2]}"#, #"{"type":1}"#,
      #"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<x>"}}],"special_tokens":{"<x>":{"ids":[\#(String(repeating: "1,", count: 100_000))1]}}}"#,
    ])
    tree["post_processor"] = .literal(value)
    return Mutation(bytes: tree.bytes, what: "post_processor is \(value.prefix(140))")
  }

  private static let model: Mutator = { bytes, random in
    var tree = Tree(bytes)
    guard var model = tree["model"] else { return nil }
    let (key, value, damage): (String, String?, Damage) = random.pick([
      ("type", "\"Unigram\"", .certain), ("type", "\"WordPiece\"", .certain), ("vocab", nil, .certain),
      ("merges", nil, .certain),
      ("vocab", "[]", .certain), ("merges", "{}", .certain), ("vocab", "{}", .possible), ("merges", "[]", .possible),
      ("dropout", "0.5", .certain), ("continuing_subword_prefix", "\"##\"", .certain),
      ("unk_token", "\"zzzz\"", .possible),
      ("ignore_merges", "true", .possible), ("byte_fallback", "true", .possible), ("fuse_unk", "true", .possible),
      ("type", "1", .possible),
      ("dropout", "1e400", .possible),
    ])
    model[key] = value.map { .literal($0) }
    tree["model"] = model
    return Mutation(bytes: tree.bytes, what: "\(key) of the model is \(value ?? "missing")", damage: damage)
  }

  private static let vocabularyEntry: Mutator = { bytes, random in
    let tree = Tree(bytes)
    guard let (changed, what, damage) = changeVocabulary(tree, &random) else { return nil }
    return Mutation(bytes: changed.bytes, what: what, damage: damage)
  }
}
