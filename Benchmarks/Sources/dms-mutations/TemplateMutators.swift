// Changes of a chat template: pieces of Jinja where they belong and where not, and what costs time or memory without end.

enum TemplateMutators {
  static let file = Mutators(
    [(30, insert), (10, unclosed), (12, costly), (10, replaceWord), (6, repeatPart), (4, removeTag), (6, swapTags)]
      + ByteMutators.all(cut: .possible, isUTF8: true))

  /// The same within tokenizer_config.json.
  static let inConfiguration = Mutators([(1, inside)])

  private static let inside: Mutator = { bytes, random in
    var tree = Tree(bytes)
    guard case .list(var named)? = tree["chat_template"], !named.isEmpty else { return nil }
    let index = random.below(named.count)
    guard let text = named[index]["template"]?.text else { return nil }
    let plain = text.replacing("\\n", with: "\n").replacing("\\\"", with: "\"").replacing("\\\\", with: "\\")
    let changed = file.mutate(Array(plain.utf8), &random)
    guard let new = String(validating: changed.bytes, as: UTF8.self) else { return nil }
    named[index]["template"] = .quoted(new)
    tree["chat_template"] = .list(named)
    // Only the one named "default" is always read.
    return Mutation(bytes: tree.bytes, what: changed.what, damage: index == 0 ? changed.damage : .possible)
  }

  private static let pieces = [
    "{{ x|from_json }}", "{{ messages }}", "{{ messages|tojson(indent=4) }}", "{{ messages[0]['content'][::-1] }}",
    "{{ messages[999] }}",
    "{{ messages[-1].content[5:1:-1] }}", "{{ 1/0 }}", "{{ 1//0 }}", "{{ 1%0 }}", "{{ 2**1000 }}",
    "{{ 9223372036854775807 + 1 }}",
    "{{ -9223372036854775808 // -1 }}", "{{ 1e308*10 }}", "{{ 'a'*-1 }}", "{{ [1]*3 }}", "{{ x.y.z }}", "{{ none.x }}",
    "{{ x() }}",
    "{{ raise_exception('no\\nway\\x00') }}", "{% set x = namespace(a=1) %}{% set x.a = x %}{{ x }}",
    "{% set y = [] %}{% set _ = y.append(y) %}{{ y }}",
    "{% macro m(a) %}{{ m(a) }}{% endmacro %}{{ m(1) }}", "{% for i in range(-5) %}{{ i }}{% endfor %}",
    "{% for a, b in messages %}{{ a }}{% endfor %}",
    "{% for m in messages %}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle() }}{% endfor %}", "{{ loop.index }}",
    "{% break %}", "{% continue %}",
    "{{ '%s %d'|format(1) }}", "{{ 'a'|replace('', 'bb') }}", "{{ 'abc'.split('') }}", "{{ 'abc'|indent(-5) }}",
    "{{ 'abc'|truncate(-1) }}",
    "{{ '\\ud800' }}", "{{ '\\x' }}", "{{ '\\N{DASH}' }}", "{{ [3,1,'a']|sort }}", "{{ [{}]|sort(attribute='a.b') }}",
    "{{ {}|items }}", "{{ range(5)|batch(0) }}",
    "{{ strftime_now('%') }}", "{{ strftime_now('%Q %999999d') }}", "{{ 5|string|int|float|round(999) }}",
    "{{ 'x'|center(70000)|length }}",
    "{{ messages|map(attribute='role')|join(',') }}", "{{ cycler() }}", "{{ joiner() }}", "{{ lipsum() }}",
    "{{ dict(a=1)|dictsort }}", "{% set a, b = 1 %}",
    "{% if messages is divisibleby 0 %}{% endif %}", "{{ 1 is divisibleby(0) }}", "{{ a ~ b ~ c }}", "{{ not }}",
    "{{ (1, }}", "{{ 'a' in 1 }}",
    "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{% call x() %}{% endcall %}",
    "{% filter upper %}a{% endfilter %}",
    "{% generation %}x{% endgeneration %}", "{% raw %}{{ }}{% endraw %}", "{# a #}", "{%- -%}", "{{- -}}",
    "{%+ if 1 +%}{% endif %}", "{{ x if y }}",
    "{{ messages|selectattr('role', 'unknown')|list }}", "{{ tools|length }}", "{{ 'a'.join([1]) }}", "{{ 1.real }}",
    "{{ ''.__class__ }}", "{{ range(1, 10, 0) }}",
  ]

  private static let insert: Mutator = { bytes, random in
    let (piece, place) = (random.pick(pieces), place(bytes, &random))
    return Mutation(bytes: bytes[..<place] + Array(piece.utf8) + bytes[place...], what: "\(piece) at byte \(place)")
  }

  /// Between two tags mostly, so that the rest still makes sense.
  private static func place(_ bytes: [UInt8], _ random: inout Random) -> Int {
    let ends = bytes.indices.dropFirst().filter {
      bytes[$0] == UInt8(ascii: "}") && (bytes[$0 - 1] == UInt8(ascii: "}") || bytes[$0 - 1] == UInt8(ascii: "%"))
    }
    return ends.isEmpty || random.chance(0.2) ? random.below(bytes.count + 1) : random.pick(ends) + 1
  }

  /// At the end, where nothing closes it.
  private static let unclosed: Mutator = { bytes, random in
    let tag = random.pick([
      "{% if 1 %}", "{% for a in [1] %}", "{{ 'a", "{{ a", "{% set x %}", "{% macro m() %}", "{# ", "{% raw %}",
      "{% endif %}", "{% endfor %}",
      "{% else %}", "{{ [1, 2 }}", "{% unknown %}", "{{ }}", "{% %}", "{{ a | }}", "{{ a. }}", "{{ a[ }}",
      "{% for %}{% endfor %}", "{% set %}",
    ])
    return Mutation(bytes: bytes + Array(tag.utf8), what: "ends with \(tag)", damage: .certain)
  }

  private static let costly: Mutator = { bytes, random in
    let text = random.pick([
      "{% for i in range(1000000000) %}{% endfor %}",
      "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
      "{{ 'a' * 10000000000 }}", "{{ ('a' * 1000000) * 1000000 }}", "{{ range(10000000000)|list }}",
      "{{ [0] * 1000000000 }}",
      "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
      "{{ 'x'|center(10000000000) }}", "{{ 'a\\nb'|indent(10000000000) }}", "{{ '%9999999999d'|format(1) }}",
      "{{ 'aaaaaaaaaa'|replace('a', 'b' * 10000000) }}",
      "{{ 'a'|replace('', 'x' * 100000)|replace('', 'y' * 100000) }}", "{{ 10 ** 10 ** 10 }}",
      "{{ " + String(repeating: "(", count: 100_000),
      "{{ " + String(repeating: "(", count: 5000) + "1" + String(repeating: ")", count: 5000) + " }}",
      "{{ " + String(repeating: "[", count: 3000) + String(repeating: "]", count: 3000) + " }}",
      "{{ " + String(repeating: "not ", count: 100_000) + "1 }}",
      "{{ " + String(repeating: "-", count: 100_000) + "1 }}",
      "{{ 1" + String(repeating: " + 1", count: 100_000) + " }}",
      "{{ a" + String(repeating: ".a", count: 100_000) + " }}",
      "{{ 'a'" + String(repeating: "|upper", count: 100_000) + " }}",
      String(repeating: "{% if 1 %}", count: 20_000) + String(repeating: "{% endif %}", count: 20_000),
      String(repeating: "{% for a in [1] %}", count: 3000) + "x" + String(repeating: "{% endfor %}", count: 3000),
      "{{ 1" + String(repeating: " if 1 else 1", count: 50_000) + " }}",
      "{{ 1" + String(repeating: " == 1", count: 50_000) + " }}",
      String(repeating: "{{ 1 }}", count: 100_000), "{# " + String(repeating: "x", count: 20_000_000) + " #}",
      "{{ {" + String(repeating: "1:1,", count: 200_000) + "} }}",
      "{% set ns = namespace(t='') %}{% for i in range(99999) %}{% set ns.t = ns.t ~ 'abcdefghij' %}{% endfor %}{{ ns.t|length }}",
      "{% macro m(n) %}{% if n > 0 %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(40) }}",
      "{{ 'a b ' * 20000000 }}",
    ])
    return Mutation(bytes: bytes + Array(text.utf8), what: "ends with \(text.prefix(100)) (\(text.utf8.count) bytes)")
  }

  private static let replaceWord: Mutator = { bytes, random in
    let words = [
      "messages", "message", "role", "content", "endif", "endfor", "if", "for", "in", "else", "tools", "set",
      "add_generation_prompt", "'", "==", "+", "loop.first",
    ]
    let text = String(decoding: bytes, as: UTF8.self)
    let (word, other) = (random.pick(words), random.pick(words + ["1", "none", "", "[]", "x"]))
    let parts = text.split(separator: word, omittingEmptySubsequences: false)
    guard parts.count > 1 else { return nil }
    let index = random.below(parts.count - 1)
    let changed = parts[...index].joined(separator: word) + other + parts[(index + 1)...].joined(separator: word)
    return Mutation(bytes: Array(changed.utf8), what: "\(other) for \(word), place \(index)")
  }

  private static let repeatPart: Mutator = { bytes, random in
    let times = random.pick([2, 10, 1000, 30_000])
    return Mutation(
      bytes: Array((0..<times).map { _ in bytes }.joined().prefix(50_000_000)), what: "\(times) times itself")
  }

  private static func tags(_ bytes: [UInt8]) -> [Range<Int>] {
    var (found, start) = ([Range<Int>](), 0)
    for index in bytes.indices.dropFirst() {
      if bytes[index - 1] == UInt8(ascii: "{"), bytes[index] == UInt8(ascii: "{") || bytes[index] == UInt8(ascii: "%") {
        start = index - 1
      }
      if bytes[index] == UInt8(ascii: "}"),
        bytes[index - 1] == UInt8(ascii: "}") || bytes[index - 1] == UInt8(ascii: "%"), start < index
      {
        found.append(start..<(index + 1))
        start = index + 1
      }
    }
    return found
  }

  private static let removeTag: Mutator = { bytes, random in
    let tags = tags(bytes)
    guard !tags.isEmpty else { return nil }
    let tag = random.pick(tags)
    return Mutation(
      bytes: Array(bytes[..<tag.lowerBound]) + bytes[tag.upperBound...],
      what: "without \(String(decoding: bytes[tag], as: UTF8.self))")
  }

  private static let swapTags: Mutator = { bytes, random in
    let tags = tags(bytes)
    guard tags.count > 1 else { return nil }
    let (one, other) = (random.below(tags.count), random.below(tags.count))
    guard one < other else { return nil }
    let (a, b) = (tags[one], tags[other])
    let parts = [0..<a.lowerBound, b, a.upperBound..<b.lowerBound, a, b.upperBound..<bytes.count]
    return Mutation(
      bytes: parts.flatMap { bytes[$0] }, what: "tags \(one) and \(other) exchanged")
  }
}
