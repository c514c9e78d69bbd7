// Changes of a JSON file as a tree: another value, another type, a key twice, a key less, what no JSON is.

enum JSONMutators {
  static let numbers = [
    "0", "1", "-1", "2", "3", "7", "0.5", "-0", "-0.0", "1e400", "-1e400", "1e-400", "1e308", "1e15", "4.0", "255",
    "65536",
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "18446744073709551615", "4294967295",
    "4294967296", "2147483647", "2147483648", "-2147483649", "16777215", "16777216", "268435456", "1048576", "1024",
    "1e18", "9007199254740993", "0.1e1",
  ]
  private static let others = [
    "null", "true", "false", "[]", "{}", "\"\"", "\"1\"", "[[]]", "{\"\":{}}", "[null]", "[1,2]",
  ]
  /// What RFC 8259 knows not.
  private static let broken = [
    "NaN", "Infinity", "-Infinity", "01", "+1", "0x10", "1.", ".5", "tru", "'a'", "[1,]", "{,}", "\"\\x\"",
    "\"\\ud800\"", "\"\n\"", "//", "1 2",
  ]
  private static let texts = [
    "", "\\u0000", "a\\u0000b", "\\u000a\\u001b[31m", "\\u2028", "../../etc/passwd", "/dev/stdin", "<|im_end|>", "{{",
    "%s%n%99999d",
    "\\ud83d\\ude00", "\\u0085", "\\u202e", "e\\u0301", "\\\\", "\\\"", "x", "null", "\\u007f", " ", "\\ufeff",
  ]

  static let all: [(Int, Mutator)] = [
    (12, replace), (4, remove), (4, duplicate), (2, rename), (3, exchange), (2, wrap), (3, nest), (3, long),
    (3, unclosed),
    (4, breakSyntax), (3, garbage), (2, add), (1, reorder), (2, root),
  ]

  /// For a file of JSON: these and some that know only bytes.
  static let file = Mutators(
    all.map { ($0.0 * 3, $0.1) } + ByteMutators.all(cut: .certain, isUTF8: true))

  /// Some value that differs in kind or in size.
  static func value(_ random: inout Random) -> Tree {
    switch random.below(10) {
    case 0..<5: .literal(random.pick(numbers))
    case 5..<8: .literal(random.pick(others))
    default: .string(random.pick(texts))
    }
  }

  /// Changes a place that is found by going down from the root, a large list being no more likely than a small one.
  static func change(
    _ tree: Tree, _ random: inout Random, path: String = "", containers: Bool = false,
    _ body: (Tree, inout Random) -> Tree
  ) -> (tree: Tree, path: String) {
    func stops(_ isLeafHolder: Bool) -> Bool { random.chance(isLeafHolder ? 0.5 : 0.15) }
    switch tree {
    case .list(var elements) where !elements.isEmpty:
      let index = random.below(elements.count)
      if stops(containers && isLeaf(elements[index])) { break }
      if containers, isLeaf(elements[index]) { break }
      let found = change(elements[index], &random, path: "\(path)[\(index)]", containers: containers, body)
      elements[index] = found.tree
      return (.list(elements), found.path)
    case .object(var members) where !members.isEmpty:
      let index = random.below(members.count)
      if stops(containers && isLeaf(members[index].value)) { break }
      if containers, isLeaf(members[index].value) { break }
      let found = change(
        members[index].value, &random, path: "\(path).\(members[index].key)", containers: containers, body)
      members[index].value = found.tree
      return (.object(members), found.path)
    default: break
    }
    return (body(tree, &random), path)
  }

  private static func isLeaf(_ tree: Tree) -> Bool {
    switch tree {
    case .literal, .string: true
    case .list(let elements): elements.isEmpty
    case .object(let members): members.isEmpty
    }
  }

  private static func mutator(
    _ what: String, containers: Bool = false, damage: Damage = .possible,
    _ body: @escaping @Sendable (Tree, inout Random) -> Tree
  ) -> Mutator {
    { bytes, random in
      let found = change(Tree(bytes), &random, containers: containers, body)
      return Mutation(
        bytes: found.tree.bytes, what: "\(what) at \(found.path.isEmpty ? "the root" : found.path)", damage: damage)
    }
  }

  private static let replace = mutatorShowing("is") { tree, random in
    // Near misses too: a number by one more or less.
    if let number = tree.integer, random.chance(0.3) { return .integer(number &+ random.pick([1, -1, 2])) }
    return value(&random)
  }

  private static func mutatorShowing(
    _ what: String, _ body: @escaping @Sendable (Tree, inout Random) -> Tree
  ) -> Mutator {
    { bytes, random in
      var shown = ""
      let found = change(Tree(bytes), &random) { tree, random in
        let new = body(tree, &random)
        shown = String(String(decoding: new.bytes, as: UTF8.self).prefix(60))
        return new
      }
      return Mutation(bytes: found.tree.bytes, what: "\(found.path.isEmpty ? "the root" : found.path) \(what) \(shown)")
    }
  }

  private static let remove = mutator("a member less", containers: true) { tree, random in
    switch tree {
    case .list(var elements) where !elements.isEmpty:
      elements.remove(at: random.below(elements.count))
      return .list(elements)
    case .object(var members) where !members.isEmpty:
      members.remove(at: random.below(members.count))
      return .object(members)
    default: return tree
    }
  }

  private static let duplicate = mutator("a member twice", containers: true) { tree, random in
    switch tree {
    case .list(var elements) where !elements.isEmpty:
      let copy = random.pick(elements)
      let times = random.pick([1, 1, 1, 5000])
      elements.insert(contentsOf: Array(repeating: copy, count: times), at: random.below(elements.count + 1))
      return .list(elements)
    case .object(var members) where !members.isEmpty:
      var copy = random.pick(members)
      if random.chance(0.6) { copy.value = value(&random) }
      members.insert(copy, at: random.below(members.count + 1))
      return .object(members)
    default: return tree
    }
  }

  private static let rename = mutator("another key", containers: true) { tree, random in
    guard case .object(var members) = tree, !members.isEmpty else { return tree }
    members[random.below(members.count)].key = random.pick(texts)
    return .object(members)
  }

  private static let exchange = mutator("two members exchanged", containers: true) { tree, random in
    switch tree {
    case .list(var elements) where elements.count > 1:
      elements.swapAt(random.below(elements.count), random.below(elements.count))
      return .list(elements)
    case .object(var members) where members.count > 1:
      let (one, other) = (random.below(members.count), random.below(members.count))
      let value = members[one].value
      members[one].value = members[other].value
      members[other].value = value
      return .object(members)
    default: return tree
    }
  }

  private static let wrap = mutator("in a list") { tree, random in
    random.chance(0.5) ? .list([tree]) : .object([Tree.Member(key: "x", value: tree)])
  }

  private static let nest = mutator("deeply nested") { tree, random in
    let depth = random.pick([60, 130, 600, 5000, 200_000])
    return random.chance(0.5)
      ? .literal(String(repeating: "[", count: depth) + String(repeating: "]", count: depth))
      : .literal(String(repeating: "{\"a\":", count: depth) + "1" + String(repeating: "}", count: depth))
  }

  private static let long = mutator("a very long value") { tree, random in
    switch random.below(4) {
    case 0: .string(String(repeating: "x", count: 1_000_000))
    case 1: .literal("[" + String(repeating: "0,", count: 50_000) + "0]")
    case 2: .literal(String(repeating: "9", count: 100_000))
    default: .string(String(repeating: "\\u0000", count: 50_000))
    }
  }

  private static let unclosed = mutator("not closed", damage: .certain) { tree, random in
    .literal(random.pick(["[", "{", "\"abc", "{\"a\":", "[1,", "{\"a\"", String(repeating: "[", count: 300_000)]))
  }

  private static let breakSyntax = mutator("no JSON", damage: .certain) { tree, random in .literal(random.pick(broken))
  }

  private static let garbage: Mutator = { bytes, random in
    let text = random.pick(["x", "}", "]", ",", "{}", "null", "\u{0}"])
    let atEnd = random.chance(0.6)
    return Mutation(
      bytes: atEnd ? bytes + Array(text.utf8) : Array(text.utf8) + bytes,
      what: "\(text.debugDescription) \(atEnd ? "after" : "before") the document", damage: .certain)
  }

  private static let add = mutator("a member more", containers: true) { tree, random in
    switch tree {
    case .list(var elements):
      elements.insert(value(&random), at: random.below(elements.count + 1))
      return .list(elements)
    case .object(var members):
      members.append(Tree.Member(key: random.pick(texts), value: value(&random)))
      return .object(members)
    default: return tree
    }
  }

  private static let reorder = mutator("backwards", containers: true) { tree, _ in
    switch tree {
    case .list(let elements): .list(elements.reversed())
    case .object(let members): .object(members.reversed())
    default: tree
    }
  }

  private static let root: Mutator = { _, random in
    let new = value(&random)
    return Mutation(bytes: new.bytes, what: "is all \(String(decoding: new.bytes, as: UTF8.self).prefix(60))")
  }
}
