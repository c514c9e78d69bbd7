// Changes of what the program itself saved: a conversation's session, a training's state, a run's log, and of the data that
// people give it.

enum SavedMutators {
  /// talk.session: tokens, the eviction ring, each head's keys and values, the conversation as a note.
  static let session = Mutators(
    [
      (30, integers("tokens", [-1, .min, .max, 100_000], damage: .certain)),
      (30, integers("eviction", [-1, .min, .max, 2, 3], damage: .possible)),
      (20, note), (20, lost), (20, rows), (10, ring), (10, fingerprint),
    ] + TensorMutators.all(required: true, isUsed: { _ in false }).shares.map { ($0.share, $0.change) })

  private static func integers(_ name: String, _ values: [Int32], damage: Damage) -> Mutator {
    { bytes, random in
      guard var file = TensorFile(bytes), let index = file.tensors.firstIndex(where: { $0.name == name }),
        file.tensors[index].bytes.count >= 4
      else { return nil }
      let place = random.below(file.tensors[index].bytes.count / 4) * 4
      let value = random.pick(values)
      for offset in 0..<4 {
        file.tensors[index].bytes[place + offset] = UInt8(truncatingIfNeeded: value >> Int32(8 * offset))
      }
      return Mutation(bytes: file.bytes, what: "\(name)[\(place / 4)] is \(value)", damage: damage)
    }
  }

  private static func entry(_ key: String, _ body: @escaping @Sendable (String, inout Random) -> (String, Damage)?)
    -> Mutator
  {
    { bytes, random in
      guard var file = TensorFile(bytes), let index = file.metadata.firstIndex(where: { $0.key == key }),
        let (value, damage) = body(file.metadata[index].value, &random)
      else { return nil }
      file.metadata[index].value = value
      return Mutation(bytes: file.bytes, what: "\(key) is \(value.prefix(120))", damage: damage)
    }
  }

  private static let note = entry("note") { _, random in
    random.pick([
      ("", .certain), ("[", .certain), ("[{}]", .certain), ("[1]", .certain),
      ("[{\\\"role\\\":\\\"user\\\"}]", .certain), ("{}", .possible), ("[]", .possible),
      ("[{\\\"role\\\":\\\"user\\\",\\\"content\\\":\\\"\\\\u0000\\\\u001b\\\"}]", .possible),
      (String(repeating: "[", count: 100_000), .certain), ("null", .possible),
      ("[{\\\"role\\\":\\\"x\\\\ny\\\",\\\"content\\\":\\\"\\\"}]", .possible),
    ])
  }

  private static let fingerprint: Mutator = { bytes, random in
    guard var file = TensorFile(bytes),
      let index = file.metadata.firstIndex(where: { $0.key == "model" || $0.key == "dms_session" })
    else { return nil }
    file.metadata[index].value = random.pick(["", "0", "2", "\\u0000", "qwen3", file.metadata[index].value + "x"])
    return Mutation(bytes: file.bytes, what: "another version or model", damage: .certain)
  }

  /// Tokens fewer or more than the cache has seen.
  private static let lost: Mutator = { bytes, random in
    guard var file = TensorFile(bytes), let index = file.tensors.firstIndex(where: { $0.name == "tokens" }) else {
      return nil
    }
    let count = file.tensors[index].shape.first ?? 0
    let other = random.pick([0, 1, count - 1, count + 1, count + 100_000])
    guard other >= 0, other != count else { return nil }
    file.tensors[index].shape = [other]
    file.tensors[index].bytes = Array(
      (file.tensors[index].bytes + Array(repeating: 0, count: 4 * max(0, other - count))).prefix(4 * other))
    return Mutation(
      bytes: file.bytes, what: "\(other) tokens instead of \(count)", damage: other < count - 1 ? .certain : .possible)
  }

  /// A head with a slot more or less than its values, or than the ring knows of.
  private static let rows: Mutator = { bytes, random in
    guard var file = TensorFile(bytes) else { return nil }
    let heads = file.tensors.indices.filter {
      file.tensors[$0].name.hasPrefix("layers.") && (file.tensors[$0].shape.first ?? 0) > 1
    }
    guard !heads.isEmpty else { return nil }
    let index = random.pick(heads)
    let rows = file.tensors[index].shape[0]
    let width = file.tensors[index].bytes.count / rows
    let other = random.pick([0, rows - 1, rows + 1])
    file.tensors[index].shape[0] = other
    file.tensors[index].bytes = Array(
      (file.tensors[index].bytes + Array(repeating: 0, count: width)).prefix(width * other))
    return Mutation(
      bytes: file.bytes, what: "\(file.tensors[index].name) has \(other) slots instead of \(rows)", damage: .certain)
  }

  private static let ring: Mutator = { bytes, random in
    guard var file = TensorFile(bytes), let index = file.tensors.firstIndex(where: { $0.name == "eviction" }) else {
      return nil
    }
    let count = file.tensors[index].shape.first ?? 0
    let other = random.pick([0, max(0, count - 1), count + 1, 2 * count])
    guard other != count else { return nil }
    file.tensors[index].shape = [other]
    file.tensors[index].bytes = Array(
      (file.tensors[index].bytes + Array(repeating: 0, count: 4 * count + 4)).prefix(4 * other))
    return Mutation(bytes: file.bytes, what: "a ring of \(other) instead of \(count)", damage: .certain)
  }

  /// A run's checkpoint: what was trained, the optimiser's moments, and the state as JSON.
  static let state = Mutators(
    [(60, stateNumber), (20, stateTree)]
      + TensorMutators.all(required: true, isUsed: { _ in true }).shares.map { ($0.share, $0.change) })

  private static let stateNumber = entry("state") { text, random in
    var tree = Tree(Array(text.replacing("\\\"", with: "\"").utf8))
    let keys = tree.keys
    guard !keys.isEmpty else { return nil }
    let key = random.pick(keys)
    let value = random.pick([
      "-1", "9223372036854775807", "-9223372036854775808", "1000000", "1e300", "-1e300", "null", "\"1\"", "[]", "0.5",
    ])
    switch tree[key] {
    case .list(let elements)?:
      // One of its members, or another number of them.
      guard random.chance(0.7), !elements.isEmpty else {
        tree[key] = .list(random.chance(0.5) ? [] : elements + [.integer(0)])
        break
      }
      var elements = elements
      elements[random.below(elements.count)] = .literal(value)
      tree[key] = .list(elements)
    default: tree[key] = .literal(value)
    }
    // Seconds are a measure, and a million of anything but steps could be.
    let isNumber = Double(value) != nil && !value.hasPrefix("-")
    let couldBe = key == "seconds" ? isNumber : value == "1000000" && !["step", "updates"].contains(key)
    return (Tree.escaped(String(decoding: tree.bytes, as: UTF8.self)), couldBe ? .possible : .certain)
  }

  private static let stateTree = entry("state") { text, random in
    let changed = Mutators(JSONMutators.all).mutate(Array(text.replacing("\\\"", with: "\"").utf8), &random)
    return (Tree.escaped(String(decoding: changed.bytes, as: UTF8.self)), changed.damage)
  }

  /// JSON lines, of which one is changed.
  static let lines = Mutators(
    [
      (60, oneLine)
    ] + ByteMutators.all(cut: .possible, isUTF8: true))

  /// A log is a record: what cannot be read of it is passed over.
  static let log = Mutators(
    lines.shares.map { share, change in
      (share, { bytes, random in change(bytes, &random).map { Mutation(bytes: $0.bytes, what: $0.what) } })
    })

  static let text = Mutators(ByteMutators.all(cut: .possible, isUTF8: true))
  /// What is typed need not be UTF-8.
  static let typed = Mutators(ByteMutators.all(cut: .possible, isUTF8: false) + [(4, commands)])

  private static let commands: Mutator = { bytes, random in
    let lines = [
      "/reset", "/stats", "/system", "/system x", "/thinking", "/help", "/bye", "/", "//", "/usr/bin/env is what?",
      "/no_think a", " /reset", "/reset x", "\r", "\u{0}",
    ]
    return Mutation(bytes: Array("\(random.pick(lines))\n".utf8) + bytes, what: "a command first")
  }

  /// A list of token ids.
  static let ids = Mutators(
    [
      (40, oneID),
      (5, noIDs),
    ] + JSONMutators.file.shares.map { ($0.share, $0.change) })

  private static let noIDs: Mutator = { _, random in
    Mutation(bytes: Array(random.pick(["[]", "{}", "1", "\"[1]\""]).utf8), what: "no ids", damage: .certain)
  }

  /// input_ids in a safetensors file.
  static let idTensor = Mutators(
    [(30, integers("input_ids", [-1, .min, .max, 100_000], damage: .certain))]
      + TensorMutators.all(required: false, isUsed: { _ in false }).shares.map { ($0.share, $0.change) })

  private static let oneLine: Mutator = { bytes, random in
    var lines = bytes.split(separator: 0x0A).map(Array.init)
    guard !lines.isEmpty else { return nil }
    let index = random.below(lines.count)
    let changed = JSONMutators.file.mutate(lines[index], &random)
    // Spaces alone are no line.
    guard changed.bytes.contains(where: { $0 > 0x20 }), !changed.bytes.contains(0x0A) else { return nil }
    lines[index] = changed.bytes
    return Mutation(
      bytes: Array(lines.joined(separator: [0x0A])) + [0x0A], what: "line \(index + 1): \(changed.what)",
      damage: changed.damage)
  }

  private static let oneID: Mutator = { bytes, random in
    guard case .list(var ids) = Tree(bytes), !ids.isEmpty else { return nil }
    let value = random.pick([
      "-1", "100000", "9223372036854775807", "9223372036854775808", "1.5", "\"1\"", "null", "[1]", "true", "1e300",
    ])
    ids[random.below(ids.count)] = .literal(value)
    return Mutation(bytes: Tree.list(ids).bytes, what: "an id is \(value)", damage: .certain)
  }
}
