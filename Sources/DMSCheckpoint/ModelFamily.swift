// The families of decoders: what transformers assumes of each where config.json is silent, and what others would need.

import DMSPlatform
import DMSText

extension ModelConfiguration {
  /// By `model_type`.
  public enum Family: String, Sendable, CaseIterable { case qwen2, qwen3, llama, mistral, smollm3 }
}

extension ModelConfiguration.Family {
  /// The longest sequence, where `max_position_embeddings` is absent.
  var defaultContext: Int {
    switch self {
    case .llama: 2048
    case .qwen2, .qwen3, .smollm3: 32_768
    case .mistral: 131_072
    }
  }

  /// RoPE's base, where `rope_theta` is absent.
  var defaultTheta: Double { self == .smollm3 ? 2_000_000 : 10_000 }

  /// Whether the head is the embedding, where `tie_word_embeddings` is absent.
  var isTied: Bool { self == .smollm3 }

  /// Whether `attention_bias` gives biases to all four projections of the attention.
  var hasAttentionBias: Bool { [.qwen3, .llama, .smollm3].contains(self) }

  /// Whether `mlp_bias` means anything.
  var hasFeedForwardBias: Bool { [.llama, .smollm3].contains(self) }

  /// - Parameter place: where the name stands.
  /// - Throws: `InputError` that says what a decoder of that name would need.
  init(named name: String, at place: String, among families: [Self] = allCases) throws {
    if let family = Self(rawValue: name), families.contains(family) {
      self = family
      return
    }
    let spelling = name.lowercased().filter { $0 != "_" && $0 != "-" }
    let need = Self.needs.first { $0.names.contains(where: spelling.hasPrefix) }?.what
    throw InputError(
      need.map { "the architecture \(quoted(name)) is not supported: it needs \($0)" }
        ?? "unknown architecture \(quoted(name))", at: place,
      remedy: "supported are \(families.map(\.rawValue).joined(separator: ", "))")
  }

  /// What well-known decoders need that these have not, by how their names begin; the first that fits counts.
  private static let needs: [(names: [String], what: String)] = [
    (
      ["qwen35", "qwen3next", "mamba", "jamba", "falconh1", "falconmamba", "nemotronh", "lfm2", "rwkv"],
      "recurrent or convolutional layers"
    ),
    (
      ["mixtral", "qwen2moe", "qwen3moe", "deepseek", "gptoss", "olmoe", "granitemoe", "phimoe", "llama4", "glm4moe"],
      "a mixture of experts"
    ),
    (
      ["mllama", "llava", "qwen2vl", "qwen25vl", "qwen3vl", "gemma3n", "smolvlm", "phi4"], "more than text"
    ),
    (["gemma"], "GELU, scaled embeddings and norms of its own"),
    (["phi3", "glm", "chatglm", "internlm2"], "projections that are stored as one"),
    (["granite", "minicpm"], "scaled embeddings, residuals and logits"),
    (["olmo2", "olmo3", "exaone4"], "norms after attention and MLP"),
    (["gpt2", "gptneox", "gptj", "falcon", "bloom", "mpt", "phi", "stablelm", "starcoder", "cohere"], "LayerNorm"),
  ]

  /// The class that a configuration names for its weights. Where it is that of another model or task, they are not what
  /// `model_type` says.
  func checkArchitectures(_ config: ConfigurationReader) throws {
    let names = try config.strings("architectures")
    // A suffix marks what was added to a model, as in Qwen3ForCausalLMDMS.
    guard let name = names.first, !names.contains(where: { $0.lowercased().hasPrefix("\(rawValue)forcausallm") })
    else { return }
    throw InputError(
      "\(quoted(name)) is not the language model of the model_type \(quoted(rawValue))",
      at: "\(config.source): architectures", remedy: ConfigurationReader.remedy)
  }
}
