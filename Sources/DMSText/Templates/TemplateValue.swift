// The values of the template language: Python's, as far as templates see them. Everything is a plain value; what has an
// identity (a namespace, a macro) is a number that the interpreter resolves, so that no value can hold itself.

enum TemplateValue: Sendable {
  /// Holds the name by which it was asked for, for the error that its use may raise.
  case undefined(String)
  case none
  case bool(Bool)
  case integer(Int)
  case float(Double)
  /// Python's `str`, or markupsafe's `Markup`, which escapes what is added to it.
  case string(String, isMarkup: Bool = false)
  case list(TemplateList)
  case tuple(TemplateList)
  case dictionary(TemplateDictionary)
  case namespace(Int)
  case function(TemplateFunction)
  case loop(TemplateLoopState)

  /// Values nested deeper are refused, because printing, comparing and freeing them recurse.
  static let deepest = 300

  static func list(of elements: [TemplateValue]) -> TemplateValue { .list(TemplateList(elements)) }
  static func tuple(of elements: [TemplateValue]) -> TemplateValue { .tuple(TemplateList(elements)) }
  static func strings(_ texts: some Sequence<String>) -> TemplateValue { .list(of: texts.map { .string($0) }) }

  /// The value of a JSON value. JSON that was parsed is 256 levels deep at most; what lies deeper becomes undefined.
  init(_ json: JSON, depth: Int = 0) {
    guard depth < Self.deepest - 1 else {
      self = .undefined("a value nested too deeply")
      return
    }
    switch json {
    case .null: self = .none
    case .bool(let value): self = .bool(value)
    case .integer(let value): self = .integer(value)
    case .number(let value): self = .float(value)
    case .string(let value): self = .string(value)
    case .array(let values): self = .list(of: values.map { TemplateValue($0, depth: depth + 1) })
    case .object(let object):
      var dictionary = TemplateDictionary()
      for (key, value) in object.members { dictionary[.string(key)] = TemplateValue(value, depth: depth + 1) }
      self = .dictionary(dictionary)
    }
  }

  /// Levels of containers.
  var depth: Int {
    switch self {
    case .list(let list), .tuple(let list): list.depth
    case .dictionary(let dictionary): dictionary.depth
    case .loop(let loop): loop.items.depth + 1
    default: 0
    }
  }

  /// Python's truth of a value.
  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .integer(let value): value != 0
    case .float(let value): value != 0
    case .string(let value, _): !value.isEmpty
    case .list(let list), .tuple(let list): !list.elements.isEmpty
    case .dictionary(let dictionary): !dictionary.keys.isEmpty
    case .namespace, .function, .loop: true
    }
  }

  /// What errors call a value of this kind.
  var kind: String {
    switch self {
    case .undefined: "an undefined value"
    case .none: "none"
    case .bool: "a boolean"
    case .integer: "an integer"
    case .float: "a number"
    case .string: "a string"
    case .list: "a list"
    case .tuple: "a tuple"
    case .dictionary: "a dictionary"
    case .namespace: "a namespace"
    case .function: "a function"
    case .loop: "the loop"
    }
  }

  /// An integer; booleans count as 0 and 1, as in Python.
  var asInteger: Int? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .integer(let value): value
    default: nil
    }
  }

  /// A number of any kind.
  var asDouble: Double? {
    if case .float(let value) = self { value } else { asInteger.map(Double.init) }
  }

  var isMarkup: Bool { if case .string(_, true) = self { true } else { false } }

  var asString: String? { if case .string(let value, _) = self { value } else { nil } }
}

/// A sequence that knows how deep its values nest.
struct TemplateList: Sendable {
  let elements: [TemplateValue]
  let depth: Int

  init(_ elements: [TemplateValue]) {
    self.elements = elements
    depth = 1 + (elements.lazy.map(\.depth).max() ?? 0)
  }
}

/// A dictionary that keeps its order.
struct TemplateDictionary: Sendable {
  private(set) var keys: [TemplateKey] = []
  private var values: [TemplateKey: TemplateValue] = [:]
  /// Never falls: an upper bound is enough.
  private(set) var depth = 1

  subscript(key: TemplateKey) -> TemplateValue? {
    get { values[key] }
    set {
      guard let newValue else { return }
      if values.updateValue(newValue, forKey: key) == nil { keys.append(key) }
      depth = max(depth, newValue.depth + 1)
    }
  }

  subscript(key: String) -> TemplateValue? { values[.string(key)] }

  var members: some Sequence<(key: TemplateKey, value: TemplateValue)> {
    keys.lazy.map { (key: $0, value: values[$0] ?? .none) }
  }
}

/// A key. Text is the same when its code points are.
enum TemplateKey: Hashable, Sendable {
  case none
  case bool(Bool)
  case integer(Int)
  case string(String)

  init?(_ value: TemplateValue) {
    switch value {
    case .none: self = .none
    case .bool(let value): self = .bool(value)
    case .integer(let value): self = .integer(value)
    case .string(let value, _): self = .string(value)
    default: return nil
    }
  }

  var value: TemplateValue {
    switch self {
    case .none: .none
    case .bool(let value): .bool(value)
    case .integer(let value): .integer(value)
    case .string(let value): .string(value)
    }
  }

  static func == (left: TemplateKey, right: TemplateKey) -> Bool {
    switch (left, right) {
    case (.none, .none): true
    case (.string(let left), .string(let right)): left.isIdentical(to: right)
    default: left.number != nil && left.number == right.number
    }
  }

  /// Python's `True` and `1` are one key.
  private var number: Int? { value.asInteger }

  func hash(into hasher: inout Hasher) {
    switch self {
    case .none, .bool, .integer: hasher.combine(number)
    case .string(let value): hasher.combine(ExactText(value))
    }
  }
}

enum TemplateFunction: Sendable {
  /// One of the functions that the language offers, by name.
  case named(String)
  /// A macro or the body of a call block, by its number in the interpreter.
  case macro(Int)
  /// A method that is looked at and not called.
  case method(String)
}

/// `loop` inside a loop's body.
struct TemplateLoopState: Sendable {
  let items: TemplateList
  let index: Int
  /// Loops around this one, within the same macro.
  let level: Int
}
