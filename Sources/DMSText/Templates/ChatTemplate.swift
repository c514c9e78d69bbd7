// From a conversation to the prompt that a model was trained on: finds a checkpoint's template, and gives it the variables
// that transformers would.

import DMSPlatform
import Glibc

/// One message of a conversation.
///
/// Besides its role and text it keeps whatever else the message said (tool calls, reasoning, a name), for the template.
public struct ChatMessage: Sendable, Equatable {
  /// All members, as the template sees them: `reasoning_content`, `tool_calls`, `name` and whatever else it knows.
  public var members: JSONObject

  /// - Parameters:
  ///   - role: As the checkpoint's template knows it: usually `system`, `user`, `assistant` or `tool`.
  ///   - content: The message's text.
  public init(role: String, content: String) {
    members = JSONObject(["role": .string(role), "content": .string(content)])
  }

  /// A message as clients send it; its content may be absent, null, or a list of parts.
  /// - Throws: `InputError` if there is no role.
  public init(_ members: JSONObject) throws {
    guard members["role"]?.string != nil else {
      throw InputError("a message has no role", remedy: "give it a \"role\" such as \"user\"")
    }
    self.members = members
  }

  /// Who speaks.
  public var role: String {
    get { members["role"]?.string ?? "" }
    set { members["role"] = .string(newValue) }
  }

  /// The message's text; the parts of text joined if it came in parts.
  public var content: String {
    get {
      switch members["content"] {
      case .string(let text): text
      case .array(let parts): parts.compactMap { $0["text"]?.string ?? $0.string }.joined()
      default: ""
      }
    }
    set { members["content"] = .string(newValue) }
  }
}

/// A checkpoint's chat template, rendered as Hugging Face transformers renders it.
public struct ChatTemplate: Sendable {
  private let template: Template
  /// Parsed when tools are offered: a checkpoint is no worse without them if this template is not supported.
  private let toolUse: (text: String, source: String)?

  /// Parses a template's text, in Jinja.
  /// - Throws: `InputError` that names the line and what is malformed or not supported there.
  public init(_ source: String) throws { try self.init(source, toolUse: nil, source: "chat template") }

  /// - Parameters:
  ///   - toolUse: the template for conversations with tools, where it is another one.
  ///   - source: where they stand, for errors.
  package init(_ text: String, toolUse: String?, source: String) throws {
    template = try Template(parsing: text, source: source)
    self.toolUse = toolUse.map { ($0, "\(source).tool_use") }
  }

  /// Finds the template of a checkpoint: the file `chat_template.jinja`, else the member `chat_template` of
  /// `tokenizer_config.json`, one template or a list of named ones, of which `default` and `tool_use` are used. `nil` if
  /// the checkpoint has none.
  /// - Throws: `InputError` for a file that cannot be read, and as `init(_:)`.
  public init?(folder: String) throws {
    let file = "\(folder)/chat_template.jinja"
    if access(file, F_OK) == 0 {
      let mapped = try MappedFile(path: file)
      // The bytes go with the object.
      guard let text = withExtendedLifetime(mapped, { String(validating: mapped.bytes, as: UTF8.self) }) else {
        throw InputError("not valid UTF-8", at: file, remedy: "download the file again")
      }
      template = try Template(parsing: text, source: file)
      toolUse = nil
      return
    }
    let configuration = "\(folder)/tokenizer_config.json"
    guard access(configuration, F_OK) == 0 else { return nil }
    let source = "\(configuration), chat_template"
    switch try JSON(file: configuration)["chat_template"] {
    case nil, .null: return nil
    case .string(let text):
      template = try Template(parsing: text, source: source)
      toolUse = nil
    case .array(let named):
      func text(_ name: String) -> String? { named.first { $0["name"]?.string == name }?["template"]?.string }
      guard let text = text("default") else {
        throw InputError("no template is named \"default\"", at: source, remedy: "name one of them so")
      }
      template = try Template(parsing: text, source: "\(source) \"default\"")
      toolUse = Self.toolUse(in: named, source: "\(source) \"tool_use\"")
    default:
      throw InputError("a string or a list of templates is expected", at: source, remedy: "download the file again")
    }
  }

  /// The template as the checkpoint has it.
  package var text: String { template.text }
  /// The one for conversations with tools, where it is another one.
  package var toolText: String? { toolUse?.text }

  private static func toolUse(in named: [JSON], source: String) -> (text: String, source: String)? {
    named.first { $0["name"]?.string == "tool_use" }?["template"]?.string.map { ($0, source) }
  }

  /// The prompt for a conversation, special tokens written out as text.
  ///
  /// Takes microseconds per message; the text is as long as the conversation and the template's frame around each message.
  /// - Parameters:
  ///   - addGenerationPrompt: Ends the prompt with the opening of the assistant's turn.
  ///   - tools: What the model may call; `nil` offers nothing.
  ///   - thinking: Switches thinking on or off in templates that have the switch (`enable_thinking`); `nil` leaves it alone.
  ///   - bosToken: The text of the token that begins a sequence, `nil` if the tokenizer has none.
  ///   - eosToken: The text of the token that ends a sequence, `nil` if the tokenizer has none.
  /// - Throws: `InputError` where the template fails or refuses the conversation, with its line.
  public func render(
    messages: [ChatMessage], addGenerationPrompt: Bool, thinking: Bool? = nil, tools: ToolDescriptions? = nil,
    bosToken: String?, eosToken: String?
  ) throws -> String {
    try render(
      messages: messages, addGenerationPrompt: addGenerationPrompt, thinking: thinking, tools: tools?.json,
      bosToken: bosToken, eosToken: eosToken, variables: JSONObject())
  }

  /// As above, with descriptions of tools.
  /// - Parameters:
  ///   - tools: A list of tools as clients send them; `nil` and null offer none.
  ///   - variables: Further variables for the template; they win over all others.
  ///   - time: Seconds since 1970 for templates that print the date; `nil` asks the clock.
  package func render(
    messages: [ChatMessage], addGenerationPrompt: Bool, thinking: Bool? = nil, tools: JSON?, bosToken: String?,
    eosToken: String?, variables: JSONObject = JSONObject(), time: Int? = nil
  ) throws -> String {
    // transformers defines these always: templates ask `tools is not none`.
    var context = JSONObject([
      "messages": .array(messages.map { .object($0.members) }),
      "tools": tools ?? .null,
      "documents": .null,
      "add_generation_prompt": .bool(addGenerationPrompt),
    ])
    context["bos_token"] = bosToken.map { .string($0) }
    context["eos_token"] = eosToken.map { .string($0) }
    context["enable_thinking"] = thinking.map { .bool($0) }
    for (name, value) in variables.members { context[name] = value }
    if let tools, !tools.isNull, let toolUse {
      return try Template(parsing: toolUse.text, source: toolUse.source).render(context, time: time)
    }
    return try template.render(context, time: time)
  }
}
