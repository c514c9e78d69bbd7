// Every format that is read: which file of which base is changed, how, and which commands are then tried on it.

struct Format: Sendable {
  /// A file of a base, and the commands that read it there.
  struct Place: Sendable {
    var base: String
    var file: String
    var commands: [String]
  }

  var name: String
  /// Of all cases.
  var share: Int
  var mutators: Mutators
  var places: [Place]
  /// What the program may have in memory to refuse a file; `nil` where that is not looked at.
  var megabytesToRefuse: Int?

  private static let running = [
    "run", "run-json", "run-raw", "run-q8", "run-ids", "trace", "trace-text", "perplexity", "quantize-q8",
    "quantize-q4",
    "chat", "inspect",
  ]
  private static let text = ["run", "run-json", "run-raw", "chat", "trace-text", "perplexity"]
  private static let costly = ["eval", "bench", "perplexity-ids", "quantize-f16"]

  /// Tensors that every answer needs: of an embedding that is not the head too, only the rows of the prompt.
  private static let isUsed: @Sendable (String) -> Bool = { name in
    !name.contains("embed_tokens") && !name.contains("q_proj") && !name.contains("k_proj") && !name.contains("dms_proj")
      && !name.contains("k_norm") && !name.contains("q_norm")
  }

  static let all: [Format] = [
    Format(
      name: "weights", share: 14,
      mutators: Mutators(
        TensorMutators.all(required: true, isUsed: isUsed).shares.map { ($0.share, $0.change) }
          + [(8, TensorMutators.strayScale)]),
      places: ["neuron", "llama", "adapter"].map {
        Place(base: $0, file: "model/model.safetensors", commands: running + costly)
      }
        + (1...2).map { Place(base: "shards", file: "model/model-0000\($0)-of-00002.safetensors", commands: running) }
        + [Place(base: "adapter", file: "model/model.safetensors", commands: ["retrofit", "resume-retrofit"])]
        + [Place(base: "dense", file: "model/model.safetensors", commands: ["pretrain", "fade"])]),
    Format(
      name: "gguf", share: 14, mutators: GGUFMutators.file,
      places: ["gguf", "gguf-llama"].map {
        Place(
          base: $0, file: "model",
          commands: ["inspect", "run", "run-json", "run-raw", "run-ids", "trace", "trace-text", "perplexity", "chat"])
      }, megabytesToRefuse: 200),
    Format(
      name: "index", share: 3, mutators: ConfigurationMutators.index,
      places: [Place(base: "shards", file: "model/model.safetensors.index.json", commands: running)]),
    Format(
      name: "config", share: 16, mutators: ConfigurationMutators.configuration,
      places: Bases.models.map { Place(base: $0, file: "model/config.json", commands: running) }
        + ["neuron", "llama"].map { Place(base: $0, file: "model/config.json", commands: costly + ["bench-shape"]) }
        + [
          Place(base: "dense", file: "model/config.json", commands: ["pretrain", "fade"]),
          Place(base: "adapter", file: "model/config.json", commands: ["retrofit", "estimate", "resume-retrofit"]),
        ]),
    Format(
      name: "metadata", share: 2,
      mutators: ConfigurationMutators.keys(["window_size", "alpha_scale", "alpha_offset", "config"]),
      places: [Place(base: "llama", file: "model/dms_metadata.json", commands: running)]),
    Format(
      name: "generation", share: 3,
      mutators: ConfigurationMutators.keys([
        "do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "max_new_tokens", "eos_token_id",
        "stop_strings", "suppress_tokens",
        "typical_p", "bos_token_id",
      ]),
      places: ["neuron", "shards"].map {
        Place(base: $0, file: "model/generation_config.json", commands: ["run", "run-json", "run-raw", "chat"])
      }),
    Format(
      name: "tokenizer", share: 10, mutators: TokenizerMutators.file,
      places: ["neuron", "llama"].map { Place(base: $0, file: "model/tokenizer.json", commands: text) }
        + [Place(base: "dense", file: "model/tokenizer.json", commands: ["pretrain"])]),
    Format(
      name: "vocabulary", share: 3, mutators: TokenizerMutators.vocabularyFile,
      places: [Place(base: "shards", file: "model/vocab.json", commands: text)]),
    Format(
      name: "merges", share: 3, mutators: TokenizerMutators.mergesFile,
      places: [Place(base: "shards", file: "model/merges.txt", commands: text)]),
    Format(
      name: "tokenizer-config", share: 5,
      mutators: ConfigurationMutators.keys([
        "bos_token", "eos_token", "pad_token", "unk_token", "add_bos_token", "add_eos_token", "added_tokens_decoder",
        "chat_template", "tokenizer_class",
        "additional_special_tokens", "extra_special_tokens", "add_prefix_space", "model_max_length", "legacy",
      ]),
      places: ["neuron", "shards", "llama"].map { Place(base: $0, file: "model/tokenizer_config.json", commands: text) }
    ),
    Format(
      name: "special-tokens", share: 2,
      mutators: ConfigurationMutators.keys([
        "bos_token", "eos_token", "pad_token", "additional_special_tokens", "unk_token",
      ]),
      places: [Place(base: "shards", file: "model/special_tokens_map.json", commands: text)]),
    Format(
      name: "added-tokens", share: 2, mutators: ConfigurationMutators.keys(["<|bos|>", "<|im_start|>", "x", "", "a"]),
      places: [Place(base: "shards", file: "model/added_tokens.json", commands: text)]),
    Format(
      name: "template", share: 10, mutators: TemplateMutators.file,
      places: ["neuron", "llama"].map {
        Place(base: $0, file: "model/chat_template.jinja", commands: ["run", "run-json", "chat"])
      } + [
        Place(base: "neuron", file: "model/chat_template.jinja", commands: ["eval", "tokenizer"]),
        Place(base: "dense", file: "model/chat_template.jinja", commands: ["pretrain"]),
      ]),
    Format(
      name: "template-in-config", share: 3, mutators: TemplateMutators.inConfiguration,
      places: [Place(base: "shards", file: "model/tokenizer_config.json", commands: ["run", "run-json", "chat"])]),
    Format(
      name: "session", share: 7, mutators: SavedMutators.session,
      places: [Place(base: "neuron", file: "talk.session", commands: ["chat-session"])]),
    Format(
      name: "recipe", share: 6, mutators: RecipeMutators.file,
      places: [
        Place(base: "dense", file: "pretrain.json", commands: ["pretrain"]),
        Place(base: "dense", file: "fade.json", commands: ["fade"]),
        Place(base: "adapter", file: "retrofit.json", commands: ["retrofit", "estimate"]),
        Place(base: "dense", file: "run/recipe.json", commands: ["resume"]),
        Place(base: "adapter", file: "run/recipe.json", commands: ["resume-retrofit"]),
      ]),
    Format(
      name: "state", share: 5, mutators: SavedMutators.state,
      places: [
        Place(base: "dense", file: "run/checkpoints/step-00000002.safetensors", commands: ["resume"]),
        Place(base: "adapter", file: "run/checkpoints/step-00000002.safetensors", commands: ["resume-retrofit"]),
      ]),
    Format(
      name: "log", share: 1, mutators: SavedMutators.log,
      places: [Place(base: "dense", file: "run/log.jsonl", commands: ["resume"])]),
    Format(
      name: "lines", share: 4, mutators: SavedMutators.lines,
      places: [
        Place(base: "dense", file: "lines.jsonl", commands: ["pretrain", "resume"]),
        Place(base: "adapter", file: "lines.jsonl", commands: ["retrofit"]),
      ]),
    Format(
      name: "text", share: 3, mutators: SavedMutators.text,
      places: [
        Place(base: "dense", file: "text.txt", commands: ["pretrain"]),
        Place(base: "neuron", file: "text.txt", commands: ["perplexity", "tokenizer"]),
      ]),
    Format(
      name: "prompt", share: 3, mutators: SavedMutators.text,
      places: ["neuron", "llama"].map { Place(base: $0, file: "prompt.txt", commands: ["run", "run-pipe"]) }),
    Format(
      name: "typed", share: 2, mutators: SavedMutators.typed,
      places: [
        Place(base: "neuron", file: "turns.txt", commands: ["chat"]),
        Place(base: "neuron", file: "next.txt", commands: ["chat-session"]),
      ]),
    Format(
      name: "ids", share: 3, mutators: SavedMutators.ids,
      places: [Place(base: "neuron", file: "ids.json", commands: ["run-ids", "trace", "perplexity-ids"])]),
    Format(
      name: "id-tensor", share: 2, mutators: SavedMutators.idTensor,
      places: [Place(base: "neuron", file: "ids.safetensors", commands: ["run-idtensor", "trace-ids"])]),
    Format(
      name: "blocks", share: 5,
      mutators: TensorMutators.all(required: true) { !$0.contains("embed_tokens") && isUsed($0) },
      places: ["q8", "q4"].map {
        Place(base: $0, file: "model/model.safetensors", commands: ["run", "trace", "chat", "inspect", "perplexity"])
      }),
    Format(
      name: "blocks-config", share: 2,
      mutators: ConfigurationMutators.keys([
        "swift_dms_weights", "vocab_size", "hidden_size", "dms_separate_alpha", "num_hidden_layers",
      ]),
      places: ["q8", "q4"].map {
        Place(base: $0, file: "model/config.json", commands: ["run", "trace", "inspect", "chat"])
      }),
    Format(
      name: "trace", share: 4, mutators: TensorMutators.all(required: false) { _ in true },
      places: ["a", "b"].map {
        Place(base: "neuron", file: "\($0).safetensors", commands: ["compare", "compare-only"])
      }),
    // Its numbers belong to the base's fingerprint or decide evictions: a changed one need not be noticed.
    Format(
      name: "adapter", share: 4, mutators: TensorMutators.all(required: true) { _ in false },
      places: [Place(base: "dense", file: "laid/adapter.safetensors", commands: ["run-laid", "merge"])]),
    Format(
      name: "adapter-config", share: 3,
      mutators: ConfigurationMutators.keys([
        "dms_separate_alpha", "dms_alpha_per", "dms_alpha_scale", "dms_initial_alpha_offset", "dms_window_size", "dms_cr",
        "dms_tau", "dms_disable_eviction", "base", "shape", "kept",
      ]),
      places: [Place(base: "dense", file: "laid/adapter_config.json", commands: ["run-laid", "merge"])]),
    Format(
      name: "prompts", share: 3, mutators: SavedMutators.lines,
      places: ["dense", "neuron"].map { Place(base: $0, file: "prompts.jsonl", commands: ["generate"]) }),
    Format(
      name: "tools", share: 2, mutators: JSONMutators.file,
      places: ["neuron", "shards"].map { Place(base: $0, file: "tools.json", commands: ["run-tools"]) }),
  ]

  /// The format of a case: each as often as its share says, mixed well.
  static func of(case number: Int, _ formats: [Format]) -> Format {
    let total = formats.reduce(0) { $0 + $1.share }
    // A step that has no factor in common with the total visits all shares once in so many cases.
    var step = total * 5 / 8
    while step > 1, gcd(step, total) != 1 { step -= 1 }
    var draw = number * max(1, step) % total
    for format in formats {
      draw -= format.share
      if draw < 0 { return format }
    }
    return formats[0]
  }

  private static func gcd(_ a: Int, _ b: Int) -> Int { b == 0 ? a : gcd(b, a % b) }
}

/// Changes of a recipe by its keys.
enum RecipeMutators {
  private static let keys: [(String?, [String])] = [
    (
      nil,
      [
        "kind", "seed", "divergence", "tokens_at_once", "recompute", "checkpoint_every", "evaluate_every",
        "evaluation_sequences", "fade_steps", "weights", "about",
      ]
    ),
    ("rate", ["peak", "schedule", "warm_up", "floor"]),
    ("optimizer", ["beta1", "beta2", "epsilon", "weight_decay", "clip"]),
    (
      "eviction",
      [
        "window", "alpha_scale", "alpha_offset", "alpha_per", "tau", "adapter", "ratio", "steps_per_ratio", "weight",
        "trains", "calibrates", "exports",
      ]
    ), ("stages", ["steps", "sequences", "length", "size", "weights"]),
    ("data", ["text", "jsonl", "task", "questions", "weight", "scored"]),
  ]

  static let file = Mutators(
    [
      (60, key),
      (6, part),
    ] + JSONMutators.file.shares.map { ($0.share, $0.change) })

  private static let key: Mutator = { bytes, random in
    var tree = Tree(bytes)
    let (part, names) = random.pick(keys)
    let known = part.flatMap { tree[$0] } ?? tree
    let present = known.keys + (known.elements.first?.keys ?? [])
    let name = random.pick(random.chance(0.5) && !present.isEmpty ? present : names)
    let value =
      random.chance(0.5)
      ? .literal(
        random.pick([
          "0", "1", "2", "3", "-1", "0.5", "1e-30", "1e9", "1e6", "1073741824", "16777216", "[]", "[1]", "[0,0,0]",
          "true",
        ]))
      : JSONMutators.value(&random)
    switch part.flatMap({ tree[$0] }) {
    case .list(var elements)? where !elements.isEmpty:
      let index = random.below(elements.count)
      elements[index][name] = value
      tree[part ?? ""] = .list(elements)
    case .some(var object):
      object[name] = value
      tree[part ?? ""] = object
    case nil: tree[name] = value
    }
    return Mutation(
      bytes: tree.bytes,
      what: "\(part.map { $0 + "." } ?? "")\(name) is \(String(decoding: value.bytes, as: UTF8.self).prefix(60))")
  }

  private static let part: Mutator = { bytes, random in
    var tree = Tree(bytes)
    let name = random.pick(["kind", "stages", "data"])
    tree[name] = nil
    return Mutation(bytes: tree.bytes, what: "no \(name)", damage: .certain)
  }
}
