// Answers that mean the same and answers that do not: the verdicts are math-verify 0.9's, which `.ci/math-agreement` asks on many
// more; where ours is another, the remark says why.

import Testing

@testable import DMSEvaluation

struct MathEqualityTests {
  @Test(arguments: [
    // Numbers.
    ("5", "5.0"), ("0.5", ".5"), ("-0.5", "-\\frac{1}{2}"), ("\\frac12", "\\frac{2}{4}"),
    ("\\frac{1}{2}", "1/2"),
    ("\\frac43", "\\dfrac{4}{3}"), ("2\\frac{1}{2}", "2.5"), ("3\\frac{1}{4}", "\\frac{13}{4}"),
    ("0.333333", "\\frac13"),
    ("1000", "1,000"), ("1000", "1{,}000"), ("1000", "1,\\!000"), ("1234567", "1,234,567"), ("2 \\times 10^3", "2000"),
    ("2^10", "1024"), ("2^{10}", "1024"), ("10^{20}", "100000000000000000000"), ("5!", "120"), ("\\binom{5}{2}", "10"),
    ("|-3|", "3"), ("\\lfloor 2.5\\rfloor", "2"), ("3:2", "\\frac32"), ("0", "-0"), ("40_9", "40_{9}"),
    ("2516_8", "2516"),
    // Percent and units.
    ("10\\%", "10"), ("10\\%", "0.1"), ("50\\%", "\\frac12"), ("25", "25\\%"), ("90^\\circ", "90"), ("\\$5", "5"),
    ("5\\text{ cm}", "5"), ("5 \\text{ cm}^2", "5"), ("5", "5\\,\\mathrm{m}"), ("5", "\\mathbf{5}"),
    ("144", "144 \\text{ degrees}"), ("5", "\\boxed{5}"),
    // Roots, π, functions.
    ("\\sqrt{12}", "2\\sqrt3"), ("\\sqrt[3]{8}", "2"), ("\\frac{\\sqrt{2}}{2}", "\\frac{1}{\\sqrt2}"),
    ("\\pi", "3.14159265"), ("-\\frac{\\pi}{6}", "\\frac{-\\pi}{6}"), ("\\log_2 8", "3"), ("\\ln e", "1"),
    ("\\sin \\frac{\\pi}{6}", "\\frac12"), ("11\\sqrt2", "\\sqrt{2} \\cdot 11"),
    // Letters.
    ("6-5i", "-5i+6"), ("x^2-1", "(x-1)(x+1)"), ("x^{10}", "x^10"), ("\\frac{x+1}{2}", "0.5x+0.5"),
    ("\\cot x", "\\frac{\\cos x}{\\sin x}"), ("2k+2", "2(k+1)"), ("\\theta", "\\theta"),
    // Equations, inequalities, intervals.
    ("x=5", "5"), ("5", "x = 5"), ("y=2x+1", "2x+1"), ("2x+y=1", "4x+2y=2"), ("2x+y=1", "1=2x+y"), ("f(x)=x^2", "x^2"),
    ("x>3", "3<x"), ("x>3", "(3,\\infty)"), ("2<x<5", "(2,5)"), ("a\\le 3", "3\\ge a"), ("x \\in (3,4]", "(3,4]"),
    ("(-\\infty,2)\\cup(3,\\infty)", "(3,\\infty)\\cup(-\\infty,2)"),
    // Lists, sets, tuples, matrices.
    ("1,2", "2,1"), ("1,2", "(1,2)"), ("(1,2)", "\\{1,2\\}"), ("\\{1,2\\}", "2,1"), ("1,2", "1,2,2"),
    ("1 \\text{ and } 2", "1,2"),
    ("1\\pm\\sqrt{19}", "1+\\sqrt{19},1-\\sqrt{19}"), ("\\left( 3, \\frac{\\pi}{2} \\right)", "(3,\\pi/2)"),
    ("\\emptyset", "\\{\\}"), ("x=1 \\text{ or } x=2", "1,2"),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{bmatrix}1\\\\2\\end{bmatrix}"),
    ("\\begin{pmatrix} -1/3 \\\\ 2/3 \\end{pmatrix}", "\\begin{pmatrix}-\\frac{1}{3}\\\\\\frac{2}{3}\\end{pmatrix}"),
    // Words.
    ("\\text{Evelyn}", "evelyn"), ("\\text{Evelyn}", "Evelyn"),
    ("\\text{odd}, \\text{even}", "\\text{even},\\text{odd}"), ("\\text{(C)}", "C"), ("C", "\\text{(C)}"),
    // math-verify takes i for a letter, and is put off by the end of a sentence.
    ("7", "7."),
    ("i^2", "-1"), ("e^{i\\pi}", "-1"),
  ])
  func theyMeanTheSame(reference: String, answer: String) {
    #expect(MathEquality.areEqual(reference, answer))
    #expect(MathEquality.areEqual(answer, reference))
  }

  @Test(arguments: [
    ("5", "6"), ("5", "-5"), ("9", "9.000001"), ("9", "9.01"), ("0.3333", "\\frac13"), ("\\pi", "3.14"),
    ("2\\frac12", "1"),
    ("\\frac{3}{56}", "0.05"), ("\\frac{3}{4}", "\\frac{4}{3}"), ("123456789012345678901", "123456789012345678902"),
    ("(1,2)", "(2,1)"), ("[1,2]", "(1,2)"), ("(3,4]", "(3,4)"), ("1,2", "1"), ("3, 5, 7", "3, 5"), ("1,2,2", "1,3,3"),
    ("p-q", "q-p"), ("p-q", "x-y"), ("x^2", "x^3"), ("a_1", "a_2"), ("x>3", "x<3"), ("x>3", "x\\ge 3"),
    ("2<x<5", "[2,5)"),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "(1,2)"),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix}1&2\\end{pmatrix}"),
    ("\\infty", "-\\infty"), ("\\text{east}", "\\text{north}"), ("\\text{no solution}", "\\text{none}"), ("5", ""),
    ("5", "{"),
    ("12345678", "1.2345678e7"), ("\\overline{AB}", "AB"), ("y=2x+1", "y=2x+2"), ("1\\pm\\sqrt{19}", "1+\\sqrt{19}"),
    // math-verify reads the base's first digit only.
    ("52_8", "52_{80}"),
  ])
  func theyDoNot(reference: String, answer: String) {
    #expect(!MathEquality.areEqual(reference, answer))
    #expect(!MathEquality.areEqual(answer, reference))
  }

  /// Nothing that a model writes takes long, or too deep a stack.
  @Test(arguments: [
    "(", "{", "\\frac{", "\\sqrt", "-", "x^", "1,", "\\begin{pmatrix}", "|", "!", "\\left(", "\\text{", "1+",
  ])
  func whateverIsWrittenIsJudged(piece: String) {
    for count in [1, 10, 100, 1000, 100_000] {
      let text = String(repeating: piece, count: count)
      #expect(!MathEquality.areEqual("17", text))
      #expect(!MathEquality.areEqual("17", text + "1"))
    }
  }

  @Test(arguments: ["\\{", "(", "{", "\\sqrt{", "1,\\{", "(1,", "\\frac{1}{"])
  func deepAnswersAreJudged(opening: String) {
    for depth in [5, 50, 500] {
      let closing = opening.hasSuffix("\\{") ? "\\}" : opening.contains("(") ? ")" : "}"
      let text = String(repeating: opening, count: depth) + "7" + String(repeating: closing, count: depth)
      #expect(MathEquality.areEqual(text, text))
      #expect(!MathEquality.areEqual(text, text.replacing("7", with: "8")))
    }
  }

  @Test(arguments: [
    ("so \\boxed{\\frac{1}{2}} and \\boxed{3}.", "3"), ("\\boxed{\\frac{1}{\\sqrt{2}}}", "\\frac{1}{\\sqrt{2}}"),
    ("\\boxed 7 and", "7"), ("\\boxed{a", nil), ("none", nil), ("\\fbox{\\text{A}}", "\\text{A}"),
    ("\\boxed{1} then \\boxed{", "1"), ("\\boxed{\\{1,2\\}}", "\\{1,2\\}"),
  ])
  func theLastBoxCounts(text: String, inside: String?) { #expect(AnswerText.boxed(text) == inside) }

  @Test func anAnswerIsTakenFromABoxAFormulaOrANumberAfterTheReasoning() {
    let task = MathTask(name: "math500", path: "")
    #expect(task.answer(in: "<think>\\boxed{1}</think> It is \\boxed{2}.") == "2")
    #expect(task.answer(in: "<think>\\boxed{1}") == nil)
    #expect(task.answer(in: "Thus $x = 3$ holds, not 4.") == "x = 3")
    #expect(task.answer(in: "That makes 1,204.") == "1204")
    #expect(task.answer(in: "I do not know.") == nil)
    #expect(task.share(right: "x=\\frac{6}{2}", references: ["3"]) == 1)
  }
}
