// `POST /v1/chat/completions`, what comes in.

import DMSGeneration
import DMSText

/// A chat completion that is wished for.
struct ChatRequest {
  /// One per choice.
  var requests: [Scheduler.Request]
  var delivery: Delivery
  /// Unknown fields that were passed over.
  var passedOver: [String]
  /// What the model goes on from.
  var prompt: ChatPrompt
  /// Whether there is something that the model may call, and whether it may call several at once.
  var (offersTools, callsMany): (Bool, Bool)

  /// - Throws: `APIError`; `InputError` where the template refuses the conversation.
  init(_ json: JSON, _ served: ServedModel, isLenient: Bool) throws {
    var fields = try Fields(json)
    var unknown = UnknownFields()
    delivery = try Delivery(&fields, &unknown)
    var options = try fields.answerOptions(served)
    let policy = try fields.cachePolicy(served, &unknown)
    let count = try fields.integer("n", in: 1...128) ?? 1
    let scores = try Self.scores(&fields)
    let schema = try Self.format(&fields, &unknown)
    let thinking = try Self.thinking(&fields)
    let tools = try fields.tools()
    offersTools = tools != nil
    callsMany = try fields.bool("parallel_tool_calls") ?? true
    guard let list = try fields.array("messages"), !list.isEmpty else {
      throw APIError.invalid("messages must be a list with at least one message", "messages")
    }
    let messages = try list.enumerated().map { try Self.message($1, at: "messages[\($0)]") }
    unknown.add(fields)
    try unknown.check(isLenient: isLenient)
    passedOver = unknown.names
    let prompt = try ChatPrompt(messages, tools: tools, thinking: thinking, served)
    self.prompt = prompt
    requests = (0..<count).map { index in
      options.sequence = index
      var request = Scheduler.Request(prompt.prompt, options)
      request.scores = scores
      request.policy = policy
      request.constraint = schema.map { JSONConstraint($0, insideThinking: prompt.prompt.insideThinking) }
      return request
    }
  }

  private static func scores(_ fields: inout Fields) throws -> Int? {
    let wanted = try fields.bool("logprobs") ?? false
    let top = try fields.integer("top_logprobs", in: 0...20)
    if top != nil, !wanted { return try fields.wrong("top_logprobs", "left out where logprobs is not true") }
    return wanted ? top ?? 0 : nil
  }

  /// `response_format`: what the answer may be; `nil`: anything.
  private static func format(_ fields: inout Fields, _ unknown: inout UnknownFields) throws -> Schema? {
    guard var format = try fields.object("response_format") else { return nil }
    defer { unknown.add(format) }
    switch try format.string("type") {
    case "text": return nil
    case "json_object": return Schema()
    case "json_schema":
      guard var named = try format.object("json_schema"), let schema = named.value("schema") else {
        return try format.wrong("json_schema", "an object with a schema")
      }
      _ = try named.string("name")
      _ = try named.string("description")
      _ = try named.bool("strict")
      unknown.add(named)
      return try Schema(schema)
    default: return try format.wrong("type", "text, json_object or json_schema")
    }
  }

  /// Whether the model is to think first; `nil` leaves it to the template.
  private static func thinking(_ fields: inout Fields) throws -> Bool? {
    var thinking: Bool?
    if var arguments = try fields.object("chat_template_kwargs") {
      thinking = try arguments.bool("enable_thinking")
      if let name = arguments.unknown.first {
        throw APIError.invalid("\(name) is not a variable that can be set", name, code: "unknown_field")
      }
    }
    if let effort = try fields.string("reasoning_effort") {
      guard ["none", "minimal", "low", "medium", "high"].contains(effort) else {
        return try fields.wrong("reasoning_effort", "none, minimal, low, medium or high")
      }
      thinking = thinking ?? (effort != "none")
    }
    return thinking
  }

  /// A message as clients send it, its parts of text joined.
  static func message(_ json: JSON, at path: String) throws -> ChatMessage {
    guard let object = json.object, object["role"]?.string != nil else {
      throw APIError.invalid("\(path) must be an object with a role", path)
    }
    var message = try ChatMessage(object)
    // What newer clients call it.
    if message.role == "developer" { message.role = "system" }
    switch object["content"] {
    case nil, .null, .string: break
    case .array(let parts):
      for (index, part) in parts.enumerated() where part.string == nil {
        guard part["type"]?.string == "text", part["text"]?.string != nil else {
          let place = "\(path).content[\(index)]"
          throw APIError.invalid("\(place) must be of type text: this model reads nothing else", place)
        }
      }
      message.content = message.content
    default: throw APIError.invalid("\(path).content must be a string or a list of parts", "\(path).content")
    }
    return message.withOpenArguments
  }
}

/// How an answer is delivered.
struct Delivery {
  /// As events, while it comes.
  var streams: Bool
  /// Whether the last event says what it took.
  var includesUsage: Bool
  /// Whether events tell how far the prompt is read.
  var tellsProgress: Bool

  /// Reads it, and the fields that say who asks.
  init(_ fields: inout Fields, _ unknown: inout UnknownFields) throws {
    // Whatever it is called there is one model, and the answer says which.
    _ = try fields.string("model")
    _ = try fields.string("user")
    streams = try fields.bool("stream") ?? false
    tellsProgress = try fields.bool("return_progress") ?? false
    includesUsage = false
    if var options = try fields.object("stream_options") {
      if !streams { try fields.refuse("stream_options", "left out where stream is not true") }
      includesUsage = try options.bool("include_usage") ?? false
      unknown.add(options)
    }
  }
}
