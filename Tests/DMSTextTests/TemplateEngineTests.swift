// The template language: transformers.js' cases, real templates, and what Jinja2 3.1 gives (found by running it) where the
// two engines or the obvious reading differ.

import DMSPlatform
import DMSText
import Testing

@Suite struct TemplateEngineTests {
  private func rendered(
    _ template: String, _ context: JSONObject = JSONObject(), _ dialect: TemplateDialect = .transformers
  ) throws -> String {
    try Template(parsing: template, source: "test", dialect: dialect).render(context)
  }

  @Test(.enabled(if: TemplateData.exists, "\(TemplateData.hint)"))
  func everyEngineCaseGivesItsText() throws {
    let cases = try TemplateData.engineCases()
    #expect(cases.count >= 157)
    for example in cases {
      #expect(try rendered(example.template, example.context, .transformersJS) == example.expected, "\(example.name)")
    }
  }

  /// Two models see pictures; their templates are rendered too, from text alone.
  @Test(.enabled(if: TemplateData.exists, "\(TemplateData.hint)"))
  func everyRealTemplateGivesItsPrompt() throws {
    let cases = try TemplateData.realCases()
    #expect(cases.count >= 39)
    for example in cases {
      #expect(try rendered(example.template, example.context) == example.expected, "\(example.name)")
    }
  }

  @Test(
    arguments: [
      (
        #"{{ true }} {{ none }} {{ [1, 2.5, 'a"b', "it's", none, {'k': (1,)}] }}"#,
        #"True None [1, 2.5, 'a"b', "it's", None, {'k': (1,)}]"#
      ),
      (
        "{{ 1e16 }} {{ 123456789012345680.0 }} {{ 1e15 }} {{ 1.5e-7 }} {{ -1.7e16 }}",
        "1e+16 1.2345678901234568e+17 1000000000000000.0 1.5e-07 -1.7e+16"
      ),
      ("{{ -7 % 3 }} {{ 7 % -3 }} {{ -7 // 2 }} {{ 7 / 2 }} {{ 2 ** -1 }} {{ -2 ** 2 }}", "2 -2 -4 3.5 0.5 4"),
      (
        "{{ none|map(attribute='x')|list }}{{ none|selectattr('x')|list }}{{ false|map('upper')|list }}{{ 2.5 is even }}",
        "[][][]False"
      ),
      ("{{ 1 < 2 < 3 }} {{ 1 in [true] }} {{ 1 == 1.0 }} {{ not x }}", "True True True True"),
      (#"{{ 'a\r\nb'|length }} {{ "e\u0301" == "é" }} {{ 'aé'[1] }}"#, "4 False é"),
      ("{% for i in [1, 2, 3] %}{{ y is defined }}{% set y = i %}{% endfor %}", "FalseFalseFalse"),
      ("{% set z = 5 %}{% macro m() %}{{ z }}{% endmacro %}{% set z = 6 %}{{ m() }}", "6"),
      ("{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "3210"),
      ("{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m() }}", "1112"),
      ("{% set x | upper | trim %} abc {% endset %}[{{ x }}]", "[ABC]"),
      ("{% generation %}hi{% set q = 1 %}{% endgeneration %}{{ q }}", "hi"),
      ("{% for a in [1, 2, 3] if a != 2 %}{{ loop.index }}:{{ a }}/{{ loop.length }} {% endfor %}", "1:1/2 2:3/2 "),
      (
        "{% for a in 'xy' %}{{ loop.revindex }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.last }}{% endfor %}",
        "2yFalse1xTrue"
      ),
      ("{{ 'aaa'.rsplit('aa', 1) }}{{ ' a  b c '.split(none, 1) }}", "['a', '']['a', 'b c ']"),
      (#"{{ "hello it's o-k".title() }} {{ "hello it's o-k (x)"|title }}"#, "Hello It'S O-K Hello It's O-K (X)"),
      (
        #"{{ {'b': [1], 'a': {}}|tojson(indent=2) }}{{ '</é\u2028'|tojson }}"#,
        "{\n  \"b\": [\n    1\n  ],\n  \"a\": {}\n}\"</é\u{2028}\""
      ),
      ("  {% if true %}\n  a\n  {% endif %}\nb\n", "  a\nb"),
      ("a {# c #}\n{# d #}\n  {# e #}  \nb", "a   \nb"),
      ("  {%+ if true %}x{% endif +%}\ny", "  x\ny"),
      ("{% raw %}\n {{ x }} \n{% endraw %}\n a", "\n {{ x }} \n a"),
      ("a\r\nb\r{% if true %}\r\nc{% endif %}", "a\nb\nc"),
      ("\u{A0}\n\u{2003}{%- if true %}x{% endif -%}\u{A0}y", "xy"),
    ] as [(String, String)])
  func agreesWithJinja2(_ template: String, _ expected: String) throws {
    #expect(try rendered(template) == expected)
  }

  @Test(
    arguments: [
      ("a\n{% include 'x' %}", "{% include %}", 2),
      ("{{ 1 }}\n\n{{ 1|groupby }}", "the filter \"groupby\"", 3),
      ("\n{% for x in [1] recursive %}{{ loop([]) }}{% endfor %}", "a recursive loop", 2),
      ("{{ 1\n|from_json }}", "the filter \"from_json\"", 2), ("{{ x is\nnice.and_round }}", "\"nice.and_round\"", 1),
      ("\n{{ 'a'.zfill(3) }}", "the method \"zfill\"", 2),
      ("{{ [1].append(2) }}", "the method \"append\"", 1),
      ("{{ '%s %s' % 1 }}", "too few values", 1), ("{{ 'a'.format(1) }}", "the method \"format\"", 1),
      ("{{ 1|round(2) }}", "round with a precision", 1),
      ("{% if x %}\n{{ x }}", "{% if %} has no {% endif %}", 1),
      ("{{ x\n", "a tag does not end", 1),
      ("{{ 'a' }\n}", "\"}\" closes nothing", 1),
      ("{% endfor %}", "{% endfor %} closes nothing", 1),
      ("{% break %}", "outside of a loop", 1),
      ("\n\n{{ x.y }}", "\"x\" is undefined", 3),
      ("{{ 'a' + 1 }}", "\"+\" cannot join a string and an integer", 1),
      ("{{ 1|tojson(wide=2) }}", "takes no argument \"wide\"", 1),
      ("{{ -(-9223372036854775807 - 1) }}", "overflows", 1),
      ("\n{{ raise_exception('Roles must\nalternate') }}", "refuses the conversation: Roles must alternate", 2),
    ] as [(String, String, Int)])
  func failuresNameTheConstructAndItsLine(_ template: String, _ problem: String, _ line: Int) throws {
    let error = #expect(throws: InputError.self) { try rendered(template) }
    #expect(error?.problem.contains(problem) == true, "\(error?.description ?? "")")
    #expect(error?.location == "test, line \(line)")
    #expect(error?.remedy != nil && error?.description.contains("\n") == false)
  }

  @Test func clockIsAParameter() throws {
    let template = try Template(parsing: "{{ strftime_now('%d %b %Y') }}", source: "test")
    // Noon in Greenwich: the same day from there to the west, the next one in the far east.
    let day = try template.render(JSONObject(), time: 1_721_995_200)
    #expect(day == "26 Jul 2024" || day == "27 Jul 2024")
    #expect(try template.render(JSONObject(), time: 0) != day)
  }
}
