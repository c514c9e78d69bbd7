// Markup, formatting with %, and what fails only when it is reached: what Jinja2 3.1 gives in transformers' sandbox.

import DMSPlatform
import DMSText
import Testing

@Suite struct TemplateMarkupTests {
  private func rendered(_ template: String) throws -> String {
    try Template(parsing: template, source: "test").render(JSONObject(["text": .string("<t>")]))
  }

  @Test(
    arguments: [
      (
        #"{{ ("<a>"|safe) ~ "<b>" }} {{ ("<a>"|safe) + "<b>" }} {{ "<b>" + ("<a>"|safe) }}"#,
        "<a><b> <a>&lt;b&gt; &lt;b&gt;<a>"
      ),
      (#"{{ ("<a>"|safe) + ("&"|safe) + text + "'\"" }}"#, "<a>&&lt;t&gt;&#39;&#34;"),
      (#"{{ ("<%s>%s"|safe) % ("<b>", "<c>"|safe) }} {{ ("%s" % ("<b>"|safe)) + "<" }}"#, "<&lt;b&gt;><c> <b><"),
      (
        #"{{ ("<%(x)s>"|safe) % {"x": "<"} }}{{ ("%s"|safe|format("<")) + "<" }}{{ ("%r"|safe) % ["<"] }}"#,
        "<&lt;>&lt;&lt;[&#39;&lt;&#39;]"
      ),
      (
        #"{{ ("<"|safe).join(["<a>", "<b>"|safe, 3]) }} {{ ["<a>"|safe]|join("<") + "<" }}{{ ",".join(["<"|safe]) + "<" }}"#,
        "&lt;a&gt;<<b><3 <a><<<"
      ),
      (#"{{ ("<a>"|safe).replace("a", "<") }} {{ ("<a>"|safe|replace("a", "<")) + "<" }}"#, "<&lt;> <<><"),
      (
        #"{{ ("<a>"|safe|upper) + "<" }}{{ ("b"|safe).title() + "<" }}{{ ("b"|safe|title) + "<" }}{{ (" c "|safe|trim) + "<" }}"#,
        "<A>&lt;B&lt;B<c&lt;"
      ),
      (
        #"{{ ("<ab>"|safe)[1:] + "<" }}{{ ("<"|safe)[0] + "<" }}{{ ("<"|safe|first) + "<" }}{{ (">"|safe|last) + "<" }}"#,
        "ab>&lt;<&lt;<<>&lt;"
      ),
      (
        #"{{ ("ab"|safe|reverse) + "<" }}{{ ("a"|safe) * 2 + "<" }}{{ ("a"|safe).split("b")[0] + "<" }}"#,
        "ba&lt;aa&lt;a&lt;"
      ),
      (#"{{ ("<a"|safe|list)[1] + "<" }}{% for c in "<"|safe %}{{ c + "<" }}{% endfor %}"#, "a<<<"),
      (
        #"{{ text|e }}{{ text|e|e }}{{ text|e|forceescape }}{{ none|e }}{{ ["<"]|e }}"#,
        "&lt;t&gt;&lt;t&gt;&amp;lt;t&amp;gt;None[&#39;&lt;&#39;]"
      ),
      (
        #"{{ ["<a>"|safe] }}{{ ("<a>"|safe)|tojson + "<" }}{{ "<a>"|safe == "<a>" }}{{ {"<":1}["<"|safe] }}"#,
        #"[Markup('<a>')]"<a>"<True1"#
      ),
      (
        #"{{ text is escaped }}{{ text|safe is escaped }}{{ text|safe is string }}{{ (text|safe ~ "") is escaped }}"#,
        "FalseTrueTrueFalse"
      ),
      (
        #"{% macro m() %}<{% endmacro %}{{ m() + "<" }}{% set x %}<{% endset %}{{ x + "<" }}{% set y | safe %}<{% endset %}{{ y + "<" }}"#,
        "<<<<<&lt;"
      ),
      (
        #"{{ ("a\nb"|safe|indent("<")) + "<" }}{{ (["<"|safe]|map("upper")|list)[0] + "<" }}{{ 4|safe + "<" }}"#,
        "a\n<b&lt;<&lt;4&lt;"
      ),
      (
        "{{ '%5.1f|%-4s|%05d|%+d|%x|%#X|%o|%e|%g|%%|%c' % (3.14159, 'é', -42, 5, 255, 255, 8, 12345.678, 0.0001, 65) }}",
        "  3.1|é   |-0042|+5|ff|0XFF|10|1.234568e+04|0.0001|%|A"
      ),
      (
        "{{ '%s %s %r' % (none, [1, 'a'], 'a') }}{{ '%.2s' % 'abc' }}{{ '%d' % 2.7 }}{{ '%(a)s' % {'a': 1} }}{{ 'x' % {} }}",
        "None [1, 'a'] 'a'ab21x"
      ),
    ] as [(String, String)])
  func markupEscapesWhatIsAddedToIt(_ template: String, _ expected: String) throws {
    #expect(try rendered(template) == expected)
  }

  @Test(arguments: [
    "{{ x|from_json }}", "{{ x is nice }}", "{{ nope(1) }}", "{% include 'x' ignore missing with context %}",
    "{% import 'x' as y %}{% from 'x' import a, b as c without context %}", "{% extends 'y' %}", "{{ 1|groupby('a') }}",
    "{% block b scoped %}{{ 1 }}{% endblock b %}", "{% autoescape true %}{{ 1 }}{% endautoescape %}",
    "{{ 99999999999999999999 }}", "{{ '\\N{EM DASH}' }}", "{{ x|a.b }}", "{{ (x|nope).y|nope(z|nope) }}",
    "{% if 1|nope %}{% elif x is nope %}{% endif %}", "{% set y = x|nope %}", "{% for a in x|nope %}{% endfor %}",
    "{% with a = x|nope %}{% endwith %}", "{% call f(x|nope) %}{% endcall %}",
  ])
  func whatIsNotReachedDoesNotFail(_ construct: String) throws {
    #expect(try rendered("{% if false %}\(construct){% else %}o{% endif %}k") == "ok")
    let error = #expect(throws: InputError.self) { try rendered("\n{% if true %}\(construct){% endif %}") }
    #expect(error?.location == "test, line 2")
  }

  @Test func branchesOfAnExpressionAreNotReachedEither() throws {
    #expect(try rendered("{{ (x|from_json) if false else 'a' }}{{ 'b' if true else x is nice }}") == "ab")
    #expect(try rendered("{{ [1 if true else (x|nope), 2] }}{{ f(x|nope) if false }}") == "[1, 2]")
    #expect(
      try rendered("{% print 1, 'a' %}{{ 'x' is filter }}{{ 'upper' is filter }}{{ 'odd' is test }}")
        == "1aFalseTrueTrue")
    #expect(
      try rendered("{{ []|map('nope')|list }}{{ [1,2][0,1] }}{% for x in [1] recursive %}{{ x }}{% endfor %}") == "[]1")
  }

  /// Jinja2 looks names up when it compiles, but right inside of an `if`; and it knows every tag.
  @Test(arguments: [
    "{{ x|nope }}", "{% for a in [] %}{{ a|nope }}{% endfor %}", "{% macro m() %}{{ x is nope }}{% endmacro %}",
    "{% if false %}{% for a in x %}{{ a|nope }}{% endfor %}{% endif %}",
    "{% if false %}{% for a in x if a|nope %}{% endfor %}{% endif %}",
    "{% if false %}{% set a %}{{ x|nope }}{% endset %}{% endif %}",
    "{% if false %}{% filter nope %}{% endfilter %}{% endif %}",
    "{% if false %}{% macro m(a=x|nope) %}{% endmacro %}{% endif %}", "{{ (1 if 2 else 3)|nope }}",
    "{% if false %}{% with %}{{ x|nope }}{% endwith %}{% endif %}", "{{ (1 if 2 else 3) + x|nope }}",
    "{% if false %}{% generation %}{{ x|nope }}{% endgeneration %}{% endif %}", "{% if false %}{% do x %}{% endif %}",
    "{% if false %}{% trans %}{% endtrans %}{% endif %}", "{% if false %}{% include %}{% endif %}",
    "{% if false %}{% import 'x' %}{% endif %}", "{% if false %}{{ x[1:2, 3] }}{% endif %}",
  ])
  func whatJinja2RefusesWhenItCompilesIsRefusedUnread(_ template: String) {
    #expect(throws: InputError.self) { try Template(parsing: template, source: "test") }
  }
}
