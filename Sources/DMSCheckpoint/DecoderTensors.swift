// The tensors of a decoder: what each is, its name in checkpoints, its shape, and what may be done to it. Loading, conversion
// and training derive from this table. How and where tensors are stored is not known here.
//
// C hidden · H query heads · G KV heads · D head dim · F MLP size · V vocabulary

/// A tensor of a decoder.
public struct DecoderTensor: Sendable, Hashable {
  /// What it does in the decoder.
  public enum Role: Sendable, CaseIterable {
    case embedding
    case inputNorm, query, key, value, queryNorm, keyNorm, output
    case mlpNorm, gate, up, down
    /// The adapter's projection to decision logits, and the norm before it.
    case decision, decisionNorm
    case finalNorm, head

    /// Whether it scales what a root mean square has divided.
    public var isNorm: Bool { [.inputNorm, .queryNorm, .keyNorm, .mlpNorm, .decisionNorm, .finalNorm].contains(self) }
  }

  /// The tensors of a role.
  public enum Part: Sendable { case weight, bias, borrowed }

  /// What loading and conversion may do to it.
  public enum Use: Sendable {
    /// The form of its numbers is a matter of choice.
    case converted
    /// It stays as it is.
    case kept
    /// It repeats rows of a converted one, which decide evictions, where that one is in blocks.
    case borrowed
  }

  /// What it does.
  public let role: Role
  /// Which of the role's tensors it is.
  public let part: Part
  /// The layer that it belongs to; `nil` outside the layers.
  public let layer: Int?
  /// Outermost first; of one or two dimensions.
  public let shape: [Int]

  /// Whether its form may change.
  public var use: Use {
    switch part {
    case .borrowed: .borrowed
    case .weight where shape.count > 1 && role != .decision: .converted
    case .weight, .bias: .kept
    }
  }

  /// As in Hugging Face checkpoints.
  public var name: String {
    let module = (layer.map { "model.layers.\($0)." } ?? "") + role.module
    switch part {
    case .weight: return module + ".weight"
    case .bias: return module + ".bias"
    case .borrowed: return module + ".weight.borrowed"
    }
  }

  /// As in GGUF files. What only DMS has is this program's own convention.
  public var ggufName: String {
    let module = (layer.map { "blk.\($0)." } ?? "") + (part == .borrowed ? "dms_borrowed" : role.ggufModule)
    switch part {
    // The adapter's two tensors go together.
    case .weight: return module + (role == .decisionNorm ? ".norm" : ".weight")
    case .bias: return module + ".bias"
    case .borrowed: return module + ".weight"
    }
  }
}

extension DecoderTensor.Role {
  fileprivate var module: String {
    switch self {
    case .embedding: "model.embed_tokens"
    case .inputNorm: "input_layernorm"
    case .query: "self_attn.q_proj"
    case .key: "self_attn.k_proj"
    case .value: "self_attn.v_proj"
    case .queryNorm: "self_attn.q_norm"
    case .keyNorm: "self_attn.k_norm"
    case .output: "self_attn.o_proj"
    case .mlpNorm: "post_attention_layernorm"
    case .gate: "mlp.gate_proj"
    case .up: "mlp.up_proj"
    case .down: "mlp.down_proj"
    case .decision: "self_attn.dms_proj_alpha"
    case .decisionNorm: "self_attn.dms_proj_alpha_norm"
    case .finalNorm: "model.norm"
    case .head: "lm_head"
    }
  }
}

extension DecoderTensor.Role {
  fileprivate var ggufModule: String {
    switch self {
    case .embedding: "token_embd"
    case .inputNorm: "attn_norm"
    case .query: "attn_q"
    case .key: "attn_k"
    case .value: "attn_v"
    case .queryNorm: "attn_q_norm"
    case .keyNorm: "attn_k_norm"
    case .output: "attn_output"
    case .mlpNorm: "ffn_norm"
    case .gate: "ffn_gate"
    case .up: "ffn_up"
    case .down: "ffn_down"
    case .decision, .decisionNorm: "dms_alpha"
    case .finalNorm: "output_norm"
    case .head: "output"
    }
  }
}

/// All tensors of a decoder.
public struct DecoderTensors: Sendable {
  private struct Key: Hashable {
    let role: DecoderTensor.Role
    let part: DecoderTensor.Part
    let layer: Int?
  }

  /// In the order in which a token meets them; the adapter's end a layer.
  public private(set) var all: [DecoderTensor] = []
  private var places: [Key: Int] = [:]

  /// The tensors of a shape.
  public init(_ shape: ModelConfiguration) {
    add(.embedding, [shape.vocabulary, shape.hidden])
    for layer in 0..<shape.layers { add(layer: layer, shape) }
    add(.finalNorm, [shape.hidden])
    // Checkpoints with tied embeddings may carry the head all the same; the tie wins, as in transformers.
    if !shape.tiedEmbeddings { add(.head, [shape.vocabulary, shape.hidden]) }
  }

  /// The tensor of a role; `nil` where this decoder has none.
  public subscript(
    role: DecoderTensor.Role, part: DecoderTensor.Part = .weight, layer layer: Int? = nil
  ) -> DecoderTensor? { places[Key(role: role, part: part, layer: layer)].map { all[$0] } }

  private mutating func add(layer: Int, _ shape: ModelConfiguration) {
    let (hidden, size) = (shape.hidden, shape.intermediate)
    let (queries, keys) = (shape.heads * shape.headDim, shape.kvHeads * shape.headDim)
    let separate = shape.dms?.separateAlpha
    add(.inputNorm, [hidden], layer)
    add(.query, [queries, hidden], layer, bias: shape.attentionBias)
    if separate == false { add(.query, [shape.kvHeads, hidden], layer, part: .borrowed) }
    add(.key, [keys, hidden], layer, bias: shape.attentionBias)
    add(.value, [keys, hidden], layer, bias: shape.attentionBias)
    if shape.queryKeyNorm {
      add(.queryNorm, [shape.headDim], layer)
      add(.keyNorm, [shape.headDim], layer)
    }
    add(.output, [hidden, queries], layer, bias: shape.outputBias)
    add(.mlpNorm, [hidden], layer)
    add(.gate, [size, hidden], layer, bias: shape.mlpBias)
    add(.up, [size, hidden], layer, bias: shape.mlpBias)
    add(.down, [hidden, size], layer, bias: shape.mlpBias)
    if separate == true {
      // The reference gives the projection a bias where the other attention projections have one by configuration.
      add(.decision, [shape.kvHeads, hidden], layer, bias: shape.outputBias)
      add(.decisionNorm, [hidden], layer)
    }
  }

  private mutating func add(
    _ role: DecoderTensor.Role, _ shape: [Int], _ layer: Int? = nil, part: DecoderTensor.Part = .weight,
    bias: Bool = false
  ) {
    places[Key(role: role, part: part, layer: layer)] = all.count
    all.append(DecoderTensor(role: role, part: part, layer: layer, shape: shape))
    if bias { add(role, [shape[0]], layer, part: .bias) }
  }
}
