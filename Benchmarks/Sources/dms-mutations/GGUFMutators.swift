// Changes of GGUF files: numbers of the header that lie, keys of other kinds and values, tables of the tokenizer that fit
// nothing, tensors that are missing or lie elsewhere.

enum GGUFMutators {
  static let file = Mutators(
    [
      (14, number), (14, value), (4, without), (3, twice), (10, element), (6, listOf), (4, template), (10, tensor),
      (6, offset), (4, retyped), (4, poison), (2, padding),
    ].map { ($0.0 * 3, $0.1) }
      // What is cut off at the data's beginning is a head, which can be looked at.
      + ByteMutators.all(cut: .certainInNumbers, isUTF8: false))

  /// A number of the header itself: counts, lengths, kinds, sizes, places.
  private static let number: Mutator = { bytes, random in
    guard let model = GGUFModel(bytes) else { return nil }
    // Those of a long list's texts are many and alike.
    let rare = model.numbers.filter { !$0.what.hasPrefix("length of a text") }
    let number = random.pick(random.chance(0.8) ? rare : model.numbers)
    let old = (0..<number.size).reduce(UInt64(0)) { $0 | UInt64(bytes[number.place + $1]) << (8 * UInt64($1)) }
    let huge: [UInt64] = [1 << 31, 1 << 32, 1 << 40, 1 << 62, (1 << 63) - 1, 1 << 63, .max, .max - 31]
    let isHuge = random.chance(0.5)
    let new = isHuge ? random.pick(huge) : random.pick([0, 1, 2, 3, 7, 9, 13, old &+ 1, old &- 1, old &* 2, old / 2])
    let written = GGUFModel.bytes(new, number.size)
    var out = bytes
    out.replaceSubrange(number.place..<number.place + number.size, with: written)
    guard out != bytes else { return nil }
    let isCertain = isHuge && number.size == 8
    return Mutation(
      bytes: out, what: "the \(number.what) at byte \(number.place) is \(new), not \(old)",
      damage: isCertain ? .certain : .possible)
  }

  private static func changing(
    _ damage: Damage = .possible, _ body: @escaping @Sendable (inout GGUFModel, inout Random) -> String?
  ) -> Mutator {
    { bytes, random in
      guard var model = GGUFModel(bytes), !model.keys.isEmpty, !model.tensors.isEmpty,
        let what = body(&model, &random)
      else { return nil }
      return Mutation(bytes: model.bytes, what: what, damage: damage)
    }
  }

  private static func name(_ bytes: [UInt8]) -> String { String(decoding: bytes.prefix(60), as: UTF8.self) }

  private static let texts: [[UInt8]] = [
    [], [0xFF, 0xFE], [0xC3], [0], [0x0A], Array("a".utf8), Array("x\u{1B}[31m\n".utf8), Array("▁".utf8),
    Array("<0x41>".utf8), Array("yarn".utf8), Array("linear".utf8), Array("llama".utf8), Array("gpt2".utf8),
    Array("llama-bpe".utf8), Array("default".utf8), Array("{{".utf8), Array(repeating: 0x61, count: 70_000),
  ]

  private static func any(_ random: inout Random) -> GGUFModel.Value {
    let numbers: [UInt64] = [0, 1, 2, 3, 7, 64, 1025, 1 << 20, 1 << 28, 1 << 31, 1 << 40, 1 << 62, 1 << 63, .max]
    switch random.below(10) {
    case 0...3:
      let kind = random.pick([4, 4, 5, 10, 11, 0, 3] as [UInt32])
      return .number(kind: kind, GGUFModel.bytes(random.pick(numbers), GGUFModel.sizes[kind] ?? 4))
    case 4, 5:
      let number: Float = random.pick([0, -1, 0.5, 1, 1e-45, 3e38, .nan, .infinity, -.infinity])
      return .number(kind: 6, GGUFModel.bytes(UInt64(number.bitPattern), 4))
    case 6: return .number(kind: 7, [random.pick([0, 1, 2, 255])])
    case 7, 8: return .text(random.pick(texts))
    default: return list(random.pick([0, 1, 2, 288, 100_000]), &random)
    }
  }

  private static func list(_ count: Int, _ random: inout Random) -> GGUFModel.Value {
    let kind = random.pick([0, 4, 5, 6, 7, 8, 12] as [UInt32])
    let text = random.pick(texts)
    let element =
      kind == GGUFModel.text
      ? (text.count > 100 ? [] : text)
      : [UInt8](repeating: random.pick([0, 1, 3, 255]), count: GGUFModel.sizes[kind] ?? 1)
    return .list(kind: kind, Array(repeating: element, count: count))
  }

  /// Keys that files may have and this one has not.
  private static let more = [
    "rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length", "rope.scale_linear",
    "rope.dimension_count", "attention.sliding_window", "attention.value_length", "expert_count",
  ]
  private static let general = [
    "general.alignment", "split.count", "split.no", "tokenizer.ggml.scores", "tokenizer.ggml.add_eos_token",
    "tokenizer.ggml.add_space_prefix", "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.eot_token_id",
    "tokenizer.chat_template.tool_use", "general.sampling.temp", "general.sampling.top_k", "dms.window_size",
    "dms.alpha_scale", "dms.separate_alpha", "dms.alpha_per", "dms.shift",
  ]

  private static let value = changing { model, random in
    let value = any(&random)
    if random.chance(0.25) {
      let prefix = model.keys.first { name($0.name).hasSuffix(".block_count") }.map { name($0.name).dropLast(11) } ?? ""
      let key = random.chance(0.4) ? "\(prefix)\(random.pick(more))" : random.pick(general)
      model.keys.removeAll { name($0.name) == key }
      model.keys.append((Array(key.utf8), value))
      return "\(key) is \(brief(value))"
    }
    let index = random.below(model.keys.count)
    model.keys[index].value = value
    return "\(name(model.keys[index].name)) is \(brief(value))"
  }

  private static func brief(_ value: GGUFModel.Value) -> String {
    switch value {
    case .number(let kind, let bytes): "\(bytes) of kind \(kind)"
    case .text(let text): name(text).debugDescription
    case .list(let kind, let elements): "a list of \(elements.count) \(elements.first ?? []) of kind \(kind)"
    }
  }

  private static let without = changing { model, random in
    "without \(name(model.keys.remove(at: random.below(model.keys.count)).name))"
  }

  private static let twice = changing(.certain) { model, random in
    if random.chance(0.5) {
      let key = random.pick(model.keys)
      model.keys.insert(key, at: random.below(model.keys.count + 1))
      return "\(name(key.name)) stands twice"
    }
    let tensor = random.pick(model.tensors)
    model.tensors.insert(tensor, at: random.below(model.tensors.count + 1))
    return "\(name(tensor.name)) stands twice"
  }

  /// One element of one of the tokenizer's lists.
  private static let element = changing { model, random in
    let lists = model.keys.indices.filter { if case .list = model.keys[$0].value { true } else { false } }
    guard let index = lists.randomly(&random), case .list(let kind, var elements) = model.keys[index].value,
      !elements.isEmpty
    else { return nil }
    let place = random.below(elements.count)
    let what: String
    switch random.below(6) {
    case 0:
      elements.remove(at: place)
      what = "lacks element \(place)"
    case 1:
      elements.insert(elements[place], at: random.below(elements.count))
      what = "has element \(place) twice"
    case 2:
      elements[place] = random.pick(elements)
      what = "repeats another at \(place)"
    case 3:
      elements.swapAt(place, random.below(elements.count))
      what = "has two exchanged, \(place) the one"
    default:
      elements[place] =
        kind == GGUFModel.text
        ? random.pick(texts + [Array("a b".utf8), Array("zz yy".utf8), Array(" a".utf8), [0xFF, 0x20, 0xFF]])
        : GGUFModel.bytes(
          random.pick([0, 2, 3, 4, 5, 6, 7, 1 << 31, 0x7FC0_0000, 0xFF80_0000, .max]), elements[place].count)
      what = "has \(elements[place].prefix(20)) at \(place)"
    }
    model.keys[index].value = .list(kind: kind, elements)
    return "\(name(model.keys[index].name)) \(what)"
  }

  /// Another length or kind for one of the lists.
  private static let listOf = changing { model, random in
    let lists = model.keys.indices.filter { if case .list = model.keys[$0].value { true } else { false } }
    guard let index = lists.randomly(&random), case .list(let kind, let elements) = model.keys[index].value else {
      return nil
    }
    if random.chance(0.5) {
      model.keys[index].value = list(elements.count, &random)
    } else {
      let count = random.pick([0, 1, elements.count / 2, elements.count + 1, 10 * elements.count])
      model.keys[index].value = .list(kind: kind, (0..<count).map { elements[$0 % max(1, elements.count)] })
    }
    return "\(name(model.keys[index].name)) is \(brief(model.keys[index].value))"
  }

  private static let template = changing { model, random in
    guard let index = model.keys.indices.first(where: { name(model.keys[$0].name) == "tokenizer.chat_template" }),
      case .text(let text) = model.keys[index].value
    else { return nil }
    let changed = TemplateMutators.file.mutate(text, &random)
    model.keys[index].value = .text(changed.bytes)
    return "the template \(changed.what)"
  }

  /// Without them a model is another one, and whole.
  private static func isOptional(_ name: String) -> Bool { name == "output.weight" || name == "rope_freqs.weight" }

  private static let tensor: Mutator = { bytes, random in
    guard var model = GGUFModel(bytes), !model.tensors.isEmpty else { return nil }
    let index = random.below(model.tensors.count)
    let (old, shape) = (name(model.tensors[index].name), model.tensors[index].shape)
    let what: String
    var damage = isOptional(old) ? Damage.possible : .certainInNumbers
    switch random.below(3) {
    case 0:
      model.tensors.remove(at: index)
      what = "without \(old)"
    case 1:
      model.tensors[index].name = Array(random.pick([old + "x", "x", "a\u{0A}b", String(old.dropFirst(4))]).utf8)
      what = "\(old) is called \(name(model.tensors[index].name).debugDescription)"
    default:
      let first = shape.first ?? 1
      let others: [[UInt64]] = [
        shape.reversed(), shape + [1], [1] + shape, [first / 2] + shape.dropFirst(), [first * 2] + shape.dropFirst(),
        [32], [64, 64], [1 << 32, 1 << 32], [1 << 62], [UInt64(1) << 63], [0],
      ]
      let other = random.pick(others)
      guard other != shape else { return nil }
      model.tensors[index].shape = other
      what = "\(old) \(shape) is called \(other)"
      damage = .certainInNumbers
    }
    return Mutation(bytes: model.bytes, what: what, damage: damage)
  }

  /// Where nothing is, or something else.
  private static let offset = changing(.certain) { model, random in
    let index = random.below(model.tensors.count)
    let old = model.tensors[index].offset
    let size = UInt64(model.data.count)
    let others =
      [1, old &+ 1, old &+ 16, size / 32 * 32 + 32, 1 << 40, (1 << 63) - 32, 1 << 63, .max, .max - 31]
      + model.tensors.map(\.offset)
    let other = random.pick(others)
    guard other != old else { return nil }
    model.tensors[index].offset = other
    return "\(name(model.tensors[index].name)) begins at \(other), not \(old)"
  }

  private static let retyped = changing { model, random in
    let index = random.below(model.tensors.count)
    let (old, other) = (model.tensors[index].type, UInt32(random.below(48)))
    guard other != old else { return nil }
    model.tensors[index].type = other
    return "\(name(model.tensors[index].name)) is of type \(other), not \(old)"
  }

  /// A number that is none in a norm that every answer needs.
  private static let poison = changing(.certainInNumbers) { model, random in
    let norms = model.tensors.filter {
      $0.type == 0 && ["attn_norm", "ffn_norm", "output_norm"].contains(where: name($0.name).contains)
    }
    guard let norm = norms.randomly(&random), let count = norm.shape.first else { return nil }
    let value: Float = random.pick([.nan, .infinity, -.infinity])
    let place = Int(norm.offset) + 4 * random.below(Int(count))
    guard place + 4 <= model.data.count else { return nil }
    model.data.replaceSubrange(place..<place + 4, with: GGUFModel.bytes(UInt64(value.bitPattern), 4))
    return "\(name(norm.name)) has \(value) at byte \(place) of the data"
  }

  private static let padding = changing { model, random in
    model.data += Array(repeating: 0, count: random.pick([1, 31, 32, 4096]))
    return "more data than tensors"
  }
}
