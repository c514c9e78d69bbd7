// From a checkpoint's folder and a conversation to the prompt. Expectations come from Jinja2 3.1 with transformers' settings.

import DMSPlatform
import DMSText
import Glibc
import Testing

@Suite struct TemplateChatTests {
  private let qwen3 = "\(TemplateData.folder)/qwen3-tokenizer"
  private let conversation = [
    ChatMessage(role: "system", content: "Be brief."), ChatMessage(role: "user", content: "Hi"),
    ChatMessage(role: "assistant", content: "<think>\nhm\n</think>\n\nHello"),
    ChatMessage(role: "user", content: "2+2?"),
  ]
  private let prompt =
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
    + "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"

  @Test(.enabled(if: TemplateData.exists, "\(TemplateData.hint)"))
  func thinkingSwitchOfQwen3ClosesTheThoughts() throws {
    let template = try #require(try ChatTemplate(folder: qwen3))
    func rendered(_ thinking: Bool?) throws -> String {
      try template.render(
        messages: conversation, addGenerationPrompt: true, thinking: thinking, bosToken: nil, eosToken: "<|im_end|>")
    }
    #expect(try rendered(nil) == prompt)
    #expect(try rendered(true) == prompt)
    #expect(try rendered(false) == prompt + "<think>\n\n</think>\n\n")
  }

  @Test(.enabled(if: TemplateData.exists, "\(TemplateData.hint)"))
  func toolsAndFurtherMembersReachTheTemplate() throws {
    let template = try #require(try ChatTemplate(folder: qwen3))
    let messages = try JSON(
      parsing: #"""
        [{"role": "user", "content": "Weather?"},
         {"role": "assistant", "content": "", "reasoning_content": "call it",
          "tool_calls": [{"function": {"name": "w", "arguments": {"city": "Zürich", "n": 1.0}}}]},
         {"role": "tool", "content": "sunny"}, {"role": "tool", "content": "hot"}]
        """#, source: "test")
    let tools = try JSON(
      parsing: #"[{"type": "function", "function": {"name": "w", "parameters": {"properties": {}}}}]"#, source: "test")
    let text = try template.render(
      messages: try #require(messages.array).map { try ChatMessage(try #require($0.object)) },
      addGenerationPrompt: true, thinking: false, tools: tools, bosToken: nil, eosToken: nil)
    #expect(
      text.contains(
        "<tools>\n{\"type\": \"function\", \"function\": {\"name\": \"w\", \"parameters\": {\"properties\": {}}}}\n</tools>"
      ))
    #expect(
      text.hasSuffix(
        "<|im_start|>user\nWeather?<|im_end|>\n<|im_start|>assistant\n<think>\ncall it\n</think>\n\n"
          + "<tool_call>\n{\"name\": \"w\", \"arguments\": {\"city\": \"Zürich\", \"n\": 1.0}}\n</tool_call><|im_end|>\n"
          + "<|im_start|>user\n<tool_response>\nsunny\n</tool_response>\n<tool_response>\nhot\n</tool_response><|im_end|>\n"
          + "<|im_start|>assistant\n<think>\n\n</think>\n\n"))
  }

  @Test func variablesAreThoseOfTransformers() throws {
    let template = try ChatTemplate(
      "{{ bos_token }}{{ eos_token is defined }}{{ tools is none }}{{ documents is none }}{{ enable_thinking is defined }}"
        + "{{ add_generation_prompt }}{{ messages|length }}{{ extra }}")
    #expect(
      try template.render(messages: [], addGenerationPrompt: false, bosToken: "<s>", eosToken: nil)
        == "<s>FalseTrueTrueFalseFalse0")
    #expect(
      try template.render(
        messages: conversation, addGenerationPrompt: true, thinking: false, tools: .array([]), bosToken: "",
        eosToken: "", variables: JSONObject(["extra": .string("x")])) == "TrueFalseTrueTrueTrue4x")
  }

  @Test func templateIsFoundWhereCheckpointsKeepIt() throws {
    let folder = try TemporaryFolder()
    #expect(try ChatTemplate(folder: folder.path) == nil)

    func rendered(tools: JSON? = nil) throws -> String {
      try #require(try ChatTemplate(folder: folder.path))
        .render(messages: [], addGenerationPrompt: true, tools: tools, bosToken: nil, eosToken: nil)
    }
    try folder.write("{}", to: "tokenizer_config.json")
    #expect(try ChatTemplate(folder: folder.path) == nil)
    try folder.write(#"{"chat_template": "one"}"#, to: "tokenizer_config.json")
    #expect(try rendered() == "one")
    try folder.write(
      #"{"chat_template": [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools"}]}"#,
      to: "tokenizer_config.json")
    #expect(try rendered() == "plain")
    #expect(try rendered(tools: .null) == "plain")
    #expect(try rendered(tools: .array([])) == "tools")
    for wrong in [#"{"chat_template": 1}"#, #"{"chat_template": [{"name": "x"}]}"#, "{", #"{"chat_template": "{{"}"#] {
      try folder.write(wrong, to: "tokenizer_config.json")
      #expect(throws: InputError.self) { try ChatTemplate(folder: folder.path) }
    }
    try folder.write("file\n", to: "chat_template.jinja")
    #expect(try rendered() == "file")
  }

  @Test func messageKeepsWhatItSaid() throws {
    var message = try ChatMessage(
      try #require(
        try JSON(
          parsing: #"{"role": "user", "name": "x", "content": [{"type": "text", "text": "a"}, {"text": "b"}]}"#,
          source: "test"
        ).object))
    #expect(message.content == "ab")
    #expect(message.members["name"] == .string("x"))
    message.content = "c"
    #expect(message.members["content"] == .string("c"))
    #expect(throws: InputError.self) { try ChatMessage(JSONObject()) }
  }
}

/// A folder that goes with the test.
private final class TemporaryFolder {
  let path: String

  init() throws {
    var name = Array("/tmp/template-XXXXXX".utf8CString)
    path = String(cString: try #require(mkdtemp(&name)))
  }

  func write(_ text: String, to name: String) throws {
    let file = try #require(fopen("\(path)/\(name)", "w"))
    fputs(text, file)
    fclose(file)
  }

  deinit {
    for name in ["tokenizer_config.json", "chat_template.jinja"] { unlink("\(path)/\(name)") }
    rmdir(path)
  }
}
