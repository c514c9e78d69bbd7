// The commands that read the files, each with what it may write.

struct Command: Sendable {
  var name: String
  /// The folder is the case's own: `model` and the material lie in it.
  var arguments: [String]
  /// What of the base it needs.
  var needs: [String]
  /// A file for stdin.
  var input: String?
  /// What it may write; with a slash at the end, a folder.
  var outputs: [String] = []
  /// Whether it computes with the weights.
  var computes = true
  var isJSON = false
  /// Its exit code 1 may be the answer.
  var comparesOnly = false
  /// What is done before it fails may stay: a turn of a chat, a step of a training.
  var keepsWhatIsDone = false
  /// Of a training.
  var recipe: String? {
    outputs == ["run/"] ? "run/recipe.json" : outputs == ["new/"] ? needs.first { $0.hasSuffix(".json") } : nil
  }
  /// Whether stderr has a model's words.
  var showsThinking: Bool { arguments.first == "chat" }

  func writes(_ path: String) -> Bool {
    // Where a link led, the file behind it is the one.
    if path == "nowhere" { return keepsWhatIsDone }
    let path = path.hasSuffix(".moved") ? String(path.dropLast(6)) : path
    return outputs.contains { path == $0 || $0.hasSuffix("/") && (path.hasPrefix($0) || path + "/" == $0) }
  }

  /// Lines that say how far the work is.
  func isProgress(_ line: Substring) -> Bool {
    ["step ", "wrote ", "talk.session: "].contains { line.hasPrefix($0) } || line.hasPrefix("prefill ")
      || line.contains(" left  step ")
  }

  static func named(_ name: String) -> Command? { all[name] }

  static let all: [String: Command] = Dictionary(uniqueKeysWithValues: list.map { ($0.name, $0) })

  private static let one = ["--threads", "1"]
  private static let few = ["--max-tokens", "4"] + one

  private static let list: [Command] = [
    Command(
      name: "run", arguments: ["run", "model", "--prompt-file", "prompt.txt"] + few, needs: ["model", "prompt.txt"]),
    Command(
      name: "run-json",
      arguments: ["run", "model", "Hello there", "--json", "--temperature", "0", "--system", "Be brief."] + few,
      needs: ["model"],
      isJSON: true),
    Command(name: "run-raw", arguments: ["run", "model", "The", "--raw", "--kv-type", "q8"] + few, needs: ["model"]),
    Command(
      name: "run-q8", arguments: ["run", "model", "The", "--weights", "q8", "--no-eviction"] + few, needs: ["model"]),
    Command(name: "run-pipe", arguments: ["run", "model"] + few, needs: ["model", "prompt.txt"], input: "prompt.txt"),
    Command(name: "run-ids", arguments: ["run", "model", "--tokens", "ids.json"] + few, needs: ["model", "ids.json"]),
    Command(
      name: "run-idtensor", arguments: ["run", "model", "--tokens", "ids.safetensors"] + few,
      needs: ["model", "ids.safetensors"]),
    Command(
      name: "run-tools", arguments: ["run", "model", "--prompt-file", "prompt.txt", "--tools", "tools.json"] + few,
      needs: ["model", "prompt.txt", "tools.json"]),
    Command(
      name: "chat", arguments: ["chat", "model"] + few, needs: ["model", "turns.txt"], input: "turns.txt",
      keepsWhatIsDone: true),
    Command(
      name: "chat-session", arguments: ["chat", "model", "--session", "talk.session"] + few,
      needs: ["model", "talk.session", "next.txt"], input: "next.txt",
      outputs: ["talk.session"], keepsWhatIsDone: true),
    Command(name: "inspect", arguments: ["inspect", "model"], needs: ["model"], computes: false),
    Command(
      name: "trace",
      arguments: [
        "trace", "model", "--tokens", "ids.json", "--split", "5,3,1", "--detail", "--output", "out.safetensors",
      ] + one,
      needs: ["model", "ids.json"], outputs: ["out.safetensors"]),
    Command(
      name: "trace-ids",
      arguments: ["trace", "model", "--tokens", "ids.safetensors", "--output", "out.safetensors", "--last"] + one,
      needs: ["model", "ids.safetensors"], outputs: ["out.safetensors"]),
    Command(
      name: "trace-text",
      arguments: ["trace", "model", "--prompt", "The end", "--output", "out.safetensors", "--threads", "2"],
      needs: ["model"],
      outputs: ["out.safetensors"]),
    Command(
      name: "compare", arguments: ["compare", "a.safetensors", "b.safetensors"],
      needs: ["a.safetensors", "b.safetensors"], comparesOnly: true),
    Command(
      name: "compare-only",
      arguments: ["compare", "b.safetensors", "a.safetensors", "--only", "logits,decisions", "--tolerance", "1e-3"],
      needs: ["a.safetensors", "b.safetensors"], computes: false, comparesOnly: true),
    Command(
      name: "quantize-q8", arguments: ["quantize", "model", "out", "--weights", "q8"] + one, needs: ["model"],
      outputs: ["out/"]),
    Command(
      name: "quantize-q4", arguments: ["quantize", "model", "out", "--weights", "q4"] + one, needs: ["model"],
      outputs: ["out/"]),
    Command(
      name: "quantize-f16", arguments: ["quantize", "model", "out", "--weights", "f16"] + one, needs: ["model"],
      outputs: ["out/"]),
    Command(
      name: "run-laid", arguments: ["run", "model", "The", "--adapter", "laid"] + few, needs: ["model", "laid"]),
    Command(
      name: "merge", arguments: ["merge", "model", "laid", "out"] + one, needs: ["model", "laid"], outputs: ["out/"]),
    Command(
      name: "generate",
      arguments: ["generate", "model", "--prompts", "prompts.jsonl", "--output", "answers.jsonl"] + few,
      needs: ["model", "prompts.jsonl"], outputs: ["answers.jsonl"], keepsWhatIsDone: true),
    Command(
      name: "perplexity", arguments: ["perplexity", "model", "--text", "text.txt", "--context", "64", "--json"] + one,
      needs: ["model", "text.txt"],
      isJSON: true),
    Command(
      name: "perplexity-ids",
      arguments: ["perplexity", "model", "--tokens", "ids.json", "--against", "model", "--weights", "q4"] + one,
      needs: ["model", "ids.json"]),
    Command(
      name: "eval",
      arguments: [
        "eval", "model", "--task", "retrieval", "--problems", "1", "--size", "20-30", "--context", "160", "--json",
      ] + one,
      needs: ["model"], isJSON: true),
    Command(
      name: "bench",
      arguments: ["bench", "model", "--prompt", "4", "--generate", "2", "--repetitions", "1", "--json"] + one,
      needs: ["model"], isJSON: true),
    Command(
      name: "bench-shape",
      arguments: ["bench", "--shape", "model/config.json", "--prompt", "4", "--generate", "2", "--repetitions", "1"]
        + one,
      needs: ["model"], computes: false),
    Command(
      name: "retrofit", arguments: ["retrofit", "model", "new", "--recipe", "retrofit.json"] + one,
      needs: ["model", "retrofit.json", "text.txt", "lines.jsonl"], outputs: ["new/"], keepsWhatIsDone: true),
    Command(
      name: "fade", arguments: ["retrofit", "model", "new", "--recipe", "fade.json"] + one,
      needs: ["model", "fade.json", "text.txt", "lines.jsonl"],
      outputs: ["new/"], keepsWhatIsDone: true),
    Command(
      name: "pretrain", arguments: ["pretrain", "model", "new", "--recipe", "pretrain.json"] + one,
      needs: ["model", "pretrain.json", "text.txt", "lines.jsonl"], outputs: ["new/"], keepsWhatIsDone: true),
    Command(
      name: "estimate", arguments: ["retrofit", "model", "new", "--recipe", "retrofit.json", "--estimate"] + one,
      needs: ["model", "retrofit.json"],
      computes: false),
    Command(
      name: "resume", arguments: ["pretrain", "model", "run", "--resume"] + one,
      needs: ["model", "run", "text.txt", "lines.jsonl"], outputs: ["run/"],
      keepsWhatIsDone: true),
    Command(
      name: "resume-retrofit", arguments: ["retrofit", "model", "run", "--resume"] + one,
      needs: ["model", "run", "text.txt", "lines.jsonl"],
      outputs: ["run/"], keepsWhatIsDone: true),
    Command(
      name: "tokenizer",
      arguments: [
        "tokenizer", "train", "made", "--text", "text.txt", "--vocabulary", "300", "--special", "<|x|>",
        "--chat-template", "model/chat_template.jinja",
      ],
      needs: ["model", "text.txt"], outputs: ["made/"], computes: false),
  ]
}
