// What a GGUF file says beside its decoder: chat template, and the makers' wishes for sampling.

import DMSPlatform
import DMSText

extension GGUFFile {
  /// The template of `tokenizer.chat_template` and, for tools, of `tokenizer.chat_template.tool_use`; `nil` without one.
  package func template() throws -> ChatTemplate? {
    func text(_ key: String) throws -> String? {
      guard let value = value(key) else { return nil }
      guard let text = value.string else {
        throw InputError("a text in UTF-8 expected", at: "\(path): \(key)", remedy: "download the file again")
      }
      return text
    }
    let key = "tokenizer.chat_template"
    guard let main = try text(key) ?? text("\(key).default") else { return nil }
    return try ChatTemplate(main, toolUse: try text("\(key).tool_use"), source: "\(path): \(key)")
  }

  /// `general.sampling.*`, and the tokens that end a text or a turn. A wish that cannot be is passed over: it is no more.
  func generation() -> GenerationConfiguration {
    var wishes = GenerationConfiguration()
    func number(_ name: String, in range: ClosedRange<Double>) -> Double? {
      value("general.sampling.\(name)")?.number.flatMap { range.contains($0) ? $0 : nil }
    }
    wishes.temperature = number("temp", in: 0...1e6)
    wishes.topK = number("top_k", in: 0...1e9).map { Int($0) }
    wishes.topP = number("top_p", in: 0...1)
    wishes.minP = number("min_p", in: 0...1)
    wishes.repetitionPenalty = number("penalty_repeat", in: 1e-3...1e3)
    if wishes.temperature != nil { wishes.doSample = wishes.temperature != 0 }
    let ends = ["eos", "eot", "eom"].compactMap { value("tokenizer.ggml.\($0)_token_id")?.integer }.filter { $0 >= 0 }
    if !ends.isEmpty { wishes.eosIDs = ends }
    return wishes
  }
}
