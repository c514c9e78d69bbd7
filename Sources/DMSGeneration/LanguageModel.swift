// A model with everything that text needs: decoder, tokenizer, chat template, the makers' wishes.

import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSPlatform
import DMSText

/// A model that can be talked to. Immutable; several engines can share it.
public final class LanguageModel: Sendable {
  /// The model itself.
  public let decoder: Decoder
  /// Text to ids and back.
  public let tokenizer: Tokenizer
  /// How a conversation is written down; `nil` for a base model.
  public let template: ChatTemplate?
  /// How the makers want it sampled, by `generation_config.json` or a GGUF file's keys.
  public let generation: GenerationConfiguration
  /// Tokens that end a text: those that `generation_config.json` names; else those of `config.json`; else the tokenizer's.
  public let eosIDs: Set<Int>

  /// Loads a Hugging Face folder or a GGUF file.
  /// - Parameter machine: whose threads convert weights, where that is asked for.
  /// - Throws: `InputError` naming the file that is missing or wrong.
  public convenience init(path: String, on machine: Machine, _ options: Decoder.Options = Decoder.Options()) throws {
    try self.init(ModelSource(path: path), on: machine, options)
  }

  /// Loads a model that is open already.
  public init(_ source: ModelSource, on machine: Machine, _ options: Decoder.Options = Decoder.Options()) throws {
    decoder = try Decoder(source, on: machine, options)
    tokenizer = try source.tokenizer()
    template = try source.template()
    generation = try source.generation()
    let known = [generation.eosIDs ?? [], decoder.configuration.eosIDs, [tokenizer.eosID].compactMap { $0 }]
    eosIDs = Set(known.first { !$0.isEmpty } ?? [])
  }

  /// The ids of a text as it is, with BOS where the model wants one, but never two.
  public func ids(raw text: String) -> [Int] {
    let ids = tokenizer.encode(text, addSpecialTokens: true)
    if let bos = tokenizer.bosID ?? decoder.configuration.bosID, ids.starts(with: [bos, bos]) {
      return Array(ids.dropFirst())
    }
    return ids
  }

  /// What a model is given to go on from.
  public struct Prompt: Sendable {
    /// The tokens, at least one for a session to read.
    public var ids: [Int]
    /// How many of them a continued conversation will begin with again; `nil` if that is not known.
    public var stable: Int?
    /// Whether the template has opened the model's thinking already.
    public var insideThinking = false

    /// A prompt of tokens of which nothing else is known.
    public init(ids: [Int]) { self.ids = ids }

    /// The tokens of a chat that a template has written out.
    package init(ids: [Int], rendered text: String) {
      self.ids = ids
      var end = text[...]
      while end.last?.isWhitespace ?? false { end.removeLast() }
      insideThinking = end.hasSuffix("<think>")
    }
  }

  /// Renders a conversation through the chat template, ready for an answer.
  ///
  /// - Parameters:
  ///   - tools: what the model may call, for templates that know tools.
  ///   - thinking: Qwen3's switch; `nil` leaves it to the template.
  /// - Throws: `InputError` if the model has no chat template, or the template fails.
  public func prompt(_ messages: [ChatMessage], tools: ToolDescriptions? = nil, thinking: Bool? = nil) throws -> Prompt
  {
    guard let template else {
      throw InputError("this model has no chat template", remedy: "use dms run --raw to continue a text")
    }
    func render(_ addGenerationPrompt: Bool) throws -> String {
      try template.render(
        messages: messages, addGenerationPrompt: addGenerationPrompt, thinking: thinking, tools: tools,
        bosToken: tokenizer.bosToken, eosToken: tokenizer.eosToken)
    }
    let text = try render(true)
    // The template writes BOS itself where it wants one.
    let ids = tokenizer.encode(text, addSpecialTokens: false)
    let history = tokenizer.encode(try render(false), addSpecialTokens: false)
    var prompt = Prompt(ids: ids, rendered: text)
    prompt.stable = zip(ids, history).prefix { $0 == $1 }.count
    return prompt
  }
}
