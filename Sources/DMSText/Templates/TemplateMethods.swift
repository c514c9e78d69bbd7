// Python's methods of strings, dictionaries and lists, as far as they leave their object alone.

extension TemplateInterpreter {
  static let dictionaryMethods: Set<String> = [
    "clear", "copy", "fromkeys", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values",
  ]

  static let stringMethods: Set<String> = [
    "capitalize", "count", "endswith", "find", "index", "isalnum", "isalpha", "isdigit", "islower", "isspace",
    "isupper",
    "join", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind", "rsplit", "rstrip",
    "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper", "format", "zfill",
  ]

  /// `nil` if the object has no such method.
  func method(_ name: String, of owner: TemplateValue, _ arguments: TemplateCall) throws -> TemplateValue? {
    switch owner {
    case .string(let text, let isMarkup) where Self.stringMethods.contains(name):
      try spend(text.utf8.count)
      return try stringMethod(name, text, isMarkup, arguments)
    case .dictionary(let dictionary) where Self.dictionaryMethods.contains(name):
      return try dictionaryMethod(name, dictionary, arguments)
    case .list(let list), .tuple(let list): return try listMethod(name, list, arguments)
    case .loop(let loop) where name == "cycle":
      let values = arguments.positional
      guard !values.isEmpty, arguments.named.isEmpty else { throw fail("loop.cycle needs values") }
      return values[values.startIndex + loop.index % values.count]
    case .loop where name == "changed": throw fail("loop.changed is not supported")
    default: return nil
    }
  }

  private func dictionaryMethod(
    _ name: String, _ dictionary: TemplateDictionary, _ arguments: TemplateCall
  ) throws -> TemplateValue {
    var arguments = arguments
    let result: TemplateValue
    switch name {
    case "items": result = Self.items(of: dictionary)
    case "keys": result = .list(of: dictionary.keys.map(\.value))
    case "values": result = .list(of: dictionary.members.map(\.value))
    case "copy": result = .dictionary(dictionary)
    case "get":
      let key = arguments.next("key") ?? .undefined("key")
      let fallback = arguments.next("default") ?? .none
      result = TemplateKey(key).flatMap { dictionary[$0] } ?? fallback
    default: throw fail("the method \"\(name)\" changes its object and is not supported")
    }
    try finish(arguments, of: "the method \"\(name)\"")
    return result
  }

  private func listMethod(
    _ name: String, _ list: TemplateList, _ arguments: TemplateCall
  ) throws -> TemplateValue? {
    switch name {
    case "count", "index":
      guard let item = arguments.positional.first, arguments.positional.count == 1, arguments.named.isEmpty else {
        throw fail("the method \"\(name)\" needs one argument")
      }
      if name == "count" { return .integer(try list.elements.count { try areEqual($0, item) }) }
      guard let index = try list.elements.firstIndex(where: { try areEqual($0, item) }) else {
        throw fail("the list does not contain what \"index\" looks for")
      }
      return .integer(index)
    case "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort":
      throw fail("the method \"\(name)\" changes its object and is not supported")
    default: return nil
    }
  }

  /// The strings that methods of markup give are markup, too, and what they put into it is escaped.
  private func stringMethod(
    _ name: String, _ text: String, _ isMarkup: Bool, _ arguments: TemplateCall
  ) throws -> TemplateValue {
    var arguments = arguments
    func string(_ text: String) -> TemplateValue { .string(text, isMarkup: isMarkup) }
    let result: TemplateValue
    switch name {
    case "capitalize": result = string(text.capitalizedText)
    case "lower": result = string(text.lowercased())
    case "upper": result = string(text.uppercased())
    case "title": result = string(text.titledText)
    case "strip", "lstrip", "rstrip":
      let side: String.Side = name == "strip" ? .both : name == "lstrip" ? .left : .right
      result = string(text.trimmed(side, of: try optionalText(arguments.next("chars"), "chars")))
    case "split", "rsplit", "splitlines", "partition": result = try split(name, text, isMarkup, &arguments)
    case "replace":
      let old = try requiredText(arguments.next("old"), "old")
      let new = arguments.next("new")
      let replacement = isMarkup ? try escaped(new ?? .undefined("new")) : try requiredText(new, "new")
      result = string(try replacing(old, with: replacement, limit: arguments.next("count"), in: text))
    case "startswith", "endswith": result = .bool(try hasAffix(name, text, &arguments))
    case "removeprefix":
      let prefix = try requiredText(arguments.next("prefix"), "prefix")
      result = string(
        text.begins(with: prefix) ? String(decoding: text.utf8.dropFirst(prefix.utf8.count), as: UTF8.self) : text)
    case "removesuffix":
      let suffix = try requiredText(arguments.next("suffix"), "suffix")
      result = string(
        text.ends(with: suffix) ? String(decoding: text.utf8.dropLast(suffix.utf8.count), as: UTF8.self) : text)
    case "find", "rfind", "index", "count": result = try occurrences(name, text, &arguments)
    case "join":
      var texts: [String] = []
      for item in try elements(of: arguments.next("iterable") ?? .undefined("the list")) {
        guard isMarkup || item.asString != nil else { throw fail("join joins strings, not \(item.kind)") }
        let part = isMarkup ? try escaped(item) : item.asString ?? ""
        try spend(part.utf8.count + text.utf8.count)
        texts.append(part)
      }
      result = string(texts.joinedText(by: text))
    case "isalnum", "isalpha", "isdigit", "isspace", "islower", "isupper": result = .bool(Self.isOf(name, text))
    default: throw fail("the method \"\(name)\" is not supported")
    }
    try finish(arguments, of: "the method \"\(name)\"")
    return result
  }

  private func split(
    _ name: String, _ text: String, _ isMarkup: Bool, _ arguments: inout TemplateCall
  ) throws -> TemplateValue {
    func strings(_ texts: [String]) -> [TemplateValue] { texts.map { .string($0, isMarkup: isMarkup) } }
    if name == "splitlines" { return .list(of: strings(text.lines())) }
    let separator = try optionalText(arguments.next("sep"), "sep")
    if separator?.isEmpty == true { throw fail("\(name) needs a separator that is not empty") }
    if name == "partition" {
      let parts = text.parts(separatedBy: try requiredText(separator.map { .string($0) }, "sep"), limit: 1)
      let found = parts.count == 2
      return .tuple(of: strings([parts[0], found ? separator ?? "" : "", found ? parts[1] : ""]))
    }
    let limit = try optionalInteger(arguments.next("maxsplit"), "maxsplit") ?? -1
    let fromRight = name == "rsplit"
    return .list(
      of: strings(
        separator.map { text.parts(separatedBy: $0, limit: limit, fromRight: fromRight) }
          ?? text.words(limit: limit, fromRight: fromRight)))
  }

  private func hasAffix(_ name: String, _ text: String, _ arguments: inout TemplateCall) throws -> Bool {
    let affix = arguments.next("prefix") ?? .undefined("the text")
    let choices: [TemplateValue] = if case .tuple(let list) = affix { list.elements } else { [affix] }
    return try choices.contains { choice in
      guard case .string(let choice, _) = choice else {
        throw fail("\(name) looks for a string, not for \(choice.kind)")
      }
      return name == "startswith" ? text.begins(with: choice) : text.ends(with: choice)
    }
  }

  private func occurrences(_ name: String, _ text: String, _ arguments: inout TemplateCall) throws -> TemplateValue {
    let part = try requiredText(arguments.next("sub"), "sub")
    let length = text.unicodeScalars.count
    if name == "count" { return .integer(part.isEmpty ? length + 1 : text.ranges(of: part).count) }
    let place: Int? =
      if part.isEmpty {
        name == "rfind" ? length : 0
      } else {
        (name == "rfind" ? text.lastRange(of: part) : text.ranges(of: part).first)
          .map { text.unicodeScalars.distance(from: text.startIndex, to: $0.lowerBound) }
      }
    if place == nil, name == "index" { throw fail("the string does not contain what \"index\" looks for") }
    return .integer(place ?? -1)
  }

  private static func isOf(_ name: String, _ text: String) -> Bool {
    let scalars = text.unicodeScalars
    switch name {
    case "islower": return text.isLowerText
    case "isupper": return text.isUpperText
    default: break
    }
    return !scalars.isEmpty
      && scalars.allSatisfy { scalar in
        switch (name, scalar.properties.generalCategory) {
        case ("isspace", _): scalar.isTemplateSpace
        case ("isdigit", _): scalar.properties.numericType == .decimal || scalar.properties.numericType == .digit
        case (_, .uppercaseLetter), (_, .lowercaseLetter), (_, .titlecaseLetter), (_, .modifierLetter),
          (_, .otherLetter):
          true
        default: name == "isalnum" && scalar.properties.numericType != nil
        }
      }
  }
}

extension String {
  fileprivate func begins(with prefix: String) -> Bool { utf8.starts(with: prefix.utf8) }
  fileprivate func ends(with suffix: String) -> Bool { utf8.reversed().starts(with: suffix.utf8.reversed()) }
}
