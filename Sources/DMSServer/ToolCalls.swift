// Calls of tools in a model's text: between `<tool_call>` and `</tool_call>`, an object with a name and arguments, as the templates
// of Qwen and of Hermes teach it. What is between the tags is never shown as text; what is no call after all is.

import DMSText

/// A call that a model makes.
struct ToolCall: Equatable {
  var id = "call_" + hexadecimal(.random(in: 0...(.max)))
  var name: String
  /// Of a JSON object, as the model wrote it.
  var arguments: String

  /// `nil` for what is no call.
  init?(_ text: String) {
    guard let json = try? JSON(parsing: text), let name = json["name"]?.string else { return nil }
    self.name = name
    switch json["arguments"] ?? json["parameters"] {
    case nil: arguments = "{}"
    case .string(let text): arguments = text
    case let value?: arguments = value.line
    }
  }

  /// An element of `tool_calls`.
  func json(_ index: Int? = nil) -> JSON {
    var object = JSONObject()
    if let index { object["index"] = .integer(index) }
    object["id"] = .string(id)
    object["type"] = "function"
    object["function"] = .object(["name": .string(name), "arguments": .string(arguments)])
    return .object(object)
  }
}

/// Parts text and calls while the text streams in pieces.
struct ToolCallSplitter {
  /// A piece of an answer.
  enum Part: Equatable {
    case text(String)
    case call(ToolCall)
  }

  private var held = ""
  /// Bytes of it that hold no end of a call.
  private var searched = 0
  private var isInside = false
  /// Whether a call has ended: the space between calls and after them is nobody's text.
  private var hasCalled = false
  private static let opening = "<tool_call>"
  private static let closing = "</tool_call>"

  /// The parts that are certain after `text`.
  mutating func append(_ text: String) -> [Part] {
    held += text
    var parts: [Part] = []
    while true {
      let tag = isInside ? Self.closing : Self.opening
      // What was searched before can end with a tag's beginning at most.
      let from = held.utf8.index(held.startIndex, offsetBy: max(0, searched - tag.utf8.count))
      searched = held.utf8.count
      guard let place = held.utf8[from...].firstRange(of: tag.utf8) else { break }
      let before = String(held[..<place.lowerBound])
      held = String(held[place.upperBound...])
      searched = 0
      if isInside { end(before, &parts) } else { emit(before, &parts) }
      isInside.toggle()
    }
    guard !isInside else { return parts }
    // The end may be the beginning of a tag.
    let kept = (0..<Self.opening.count).reversed().first { held.hasSuffix(Self.opening.prefix($0)) } ?? 0
    let shown = String(held.dropLast(kept))
    held = String(held.suffix(kept))
    searched = 0
    emit(shown, &parts)
    return parts
  }

  /// What was held back. A call that was cut is text: it cannot be made.
  mutating func finish() -> [Part] {
    var parts: [Part] = []
    if isInside, let call = ToolCall(held) {
      parts.append(.call(call))
    } else {
      emit((isInside ? Self.opening : "") + held, &parts)
    }
    (held, isInside, searched) = ("", false, 0)
    return parts
  }

  private mutating func end(_ text: String, _ parts: inout [Part]) {
    guard let call = ToolCall(text) else { return emit(Self.opening + text + Self.closing, &parts) }
    hasCalled = true
    parts.append(.call(call))
  }

  private func emit(_ text: String, _ parts: inout [Part]) {
    if text.isEmpty || (hasCalled && text.allSatisfy(\.isWhitespace)) { return }
    if case .text(let earlier)? = parts.last {
      parts[parts.count - 1] = .text(earlier + text)
    } else {
      parts.append(.text(text))
    }
  }
}

extension Fields {
  /// What the model may call; `nil`: nothing.
  mutating func tools() throws -> ToolDescriptions? {
    let list = try array("tools")
    let choice = value("tool_choice")
    switch choice {
    case nil, .string("auto"), .string("none"): break
    default: try refuse("tool_choice", "auto or none: calls cannot be forced")
    }
    guard let list, !list.isEmpty else {
      if case .string("auto")? = choice { try refuse("tool_choice", "left out without tools") }
      return nil
    }
    for (index, tool) in list.enumerated() {
      guard tool["type"]?.string == "function", tool["function"]?["name"]?.string != nil else {
        let place = "tools[\(index)]"
        throw APIError.invalid("\(place) must be of type function and have a function with a name", place)
      }
    }
    return choice == .string("none") ? nil : try ToolDescriptions(.array(list))
  }
}

extension ChatMessage {
  /// The message with its calls' arguments as objects, where clients send them as text: templates write them out.
  var withOpenArguments: ChatMessage {
    guard let calls = members["tool_calls"]?.array else { return self }
    var message = self
    message.members["tool_calls"] = .array(
      calls.map { call in
        guard var object = call.object, var function = object["function"]?.object,
          let text = function["arguments"]?.string, let arguments = try? JSON(parsing: text)
        else { return call }
        function["arguments"] = arguments
        object["function"] = .object(function)
        return .object(object)
      })
    return message
  }
}
