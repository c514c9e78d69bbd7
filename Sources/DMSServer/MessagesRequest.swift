// `POST /v1/messages`, Anthropic's form of a chat: blocks in place of texts, `system` apart, results of tools in the user's turn. What
// comes in becomes the messages that templates know.

import DMSGeneration
import DMSText

/// A message that is wished for.
struct MessagesRequest {
  var request: Scheduler.Request
  var prompt: ChatPrompt
  var streams: Bool
  var offersTools: Bool
  /// Whether an answer may make several calls.
  var callsMany: Bool
  /// The only stop sequence; `nil` where there are none or several, and it is not known which was met.
  var onlyStop: String?
  /// Unknown fields that were passed over.
  var passedOver: [String]

  /// - Parameter counts: whether only the tokens are to be counted, for which no length is needed.
  /// - Throws: `APIError`; `InputError` where the template refuses the conversation.
  init(_ json: JSON, _ served: ServedModel, isLenient: Bool, counts: Bool = false) throws {
    var fields = try Fields(json)
    var unknown = UnknownFields()
    _ = try fields.string("model")
    _ = try fields.object("metadata")
    streams = try fields.bool("stream") ?? false
    let stops = try fields.stops("stop_sequences")
    let (tools, callsMany) = try Self.tools(&fields, &unknown)
    self.callsMany = callsMany
    offersTools = tools != nil
    var thinking: Bool?
    if var wish = try fields.object("thinking") {
      let type = try wish.string("type")
      _ = try wish.integer("budget_tokens", in: 1...(.max))
      guard ["enabled", "disabled", "adaptive"].contains(type) else {
        throw APIError.invalid("thinking.type must be enabled, disabled or adaptive", "thinking.type")
      }
      thinking = type == "adaptive" ? nil : type == "enabled"
      unknown.add(wish)
    }
    var messages = try Self.system(fields.value("system"))
    guard let list = try fields.array("messages"), !list.isEmpty else {
      throw APIError.invalid("messages must be a list with at least one message", "messages")
    }
    for (index, message) in list.enumerated() { messages += try Self.messages(message, at: "messages[\(index)]") }
    var options = try fields.answerOptions(served)
    options.stops += stops
    onlyStop = options.stops.count == 1 ? options.stops.first : nil
    guard counts || json["max_tokens"]?.integer ?? 0 > 0 else {
      throw APIError.invalid("max_tokens must be an integer, 1 or more", "max_tokens")
    }
    let policy = try fields.cachePolicy(served, &unknown)
    unknown.add(fields)
    try unknown.check(isLenient: isLenient)
    passedOver = unknown.names
    prompt = try ChatPrompt(messages, tools: tools, thinking: thinking, served)
    request = Scheduler.Request(prompt.prompt, options)
    request.policy = policy
  }

  private static func tools(_ fields: inout Fields, _ unknown: inout UnknownFields) throws
    -> (ToolDescriptions?, callsMany: Bool)
  {
    var (offers, callsMany) = (true, true)
    if var choice = try fields.object("tool_choice") {
      guard let type = try choice.string("type"), ["auto", "none"].contains(type) else {
        throw APIError.invalid("tool_choice must be auto or none: calls cannot be forced", "tool_choice")
      }
      offers = type == "auto"
      callsMany = !(try choice.bool("disable_parallel_tool_use") ?? false)
      unknown.add(choice)
    }
    guard let list = try fields.array("tools"), !list.isEmpty else { return (nil, callsMany) }
    let tools = try list.enumerated().map { index, tool in
      guard let name = tool["name"], name.string != nil, let schema = tool["input_schema"] else {
        throw APIError.invalid("tools[\(index)] must have a name and an input_schema", "tools[\(index)]")
      }
      var function: JSONObject = ["name": name]
      function["description"] = tool["description"]
      function["parameters"] = schema
      return JSON.object(["type": "function", "function": .object(function)])
    }
    return (offers ? try ToolDescriptions(.array(tools)) : nil, callsMany)
  }

  private static func system(_ json: JSON?) throws -> [ChatMessage] {
    guard let json else { return [] }
    let text = try text(json, at: "system")
    return text.isEmpty ? [] : [ChatMessage(role: "system", content: text)]
  }

  /// A text, or blocks of text.
  private static func text(_ json: JSON, at path: String) throws -> String {
    if let text = json.string { return text }
    guard let blocks = json.array else { throw APIError.invalid("\(path) must be a text or a list of blocks", path) }
    return try blocks.enumerated().map { index, block in
      guard block["type"]?.string == "text", let text = block["text"]?.string else {
        let place = "\(path)[\(index)]"
        throw APIError.invalid("\(place) must be of type text: this model reads nothing else", place)
      }
      return text
    }.joined()
  }

  /// One of Anthropic's messages: results of tools are messages of their own.
  private static func messages(_ json: JSON, at path: String) throws -> [ChatMessage] {
    guard let role = json["role"]?.string, ["user", "assistant", "system"].contains(role) else {
      throw APIError.invalid("\(path) must have the role user or assistant", "\(path).role")
    }
    if let text = json["content"]?.string { return [ChatMessage(role: role, content: text)] }
    guard let blocks = json["content"]?.array else {
      throw APIError.invalid("\(path).content must be a text or a list of blocks", "\(path).content")
    }
    var (said, thought, calls, results): (String, String, [JSON], [ChatMessage]) = ("", "", [], [])
    for (index, block) in blocks.enumerated() {
      let place = "\(path).content[\(index)]"
      switch block["type"]?.string {
      case "text": said += block["text"]?.string ?? ""
      case "thinking": thought += block["thinking"]?.string ?? ""
      case "redacted_thinking": break
      case "tool_use":
        calls.append(
          .object([
            "id": block["id"] ?? "", "type": "function",
            "function": .object(["name": block["name"] ?? "", "arguments": block["input"] ?? .object([:])]),
          ]))
      case "tool_result":
        var result = ChatMessage(role: "tool", content: try block["content"].map { try text($0, at: place) } ?? "")
        result.members["tool_call_id"] = block["tool_use_id"]
        results.append(result)
      default:
        throw APIError.invalid("\(place) is of a type that this model does not read", place)
      }
    }
    var message = ChatMessage(role: role, content: said)
    if !thought.isEmpty { message.members["reasoning_content"] = .string(thought) }
    if !calls.isEmpty { message.members["tool_calls"] = .array(calls) }
    return results + (said.isEmpty && calls.isEmpty && !results.isEmpty ? [] : [message])
  }
}
