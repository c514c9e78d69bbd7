// Templates come with checkpoints, from anywhere: none may trap, hang or exhaust the memory.

import DMSPlatform
import DMSText
import Testing

@Suite struct TemplateLimitTests {
  /// Renders under a small allowance and reports what went wrong, if anything did.
  private func problem(of template: String, _ context: JSONObject = JSONObject()) throws -> String? {
    do {
      _ = try Template(parsing: template, source: "test").render(context, allowance: 1 << 20)
      return nil
    } catch let error as InputError {
      return error.problem
    }
  }

  /// A template with a part in the middle that is repeated: written short, because a test's name prints it.
  struct Nest: Sendable {
    let before: String, open: String, middle: String, close: String, after: String

    init(_ before: String, _ open: String, _ middle: String = "", _ close: String = "", _ after: String = " }}") {
      (self.before, self.open, self.middle, self.close, self.after) = (before, open, middle, close, after)
    }

    var template: String {
      let count = 20_000
      return before + String(repeating: open, count: count) + middle + String(repeating: close, count: count) + after
    }
  }

  @Test(arguments: [
    Nest("{{ ", "(", "1", ")"), Nest("{{ ", "[", "", "]"), Nest("{{ ", "not ", "1"), Nest("{{ ", "-", "1"),
    Nest("{{ ", "1 + ", "1"), Nest("{{ x", ".a"), Nest("{{ 1", "|abs"), Nest("{{ ", "1 if 1 else ", "1"),
    Nest("{{ x", "()"), Nest("{{ ", "f(", "", ")"), Nest("", "{% if 1 %}", "", "{% endif %}", ""),
    Nest("{% set ", "(", "x", ")", " = 1 %}"), Nest("{{ ", "{1:", "1", "}"), Nest("{{ 1", " is eq 1"),
  ])
  func deepTemplatesAreRefused(_ nest: Nest) throws {
    let problem = try #require(try problem(of: nest.template))
    #expect(problem.contains("levels"))
  }

  @Test(arguments: [
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f(x=f()) %}{% endmacro %}{{ f() }}",
    "{% macro f() %}{{ caller() }}{% endmacro %}{% macro g() %}{% call f() %}{{ g() }}{% endcall %}{% endmacro %}{{ g() }}",
    "{% macro f() %}{% set x %}{% with a = 1 %}{{ [1]|map('default', f())|list }}{% endwith %}{% endset %}{% endmacro %}{{ f() }}",
    "{% set n = namespace(x=1) %}{% for i in range(9000) %}{% set n.x = [n.x] %}{% endfor %}",
    "{% set n = namespace(x=1) %}{% for i in range(9000) %}{% set n.x = {'a': n.x} %}{% endfor %}",
  ])
  func endlessRecursionAndDeepValuesAreRefused(_ template: String) throws {
    let problem = try #require(try problem(of: template))
    #expect(problem.contains("levels"))
  }

  @Test(arguments: [
    "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "{{ 'ab' * 999999999999999999 }}", "{{ [1] * 9223372036854775807 }}",
    "{% set n = namespace(x='ab') %}{% for i in range(90) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "{% set n = namespace(x=[1]) %}{% for i in range(90) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "{% set n = namespace(x=1) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
    "{% set n = namespace(x=1, y=1) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}{% endfor %}{{ n.x == n.y }}",
    "{{ 'a\nb'|indent(999999999999) }}", "{{ [1]|tojson(indent=999999999999) }}",
    "{{ ('a' * 10000)|replace('', 'b' * 1000) }}", "{{ range(10000)|unique|list }}",
  ])
  func greedyTemplatesAreStopped(_ template: String) throws {
    let problem = try #require(try problem(of: template))
    #expect(problem.contains("too long or produces too much"))
  }

  /// What a template builds counts as much as what it writes: values that no text shows must not fill the memory.
  @Test(arguments: [
    "s|reverse", "s[::-1]", "s|map('abs')", "s|select('odd')", "s|reject('defined')", "s|sort", "s + s", "s|list|last",
    "t.split('a')", "t|list", "t.splitlines()", "t.split()", "d.items()", "d|dictsort", "d|items", "dict(d, x=1)",
    "namespace(x=1)", "range(1000)", "(t * 9)|e", "t|tojson", "[t]|string",
  ])
  func builtValuesAreCounted(_ expression: String) throws {
    let problem = try #require(
      try problem(
        of: "{% set s = range(1000)|list %}{% set t = 'a\\n' * 1000 %}{% set d = dict(a=1, b=2, c=3) %}"
          + "{% for i in range(9000) %}{% set x = \(expression) %}{% endfor %}"))
    #expect(problem.contains("too long or produces too much"))
  }

  /// A megabyte is enough for every template; one that is all of one thing is read in about a second.
  @Test func longTemplatesAreReadInTurnOrRefused() throws {
    func text(_ before: String, _ unit: String, _ after: String) -> String {
      before + String(repeating: unit, count: 300_000 / unit.utf8.count) + after
    }
    #expect(try problem(of: String(repeating: "x", count: 2_000_000))?.contains("a template of 2000000 bytes") == true)
    #expect(try problem(of: text("{{ ", "a", " }}"))?.contains("a name of more than") == true)
    #expect(try problem(of: text("{{ a", "\u{301}\u{323}", " }}"))?.contains("a name of more than") == true)
    #expect(try problem(of: text("", "{{", ""))?.contains("does not end") == true)
    #expect(try problem(of: text("{% raw %}", "{%   ", ""))?.contains("has no {% endraw %}") == true)
    #expect(try problem(of: text("", "{", "")) != nil)
    #expect(try problem(of: text("", "{#", ""))?.contains("does not end") == true)
    #expect(try problem(of: text("", "{{a}}", "")) == nil)
    #expect(try problem(of: text("", " \n", "{%- if x %}{% endif %}")) == nil)
    let names = (0..<30_000).map { "a\($0)=1" }.joined(separator: ",")
    #expect(try problem(of: "{{ f(\(names)) }}") != nil)
    let parameters = (0..<40_000).map { "a\($0)" }.joined(separator: ",")
    #expect(try problem(of: "{% macro f(\(parameters)) %}{% endmacro %}{{ f(\(names.prefix(200_000))=1) }}") != nil)
  }

  @Test(arguments: [
    "{{ 'abc'[-9223372036854775807:9223372036854775807:-9223372036854775807] }}",
    "{{ (-9223372036854775807 - 1) % -1 }}", "{{ 1 ** 9223372036854775807 }}",
    "{{ range(-9223372036854775807, 9223372036854775807, 9223372036854775807)|list }}",
    "{{ 1e300|int }}{{ 1e308 * 10 }}{{ (1e308 * 10)|int }}", "{{ '' * 9223372036854775807 }}", "{{ '😀'[0] }}",
  ])
  func extremeNumbersAreHarmless(_ template: String) throws {
    #expect(try problem(of: template) == nil)
  }

  /// Cuts, copies, swaps and noise over templates that exercise the whole language: an answer or an error, never a trap.
  @Test func mutatedTemplatesNeverTrap() throws {
    var sources = [
      """
      {%- macro m(a, b='!') -%}{{ a[::-1]|upper ~ caller() }}{%- endmacro -%}{% call(u) m('x') %}{{ u }}{% endcall %}
      {% for k, (v, w) in [('a', (1, 2.5e3))] if k is string %}{{ loop.index * -v // 3 % 2 ** 2 }}{% else %}n{% endfor %}
      {# c #}{% raw %}{{ }}{% endraw %}{% set ns = namespace(x=1) %}{% set ns.x = {'a': [1, (2,)]}.a[-1] %}
      {% set y | trim %} z {% endset %}{% with q = messages|map(attribute='role')|list %}{{ q|tojson(indent=2) }}{% endwith %}
      {{ 'a' if messages[0].content.startswith(('h', 'x')) else strftime_now('%Y') }}{{ range(9)|sum }}
      """
    ]
    if TemplateData.exists { sources += try TemplateData.realCases().map(\.template).filter { $0.utf8.count < 6000 } }
    let context = JSONObject([
      "messages": .array([.object(JSONObject(["role": .string("user"), "content": .string("hi")]))]),
      "tools": .null, "bos_token": .string("<s>"), "add_generation_prompt": .bool(true),
    ])
    let pieces = [
      "{{", "}}", "{%", "%}", "{#", "#}", "-", "(", ")", "[", "]", "{", "}", "|", ".", "'", "\"", "\\", "\n", "if ",
      "for ",
      "not ", " in ", "*", "**", "9223372036854775807", "%", "~", ":", ",", "=", "é", "endif", "loop", "messages",
      " is ",
    ].map { Array($0.unicodeScalars) }
    var random = SplitMix(state: 7)
    for round in 0..<4000 {
      var text = Array(sources[round % sources.count].unicodeScalars)
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let at = Int.random(in: 0...text.count, using: &random)
        let end = min(text.count, at + Int.random(in: 0...40, using: &random))
        switch Int.random(in: 0..<4, using: &random) {
        case 0: text.removeSubrange(at..<end)
        case 1: text.insert(contentsOf: text[at..<end], at: Int.random(in: 0...text.count, using: &random))
        case 2: text.removeLast(text.count - at)
        default: text.insert(contentsOf: pieces[Int.random(in: 0..<pieces.count, using: &random)], at: at)
        }
      }
      var mutated = String.UnicodeScalarView()
      mutated.append(contentsOf: text)
      _ = try problem(of: String(mutated), context)
    }
  }
}
