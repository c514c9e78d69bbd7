// The folders that are changed: models so small that a case takes milliseconds, with every kind of file that the program
// reads. Some of them the program writes itself: sessions, traces, a training's folder, weights in blocks.

struct Bases {
  let root: String
  let program: Program

  /// Models by their names: Qwen3 with a borrowed neuron, Qwen2 in shards with the older tokenizer files, Llama with
  /// SentencePiece and FastDMS' metadata, Qwen3 with an adapter, and dense for training and for an adapter that lies apart. Two of them are GGUF files, too.
  static let models = ["neuron", "shards", "llama", "adapter", "dense"]

  /// Makes them all.
  func make() throws {
    for model in Self.models {
      let folder = "\(root)/\(model)"
      try makeFolder("\(folder)/model")
      var files = ModelFiles(model)
      try files.write(to: "\(folder)/model")
      try writeMaterial(folder)
    }
    for (name, model) in [("gguf", "neuron"), ("gguf-llama", "llama")] {
      let folder = "\(root)/\(name)"
      try makeFolder(folder)
      var files = ModelFiles(model)
      try files.writeGGUF(to: "\(folder)/model")
      try writeMaterial(folder)
    }
    for form in ["q8", "q4"] {
      let folder = "\(root)/\(form)"
      try makeFolder(folder)
      try run(["quantize", "../neuron/model", "model", "--weights", form, "--threads", "1"], in: folder)
      try writeMaterial(folder)
    }
    let neuron = "\(root)/neuron"
    try run(
      ["chat", "model", "--max-tokens", "3", "--threads", "1", "--session", "talk.session"], in: neuron,
      input: "turns.txt")
    for (name, split) in [("a", "100"), ("b", "5,3")] {
      try run(
        [
          "trace", "model", "--tokens", "ids.json", "--split", split, "--output", "\(name).safetensors", "--threads",
          "1",
        ], in: neuron)
    }
    let dense = "\(root)/dense"
    try run(["retrofit", "model", "made", "--recipe", "retrofit.json", "--threads", "1"], in: dense)
    try link("\(dense)/made/model-dms-adapter", to: "\(dense)/laid", copied: true)
    try remove("\(dense)/made")
    for (model, recipe) in [("dense", "pretrain"), ("adapter", "retrofit")] {
      let folder = "\(root)/\(model)"
      try run([recipe, "model", "run", "--recipe", "\(recipe).json", "--threads", "1"], in: folder)
      // As if it had been killed after its second step.
      for name in try entries("\(folder)/run")
      where name != "recipe.json" && name != "log.jsonl" && name != "checkpoints" {
        try remove("\(folder)/run/\(name)")
      }
      let last = try entries("\(folder)/run/checkpoints").filter { $0.hasSuffix(".safetensors") }.sorted().last
      if let last { try remove("\(folder)/run/checkpoints/\(last)") }
      let lines = try readFile("\(folder)/run/log.jsonl").split(separator: 0x0A)
        .filter { (Tree(Array($0))["step"]?.integer ?? 0) < 3 }
      try writeFile(lines.flatMap { $0 + [0x0A] }, to: "\(folder)/run/log.jsonl")
    }
  }

  private func run(_ arguments: [String], in folder: String, input: String? = nil) throws {
    let end = program.run(arguments, in: folder, input: input, output: "\(root)/output", errors: "\(root)/errors")
    guard end.code == 0 else {
      throw Failure(
        "dms \(arguments.joined(separator: " ")) in \(folder): \(end) \(String(decoding: try readFile("\(root)/errors"), as: UTF8.self))"
      )
    }
  }

  /// What is given to commands besides a model.
  private func writeMaterial(_ folder: String) throws {
    let text = "The quick brown fox jumps over the lazy dog. Zwölf Boxkämpfer, 12 + 30 = 42!\n".utf8
    try writeFile(Array("What is the value of a in the text?\n".utf8), to: "\(folder)/prompt.txt")
    try writeFile(Array("Hello.\nWhat else?\n".utf8), to: "\(folder)/turns.txt")
    try writeFile(Array("And then?\n".utf8), to: "\(folder)/next.txt")
    try writeFile(Array((0..<6).map { _ in Array(text) }.joined()), to: "\(folder)/text.txt")
    let lines = (0..<4).map { number in
      number % 2 == 0
        ? #"{"text": "The value of x\#(number) is \#(number * 7)."}"#
        : #"{"messages": [{"role": "user", "content": "Say \#(number)."}, {"role": "assistant", "content": "It is \#(number)."}]}"#
    }
    try writeFile(Array((lines.joined(separator: "\n") + "\n").utf8), to: "\(folder)/lines.jsonl")
    let prompts = [
      #"{"prompt": "Say 1."}"#, #"{"messages": [{"role": "user", "content": "Say 2."}]}"#, #"{"text": "The value of"}"#,
      #"{"question": "Which?", "choices": ["one", "two"]}"#,
    ]
    try writeFile(Array((prompts.joined(separator: "\n") + "\n").utf8), to: "\(folder)/prompts.jsonl")
    let ids = (0..<24).map { 3 + $0 * 7 % 200 }
    try writeFile(Tree.integers(ids).bytes, to: "\(folder)/ids.json")
    var file = TensorFile()
    file.tensors = [TensorFile.Tensor("input_ids", integers: ids.map(Int32.init))]
    try writeFile(file.bytes, to: "\(folder)/ids.safetensors")
    try writeFile(
      Array(
        #"[{"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object", "properties": {"a": {"type": "number"}}}}}]"#
          .utf8),
      to: "\(folder)/tools.json")
    for (name, recipe) in Recipes.all { try writeFile(Array(recipe.utf8), to: "\(folder)/\(name).json") }
  }
}

/// Trainings of three steps.
enum Recipes {
  /// Tokens of all steps, at most.
  static func tokens(of recipe: [UInt8]) -> Double {
    (Tree(recipe)["stages"]?.elements ?? []).reduce(0) { sum, stage in
      func number(_ key: String) -> Double {
        if case .literal(let text)? = stage[key] { Double(text) ?? 0 } else { 0 }
      }
      return sum + number("steps") * number("sequences") * number("length")
    }
  }

  private static let stages =
    #""stages": [{"steps": 3, "sequences": 2, "length": 24, "size": [20, 24], "weights": [1, 1, 1]}]"#
  private static let data =
    #""data": [{"text": "text.txt"}, {"jsonl": "lines.jsonl", "scored": "answers"}, {"task": "retrieval", "questions": 1, "weight": 0.5}]"#
  private static let rest =
    #""rate": {"peak": 0.001, "schedule": "cosine", "warm_up": 1, "floor": 0.1}, "optimizer": {"beta1": 0.9, "beta2": 0.95, "clip": 1.0, "weight_decay": 0.01}, "tokens_at_once": 64, "checkpoint_every": 1, "evaluate_every": 0, "evaluation_sequences": 1"#
  static let all = [
    "pretrain": #"{"kind": "pretrain", "seed": 1, \#(stages), \#(data), \#(rest)}"#,
    "fade": #"{"kind": "fade", "seed": 1, \#(stages), \#(data), \#(rest), "fade_steps": 2}"#,
    "retrofit":
      #"{"kind": "retrofit", "seed": 1, \#(stages), \#(data), \#(rest), "divergence": "teacher||student", "recompute": true, "eviction": {"window": 8, "alpha_scale": 10, "alpha_offset": 1, "tau": 0.3, "adapter": true, "ratio": 2, "steps_per_ratio": 1, "trains": "adapter", "exports": [1.5]}}"#,
  ]
}
