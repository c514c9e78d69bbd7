// The syntax tree of a template: what the parser builds and the interpreter walks.
//
// The tree is never deeper than `TemplateExpression.deepest` and the parser's nesting limit together: both walking it and
// freeing it recurse.

/// An expression and where it stands.
struct TemplateExpression: Sendable {
  let form: Form
  let line: Int
  /// Levels of expressions below and including this one.
  let depth: Int

  static let deepest = 200

  indirect enum Form: Sendable {
    case constant(TemplateValue)
    case name(String)
    case list([TemplateExpression])
    case tuple([TemplateExpression])
    case dictionary([(key: TemplateExpression, value: TemplateExpression)])
    case attribute(TemplateExpression, String)
    case item(TemplateExpression, TemplateExpression)
    case slice(TemplateExpression, TemplateSlice)
    case call(TemplateExpression, TemplateArguments)
    /// A filter's value is `nil` at the head of `{% filter %}` and `{% set x | … %}`: the block's text.
    case filter(TemplateExpression, String, TemplateArguments)
    case test(TemplateExpression, String, TemplateArguments, negated: Bool)
    case not(TemplateExpression)
    case sign(TemplateExpression, negative: Bool)
    case arithmetic(TemplateOperator, TemplateExpression, TemplateExpression)
    case concatenation([TemplateExpression])
    case comparison(TemplateExpression, [(TemplateComparison, TemplateExpression)])
    case and(TemplateExpression, TemplateExpression)
    case or(TemplateExpression, TemplateExpression)
    case conditional(if: TemplateExpression, then: TemplateExpression, else: TemplateExpression?)
    /// The text that a block with filters has produced.
    case captured
    /// Fails when it is reached.
    case unsupported(String)
  }
}

struct TemplateSlice: Sendable {
  var start: TemplateExpression?
  var stop: TemplateExpression?
  var step: TemplateExpression?
}

enum TemplateOperator: String, Sendable {
  case add = "+", subtract = "-", multiply = "*", divide = "/", floorDivide = "//", remainder = "%", power = "**"
}

enum TemplateComparison: String, Sendable {
  case equal = "==", notEqual = "!=", less = "<", lessOrEqual = "<=", greater = ">", greaterOrEqual = ">="
  case contained = "in", notContained = "not in"
}

/// The arguments of a call as they are written.
struct TemplateArguments: Sendable {
  var positional: [TemplateExpression] = []
  var named: [(name: String, value: TemplateExpression)] = []
  /// `*list`.
  var spread: TemplateExpression?
  /// `**dictionary`.
  var namedSpread: TemplateExpression?

  var depth: Int {
    let written = (positional + named.map(\.value)).lazy.map(\.depth).max() ?? 0
    return max(written, spread?.depth ?? 0, namedSpread?.depth ?? 0)
  }
}

/// What an assignment or a loop binds.
indirect enum TemplateTarget: Sendable {
  case name(String)
  case member(namespace: String, String)
  case tuple([TemplateTarget])
}

/// A macro, or the body of a `{% call %}`.
struct TemplateMacro: Sendable {
  let name: String
  let parameters: [(name: String, fallback: TemplateExpression?)]
  let body: [TemplateStatement]
}

struct TemplateLoop: Sendable {
  let target: TemplateTarget
  let sequence: TemplateExpression
  let condition: TemplateExpression?
  let body: [TemplateStatement]
  let otherwise: [TemplateStatement]
}

struct TemplateStatement: Sendable {
  let form: Form
  let line: Int

  indirect enum Form: Sendable {
    case text(String)
    case output(TemplateExpression)
    case branch([(condition: TemplateExpression, body: [TemplateStatement])], otherwise: [TemplateStatement])
    case loop(TemplateLoop)
    case assign(TemplateTarget, TemplateExpression)
    /// `{% set x %}…{% endset %}`; the expression wraps filters around `captured`.
    case capture(TemplateTarget, TemplateExpression, [TemplateStatement])
    case macro(TemplateMacro)
    case call(TemplateExpression, TemplateArguments, TemplateMacro)
    case filter(TemplateExpression, [TemplateStatement])
    case with([(TemplateTarget, TemplateExpression)], [TemplateStatement])
    /// `{% generation %}` marks the assistant's tokens for training; here it only opens a scope.
    case scoped([TemplateStatement])
    case leave
    case next
    /// Fails when it is reached.
    case unsupported(String)
  }
}
