// config.json, parsed: a `ModelConfiguration` that exists is legal, and nothing below it checks again.

import DMSPlatform
import DMSTensor
import DMSText
import Glibc

/// The shape of a decoder of one of the families.
public struct ModelConfiguration: Sendable, Equatable {
  /// The architecture.
  public let family: Family
  /// Decoder layers.
  public let layers: Int
  /// Width of the residual stream.
  public let hidden: Int
  /// Query heads.
  public let heads: Int
  /// Key-value heads; a divisor of `heads`.
  public let kvHeads: Int
  /// Channels of a head.
  public let headDim: Int
  /// Width of the MLP.
  public let intermediate: Int
  /// Rows of the embedding; ids are below it.
  public let vocabulary: Int
  /// The longest sequence that the model was made for, in tokens.
  public let context: Int
  /// What is added to the mean square in norms.
  public let normEpsilon: Float
  /// How positions are encoded.
  public private(set) var rope: RopeConfiguration
  /// How each layer attends, `[layers]`.
  public let layerAttention: [LayerAttention]
  /// Whether the head is the embedding.
  public let tiedEmbeddings: Bool
  /// RMSNorm of every query and key head (Qwen3).
  public let queryKeyNorm: Bool
  /// Bias of the query, key and value projections.
  public let attentionBias: Bool
  /// Bias of the attention's output projection.
  public let outputBias: Bool
  /// Bias of the MLP's projections.
  public let mlpBias: Bool
  /// Tokens that end a text, and the one that begins it; none where the configuration does not say.
  public let eosIDs: [Int]
  /// The token that begins a text.
  public let bosID: Int?
  /// The type that the configuration announces; tensors say their own.
  public let storedType: ElementType?
  /// How the linear maps' weights lie in blocks; `nil` for numbers.
  public let blocks: StoredBlocks?
  /// What another program has made of the weights: then they cannot be read. `nil` if config.json says nothing of it.
  public let quantization: ForeignQuantization?
  /// `nil` for a checkpoint that was not taught to forget.
  public private(set) var dms: DMSSettings?

  /// The same decoder, to be taught to forget, or to be taught otherwise.
  public func taught(_ settings: DMSSettings?) -> ModelConfiguration {
    var taught = self
    taught.dms = settings
    return taught
  }

  /// The same decoder, its rotary frequencies divided by factors.
  func dividingFrequencies(by factors: [Float]) -> ModelConfiguration {
    var divided = self
    divided.rope = rope.divided(by: factors)
    return divided
  }

  /// Numbers in the linear maps, the embedding and the head: all but a few thousandths of a checkpoint.
  public var parameters: Int {
    let attention = hidden * headDim * (2 * heads + 2 * kvHeads)
    return layers * (attention + 3 * hidden * intermediate) + vocabulary * hidden * (tiedEmbeddings ? 1 : 2)
  }

  /// Bounds far above every model, low enough that products of sizes (parameters, bytes of a cache) stay within 62 bits.
  static let largestContext = 1 << 28
  private static let counts = 1...1024
  private static let widths = 1...(1 << 20)
  private static let tokenIDs = 1 << 24

  package static let dmsMetadataName = "dms_metadata.json"

  /// Reads `config.json` and, where it exists, `dms_metadata.json`.
  /// - Throws: `InputError` naming file and key, what was expected and what was found.
  public init(folder: String) throws {
    let path = folder + "/config.json"
    guard access(path, R_OK) == 0 else {
      let code = errno
      // Of a folder that is there, only what it lacks is worth saying.
      let reason = code == ENOENT && access(folder, F_OK) == 0 ? "" : ": \(systemMessage(code))"
      if code == ENOENT, let file = fileNames(in: folder).filter({ $0.hasSuffix(".gguf") }).min() {
        throw InputError(
          "a folder without config.json, but with a GGUF file", at: folder, remedy: "give the file: \(folder)/\(file)")
      }
      throw InputError(
        ([ENOENT, ENOTDIR].contains(code) ? "no config.json" : "config.json cannot be read") + reason, at: folder,
        remedy: "give the folder of a Hugging Face checkpoint")
    }
    let metadataPath = "\(folder)/\(Self.dmsMetadataName)"
    let metadata = access(metadataPath, F_OK) == 0 ? try JSON(file: metadataPath) : nil
    try self.init(json: try JSON(file: path), source: path, dmsMetadata: metadata, metadataSource: metadataPath)
  }

  /// Absent keys have the values that transformers gives them.
  package init(json: JSON, source: String, dmsMetadata: JSON? = nil, metadataSource: String = dmsMetadataName)
    throws
  {
    let config = try ConfigurationReader(json, source: source)
    let type = try config.required("model_type", config.string("model_type"))
    family = try Family(named: type, at: "\(source): model_type")
    try family.checkArchitectures(config)
    func required(_ key: String, _ range: ClosedRange<Int>) throws -> Int {
      try config.required(key, config.integer(key, in: range))
    }
    layers = try required("num_hidden_layers", Self.counts)
    hidden = try required("hidden_size", Self.widths)
    intermediate = try required("intermediate_size", 1...(1 << 22))
    vocabulary = try required("vocab_size", 1...(1 << 22))
    (heads, kvHeads, headDim) = try Self.heads(config, family, hidden: hidden)
    context =
      try config.integer("max_position_embeddings", in: 1...Self.largestContext) ?? family.defaultContext
    normEpsilon = Float(try config.number("rms_norm_eps", in: 1e-30...1) ?? 1e-6)
    rope = try RopeConfiguration(config, context: context, defaultTheta: family.defaultTheta)
    layerAttention = try LayerAttention.layers(config, family, count: layers, context: context)
    tiedEmbeddings = try config.bool("tie_word_embeddings") ?? family.isTied
    queryKeyNorm = family == .qwen3
    let bias = try config.bool("attention_bias") ?? false
    outputBias = family.hasAttentionBias && bias
    attentionBias = family == .qwen2 || outputBias
    let feedForwardBias = try config.bool("mlp_bias") ?? false
    mlpBias = family.hasFeedForwardBias && feedForwardBias
    let activation = try config.string("hidden_act") ?? "silu"
    guard activation == "silu" else {
      throw InputError(
        "unknown activation \(quoted(activation))", at: "\(source): hidden_act", remedy: "supported is silu")
    }
    // Special ids may lie beyond the embedding in configurations that people patched: then they never occur.
    // Absent ones are not what transformers' Llama class would assume (2 and 1): the tokenizer knows.
    eosIDs = try config.ids("eos_token_id", below: Self.tokenIDs)
    bosID = try config.ids("bos_token_id", below: Self.tokenIDs).first
    switch try config.string("dtype") ?? config.string("torch_dtype") {
    case "float32": storedType = .f32
    case "float16": storedType = .f16
    case "bfloat16": storedType = .bf16
    default: storedType = nil
    }
    blocks = try StoredBlocks(config)
    quantization = ForeignQuantization(json)
    dms = try DMSSettings(config, metadata: dmsMetadata, source: metadataSource)
    guard dms == nil || !slides else {
      throw InputError(
        "DMS beside sliding windows is not supported", at: "\(source): sliding_window",
        remedy: "set it to null if that many tokens are enough, and limit the context to them")
    }
  }

  private static func heads(
    _ config: ConfigurationReader, _ family: Family, hidden: Int
  ) throws -> (heads: Int, kvHeads: Int, headDim: Int) {
    let heads = try config.required("num_attention_heads", config.integer("num_attention_heads", in: counts))
    let kvHeads: Int
    if let given = try config.integer("num_key_value_heads", in: counts) {
      kvHeads = given
    } else {
      // An absent key means one KV head per query head in Llama; in the others a number that fits no other model.
      guard family == .llama || config.json["num_key_value_heads"] != nil else {
        throw InputError(
          "the key num_key_value_heads is missing", at: config.source, remedy: ConfigurationReader.remedy)
      }
      kvHeads = heads
    }
    guard heads % kvHeads == 0 else {
      throw InputError(
        "a divisor of the \(heads) query heads expected, found \(kvHeads)",
        at: "\(config.source): num_key_value_heads", remedy: ConfigurationReader.remedy)
    }
    let headDim: Int
    if let given = try config.integer("head_dim", in: counts) {
      headDim = given
    } else if family == .qwen3 {
      // As in transformers, whose Qwen3Config has a number of its own here.
      headDim = 128
    } else {
      guard hidden % heads == 0 else {
        throw InputError(
          "a multiple of the \(heads) query heads expected, found \(hidden)", at: "\(config.source): hidden_size",
          remedy: "give head_dim")
      }
      headDim = hidden / heads
    }
    guard headDim % 2 == 0, counts.contains(headDim) else {
      throw InputError(
        "an even head dimension up to \(counts.upperBound) expected, found \(headDim)",
        at: "\(config.source): head_dim",
        remedy: ConfigurationReader.remedy)
    }
    return (heads, kvHeads, headDim)
  }
}
