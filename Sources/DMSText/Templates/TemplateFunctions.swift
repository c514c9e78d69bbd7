// The functions that the language offers: Jinja2's and those that transformers adds.

import DMSPlatform
import Glibc

extension TemplateInterpreter {
  static let functions: Set<String> = ["dict", "namespace", "raise_exception", "range", "strftime_now"]
  /// The bound of Jinja2's sandbox.
  private static let longestRange = 100_000

  func callFunction(_ name: String, _ arguments: TemplateCall) throws -> TemplateValue {
    var arguments = arguments
    let result: TemplateValue
    switch name {
    case "range": result = try range(&arguments)
    case "namespace":
      let members = try members(&arguments)
      var namespace: [String: TemplateValue] = [:]
      for (key, value) in members.members {
        guard case .string(let name) = key else { throw fail("a namespace's members have names") }
        try checkMember(name)
        namespace[name] = value
      }
      try spend(Self.definitionCost + 4 * Self.elementCost * namespace.count)
      namespaces.append(namespace)
      result = .namespace(namespaces.count - 1)
    case "dict": result = .dictionary(try members(&arguments))
    case "raise_exception":
      let message = try text(of: arguments.next("message") ?? .string("no reason given"))
      throw InputError(
        "the chat template refuses the conversation: \(message.lines().joinedText(by: " "))",
        at: "\(source), line \(line)",
        remedy: "change the messages as it asks")
    case "strftime_now":
      result = .string(try formattedTime(try requiredText(arguments.next("format"), "format")))
    default: throw fail("the function \"\(name)\" is not supported")
    }
    try finish(arguments, of: "the function \"\(name)\"")
    return result
  }

  /// transformers keeps templates from names with a special meaning.
  func checkMember(_ name: String) throws {
    guard !name.utf8.starts(with: "_".utf8) else { throw fail("a namespace's member cannot be called \"\(name)\"") }
  }

  private func range(_ arguments: inout TemplateCall) throws -> TemplateValue {
    var bounds: [Int] = []
    while let value = arguments.positional.popFirst() {
      guard let bound = value.asInteger, bounds.count < 3 else { throw fail("range takes one to three integers") }
      bounds.append(bound)
    }
    guard let first = bounds.first else { throw fail("range takes one to three integers") }
    let (start, stop) = bounds.count > 1 ? (first, bounds[1]) : (0, first)
    let step = bounds.count > 2 ? bounds[2] : 1
    guard step != 0 else { throw fail("range cannot have the step 0") }
    var values: [TemplateValue] = []
    var next = start
    while step > 0 ? next < stop : next > stop {
      guard values.count < Self.longestRange else { throw fail("a range of more than \(Self.longestRange) items") }
      values.append(.integer(next))
      let (sum, overflow) = next.addingReportingOverflow(step)
      if overflow { break }
      next = sum
    }
    try spend(values.count * Self.stepCost)
    return .list(of: values)
  }

  /// A dictionary's members from another one, from pairs, and from named arguments.
  private func members(_ arguments: inout TemplateCall) throws -> TemplateDictionary {
    var members = TemplateDictionary()
    if let first = arguments.positional.popFirst() {
      if case .dictionary(let dictionary) = first {
        members = dictionary
      } else {
        for pair in try elements(of: first) {
          let parts = try elements(of: pair)
          guard parts.count == 2, let key = TemplateKey(parts[0]) else { throw fail("a dictionary is made of pairs") }
          members[key] = parts[1]
        }
      }
    }
    for (name, value) in arguments.named { members[.string(name)] = value }
    arguments.named = []
    return members
  }

  /// The local time by `strftime`.
  private func formattedTime(_ format: String) throws -> String {
    var seconds = time ?? Glibc.time(nil)
    var parts = tm()
    guard !format.isEmpty, !format.utf8.contains(0), localtime_r(&seconds, &parts) != nil else { return "" }
    var buffer = [UInt8](repeating: 0, count: 1024)
    let length = buffer.withUnsafeMutableBytes { bytes in
      strftime(bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count, format, &parts)
    }
    guard length > 0 else { throw fail("strftime_now gives no date for \"\(format.prefix(32))\"") }
    return String(decoding: buffer.prefix(length), as: UTF8.self)
  }
}
