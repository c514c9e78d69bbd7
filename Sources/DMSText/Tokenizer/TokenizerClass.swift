// Which of transformers' tokenizer classes a checkpoint gets, as far as that decides about its special tokens. How text is
// split is said by tokenizer.json, whatever the class; only where there is none the class says that, too.

enum TokenizerClass: Sendable {
  /// PreTrainedTokenizerFast, and whatever is not known here.
  case general
  case llama
  case qwen2
  case gpt2

  /// transformers' rules for checkpoints of the Qwen2, Qwen3 and Llama families.
  /// - Parameters:
  ///   - name: `tokenizer_class`, with or without "Fast".
  ///   - modelType: `model_type` of the model's configuration.
  ///   - isByteLevel: whether tokenizer.json has byte-level parts: Llama 3's class is Llama's by name only.
  init(named name: String?, modelType: String?, isByteLevel: Bool) {
    switch (name.map { $0.hasSuffix("Fast") ? String($0.dropLast(4)) : $0 }, modelType) {
    case (_, "qwen2"), (nil, "qwen3"), ("Qwen2Tokenizer", _): self = .qwen2
    case ("LlamaTokenizer", _) where !isByteLevel: self = .llama
    case ("GPT2Tokenizer", _): self = .gpt2
    default: self = .general
    }
  }

  /// Special tokens that the class has where the configuration does not say otherwise.
  var defaults: KeyValuePairs<String, String> {
    switch self {
    case .general: [:]
    case .llama: ["unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"]
    case .qwen2: ["unk_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"]
    case .gpt2: ["unk_token": "<|endoftext|>", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"]
    }
  }

  /// Whether the added tokens of tokenizer.json are added before all others. Other classes build themselves from the
  /// vocabulary, and know of those only where tokenizer_config.json lists none.
  var keepsFileTokens: Bool { self == .general }

  /// Whether special tokens lose their flags in the end.
  var dropsFlagsOfSpecialTokens: Bool { self == .qwen2 }
}
