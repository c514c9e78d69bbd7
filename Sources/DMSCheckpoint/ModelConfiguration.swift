// config.json, parsed: a `ModelConfiguration` that exists is legal, and nothing below it checks again.

import DMSPlatform
import DMSTensor
import DMSText
import Glibc

/// The shape of a decoder of the Qwen2, Qwen3 or Llama family.
public struct ModelConfiguration: Sendable, Equatable {
  /// By `model_type`.
  public enum Family: String, Sendable, CaseIterable { case qwen2, qwen3, llama }

  public let family: Family
  public let layers: Int
  public let hidden: Int
  /// Query heads.
  public let heads: Int
  public let kvHeads: Int
  public let headDim: Int
  public let intermediate: Int
  public let vocabulary: Int
  /// The longest sequence that the model was made for, in tokens.
  public let context: Int
  public let normEpsilon: Float
  public let rope: RopeConfiguration
  public let tiedEmbeddings: Bool
  /// RMSNorm of every query and key head (Qwen3).
  public let queryKeyNorm: Bool
  /// Bias of the query, key and value projections.
  public let attentionBias: Bool
  /// Bias of the attention's output projection.
  public let outputBias: Bool
  public let mlpBias: Bool
  public let eosIDs: [Int]
  public let bosID: Int?
  /// The type that the configuration announces; tensors say their own.
  public let storedType: ElementType?
  /// `nil` for a checkpoint that was not taught to forget.
  public let dms: DMSSettings?

  /// Bounds that keep every product of sizes within 64 bits.
  static let largestContext = 1 << 30
  private static let sizes = 1...(1 << 24)

  /// Reads `config.json` and, where it exists, `dms_metadata.json`.
  /// - Throws: `InputError` naming file and key.
  public init(folder: String) throws {
    let path = folder + "/config.json"
    guard access(path, F_OK) == 0 else {
      throw InputError("no config.json", at: folder, remedy: "give the folder of a Hugging Face checkpoint")
    }
    let metadataPath = folder + "/dms_metadata.json"
    let metadata = access(metadataPath, F_OK) == 0 ? try JSON(file: metadataPath) : nil
    try self.init(json: try JSON(file: path), source: path, metadata: metadata, metadataSource: metadataPath)
  }

  package init(json: JSON, source: String, metadata: JSON? = nil, metadataSource: String = "dms_metadata.json") throws {
    let config = ConfigurationReader(json, source: source)
    guard json.object != nil else { throw InputError("a JSON object is expected", at: source) }
    let type = try config.required("model_type", config.string("model_type"))
    guard let family = Family(rawValue: type) else {
      throw InputError(
        "unknown architecture \"\(type)\"", at: "\(source): model_type",
        remedy: "supported are \(Family.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    self.family = family
    func size(_ key: String) throws -> Int { try config.required(key, config.integer(key, in: Self.sizes)) }
    layers = try config.required("num_hidden_layers", config.integer("num_hidden_layers", in: 1...4096))
    hidden = try size("hidden_size")
    heads = try config.required("num_attention_heads", config.integer("num_attention_heads", in: 1...4096))
    kvHeads = try config.integer("num_key_value_heads", in: 1...4096) ?? heads
    guard heads % kvHeads == 0 else {
      throw InputError("\(heads) query heads cannot share \(kvHeads) KV heads", at: "\(source): num_key_value_heads")
    }
    if let given = try config.integer("head_dim", in: 2...4096) {
      headDim = given
    } else {
      guard hidden % heads == 0 else {
        throw InputError("\(hidden) is not a multiple of the \(heads) heads", at: "\(source): hidden_size")
      }
      headDim = hidden / heads
    }
    guard headDim % 2 == 0, headDim >= 2 else {
      throw InputError("RoPE needs an even head dimension, found \(headDim)", at: "\(source): head_dim")
    }
    intermediate = try size("intermediate_size")
    vocabulary = try size("vocab_size")
    let context = try config.integer("max_position_embeddings", in: 1...Self.largestContext) ?? 2048
    self.context = context
    normEpsilon = Float(try config.number("rms_norm_eps", in: 0...1) ?? 1e-6)
    rope = try RopeConfiguration(config, context: context)
    tiedEmbeddings = try config.bool("tie_word_embeddings") ?? false
    queryKeyNorm = family == .qwen3
    let bias = try config.bool("attention_bias") ?? false
    attentionBias = family == .qwen2 || bias
    outputBias = family != .qwen2 && bias
    mlpBias = try family == .llama && config.bool("mlp_bias") ?? false
    let activation = try config.string("hidden_act") ?? "silu"
    guard activation == "silu" else {
      throw InputError("unknown activation \"\(activation)\"", at: "\(source): hidden_act", remedy: "supported is silu")
    }
    if try config.bool("use_sliding_window") ?? false,
      let window = try config.integer("sliding_window", in: 0...Self.largestContext), window < context
    {
      throw InputError(
        "sliding-window attention is not supported", at: "\(source): use_sliding_window",
        remedy: "set it to false if \(window) tokens are enough, and limit the context to them")
    }
    // Special ids may lie beyond the embedding in configurations that people patched: then they never occur.
    eosIDs = try config.ids("eos_token_id", below: Self.sizes.upperBound)
    bosID = try config.ids("bos_token_id", below: Self.sizes.upperBound).first
    switch try config.string("dtype") ?? config.string("torch_dtype") {
    case "float32": storedType = .f32
    case "float16": storedType = .f16
    case "bfloat16": storedType = .bf16
    default: storedType = nil
    }
    dms = try DMSSettings(config, metadata: metadata, source: metadataSource)
  }
}
