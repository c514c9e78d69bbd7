// Filters over sequences: those that take an attribute, a test or another filter for each item. Where Jinja2 gives a
// generator, these give a list: it prints as one and an empty one is false.

extension TemplateInterpreter {
  func sequenceFilter(_ name: String, _ value: TemplateValue, _ arguments: TemplateCall) throws -> TemplateValue {
    var arguments = arguments
    let result: TemplateValue
    switch name {
    case "select", "reject", "selectattr", "rejectattr": return try selection(name, value, arguments)
    case "map": return try mapped(value, arguments)
    case "items":
      switch value {
      case .undefined: result = .list(of: [])
      case .dictionary(let dictionary): result = Self.items(of: dictionary)
      default: throw fail("\(value.kind) has no items")
      }
    case "join":
      let separator = try text(of: arguments.next("d") ?? .string(""))
      let path = arguments.next("attribute")
      var texts: [String] = []
      for item in try elements(of: value) {
        let text = try text(of: path.map { try attribute(at: $0, of: item) } ?? item)
        try spend(text.utf8.count + separator.utf8.count)
        texts.append(text)
      }
      result = .string(texts.joinedText(by: separator))
    case "sum":
      let path = arguments.next("attribute")
      var total = arguments.next("start") ?? .integer(0)
      for item in try elements(of: value) {
        total = try bounded(arithmetic(.add, total, path.map { try attribute(at: $0, of: item) } ?? item))
      }
      result = total
    case "dictsort": result = try dictionarySorted(value, &arguments)
    case "sort":
      let reversed = arguments.next("reverse")?.isTrue ?? false
      let keepsCase = arguments.next("case_sensitive")?.isTrue ?? false
      let path = arguments.next("attribute")
      let keyed = try elements(of: value).map { (key: try sortKey($0, path, keepsCase), value: $0) }
      result = .list(of: try sorted(keyed, reversed: reversed))
    case "max", "min": result = try extreme(of: value, largest: name == "max", &arguments)
    case "unique": result = .list(of: try unique(value, &arguments))
    default: throw unsupported("the filter \"\(name)\"")
    }
    try finish(arguments, of: "the filter \"\(name)\"")
    return result
  }

  private func extreme(
    of value: TemplateValue, largest: Bool, _ arguments: inout TemplateCall
  ) throws -> TemplateValue {
    let keepsCase = arguments.next("case_sensitive")?.isTrue ?? false
    let path = arguments.next("attribute")
    var best: (key: TemplateValue, value: TemplateValue)?
    for item in try elements(of: value) {
      let key = try sortKey(item, path, keepsCase)
      // The first of equals stays.
      if let found = best, !(try largest ? precedes(found.key, key) : precedes(key, found.key)) { continue }
      best = (key, item)
    }
    return best?.value ?? .undefined("an item of nothing")
  }

  private func unique(_ value: TemplateValue, _ arguments: inout TemplateCall) throws -> [TemplateValue] {
    let keepsCase = arguments.next("case_sensitive")?.isTrue ?? false
    let path = arguments.next("attribute")
    var seen: [TemplateValue] = []
    return try elements(of: value).filter { item in
      let key = try sortKey(item, path, keepsCase)
      if try seen.contains(where: { try areEqual($0, key) }) { return false }
      seen.append(key)
      return true
    }
  }

  static func items(of dictionary: TemplateDictionary) -> TemplateValue {
    .list(of: dictionary.members.map { .tuple(of: [$0.key.value, $0.value]) })
  }

  /// What an item is sorted by: an attribute or itself, in small letters unless case matters.
  private func sortKey(_ item: TemplateValue, _ path: TemplateValue?, _ keepsCase: Bool) throws -> TemplateValue {
    let key = try path.map { try attribute(at: $0, of: item) } ?? item
    guard !keepsCase, case .string(let text, _) = key else { return key }
    try spend(text.utf8.count)
    return .string(text.lowercased())
  }

  private func dictionarySorted(_ value: TemplateValue, _ arguments: inout TemplateCall) throws -> TemplateValue {
    let keepsCase = arguments.next("case_sensitive")?.isTrue ?? false
    let by = try optionalText(arguments.next("by"), "by") ?? "key"
    let reversed = arguments.next("reverse")?.isTrue ?? false
    guard case .dictionary(let dictionary) = value else { throw fail("dictsort sorts dictionaries, not \(value.kind)") }
    guard by == "key" || by == "value" else { throw fail("dictsort sorts by \"key\" or \"value\"") }
    let keyed = try dictionary.members.map { member in
      (
        key: try sortKey(by == "key" ? member.key.value : member.value, nil, keepsCase),
        value: TemplateValue.tuple(of: [member.key.value, member.value])
      )
    }
    return .list(of: try sorted(keyed, reversed: reversed))
  }

  /// Follows a path such as `function.name` or `0.role`; none is the item itself.
  func attribute(at path: TemplateValue, of item: TemplateValue) throws -> TemplateValue {
    switch path {
    case .none: return item
    case .integer: return try self.item(path, of: item)
    case .string(let path, _):
      guard !path.utf8.contains(UInt8(ascii: ",")) else { throw fail("several attributes at once are not supported") }
      var value = item
      for part in path.parts(separatedBy: ".", limit: -1) {
        value = try self.item(Int(part).map { .integer($0) } ?? .string(part), of: value)
      }
      return value
    default: throw fail("an attribute is a name, not \(path.kind)")
    }
  }

  private func mapped(_ value: TemplateValue, _ arguments: TemplateCall) throws -> TemplateValue {
    var arguments = arguments
    // Whatever is false counts as no items, such as the null of a message without tool calls.
    guard value.isTrue else { return .list(of: []) }
    let items = try elements(of: value)
    // The first argument in place is a filter's name; an attribute is always named.
    guard arguments.positional.isEmpty else {
      guard case .string(let name, _)? = arguments.positional.popFirst() else {
        throw fail("map needs a filter's name")
      }
      guard Self.filters.contains(name) else { throw unsupported("the filter \"\(name)\"") }
      return .list(
        of: try nested {
          try items.map { item in
            try spend(Self.elementCost)
            return try bounded(filter(name, item, arguments))
          }
        })
    }
    guard let path = arguments.next("attribute") else { throw fail("map needs a filter or an attribute") }
    let fallback = arguments.next("default")
    try finish(arguments, of: "the filter \"map\"")
    return .list(
      of: try items.map { item in
        let found = try attribute(at: path, of: item)
        if case .undefined = found, let fallback { return fallback }
        return found
      })
  }

  private func selection(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateCall
  ) throws -> TemplateValue {
    guard value.isTrue else { return .list(of: []) }
    var arguments = arguments
    var path: TemplateValue?
    if name.hasSuffix("attr") {
      path = arguments.next("attr")
      guard path != nil else { throw fail("\(name) needs an attribute") }
    }
    let test = try optionalText(arguments.positional.popFirst(), "test")
    if let test, !Self.tests.contains(test) { throw unsupported("the test \"\(test)\"") }
    if test == nil { try finish(arguments, of: "the filter \"\(name)\"") }
    let keeps = name.hasPrefix("select")
    return .list(
      of: try elements(of: value).filter { item in
        try spend(Self.elementCost)
        let subject = try path.map { try attribute(at: $0, of: item) } ?? item
        return try (test.map { try self.test($0, subject, arguments) } ?? subject.isTrue) == keeps
      })
  }
}
