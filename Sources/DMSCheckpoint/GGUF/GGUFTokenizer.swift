// The tokenizer that a GGUF file carries, by its keys `tokenizer.ggml.…`.

import DMSPlatform
import DMSText

extension Tokenizer {
  /// The tokenizer of a GGUF file.
  /// - Throws: `InputError` for keys that are missing or cannot be, and for models and pre-tokenizers that are not supported.
  public convenience init(gguf file: GGUFFile) throws {
    try self.init(tables: file.tokenizerTables(), source: file.path)
  }
}

extension GGUFFile {
  private static let tokenizer = "tokenizer.ggml."
  /// Twice as many as the largest vocabularies have.
  private static let (mostTokens, mostMerges) = (1 << 19, 1 << 20)

  func tokenizerTables() throws -> TokenizerTables {
    let model: TokenizerTables.Model
    let count = try tokenCount()
    switch value(Self.tokenizer + "model")?.string {
    case "gpt2": model = .byteLevel(preTokenizer: try preTokenizer())
    case "llama":
      var scores: [Float] = []
      try forEach("scores", in: count...count) { scores.append(Float($0.number ?? .nan)) }
      model = .sentencePiece(scores: scores)
    case let name:
      throw wrong("model", "the tokenizer \(quoted(name ?? "?")) is not supported: gpt2 and llama are")
    }
    var tokens: [[UInt8]] = []
    try forEach("tokens", in: count...count) { tokens.append(try bytes($0, "tokens")) }
    var tables = TokenizerTables(model: model, tokens: tokens)
    if value(Self.tokenizer + "token_type") != nil {
      try forEach("token_type", in: count...count) { type in
        guard let type = type.integer.flatMap(TokenizerTables.TokenType.init(rawValue:)) else {
          throw wrong("token_type", "a number from 1 to 6 expected")
        }
        tables.types.append(type)
      }
    }
    // Each merge makes a token, though some make one in two ways.
    if case .byteLevel = model {
      try forEach("merges", in: 0...min(4 * count, Self.mostMerges)) { tables.merges.append(try bytes($0, "merges")) }
    }
    tables.bosID = try integer(Self.tokenizer + "bos_token_id")
    tables.eosID = try integer(Self.tokenizer + "eos_token_id")
    if case .sentencePiece = model {
      // SentencePiece's own numbers, where the file names no others.
      (tables.bosID, tables.eosID) = (tables.bosID ?? 1, tables.eosID ?? 2)
      tables.unknownID = try integer(Self.tokenizer + "unknown_token_id") ?? 0
    }
    tables.addsBOS = try flag("add_bos_token")
    tables.addsEOS = try flag("add_eos_token")
    tables.addsSpacePrefix = try flag("add_space_prefix")
    return tables
  }

  /// Files from before 2024-05 do not name it.
  private func preTokenizer() throws -> String {
    if let value = value(Self.tokenizer + "pre") {
      guard let name = value.string else { throw wrong("pre", "a text expected") }
      return name
    }
    return value("general.architecture")?.string?.hasPrefix("qwen") ?? false ? "qwen2" : "default"
  }

  /// Ids are rows of the embedding, which bounds what the tables can ask for: with their data, files are as large as they say.
  private func tokenCount() throws -> Int {
    guard let count = value(Self.tokenizer + "tokens")?.array?.count else { throw wrong("tokens", "a list expected") }
    let most = min(try tensor(named: "token_embd.weight").shape[0], Self.mostTokens)
    guard count <= most else {
      throw wrong("tokens", "at most \(most) expected, one for each row of the embedding, found \(count)")
    }
    return count
  }

  private func forEach(_ key: String, in counts: ClosedRange<Int>, _ body: (GGUFValue) throws -> Void) throws {
    guard let list = value(Self.tokenizer + key)?.array else { throw wrong(key, "a list expected") }
    guard counts.contains(list.count) else {
      let bound = counts.count == 1 ? "\(counts.upperBound)" : "at most \(counts.upperBound)"
      throw wrong(key, "\(bound) values expected, found \(list.count)")
    }
    try list.forEach(body)
  }

  private func bytes(_ value: GGUFValue, _ key: String) throws -> [UInt8] {
    guard case .string(let text) = value else { throw wrong(key, "a list of texts expected") }
    return Array(text)
  }

  private func flag(_ key: String) throws -> Bool? {
    guard let value = value(Self.tokenizer + key) else { return nil }
    guard let flag = value.bool else { throw wrong(key, "true or false expected") }
    return flag
  }

  private func wrong(_ key: String, _ problem: String) -> InputError {
    InputError(problem, at: "\(path): \(Self.tokenizer)\(key)", remedy: "convert the model again")
  }
}
