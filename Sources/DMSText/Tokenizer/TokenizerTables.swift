// A tokenizer whose tables stand in a container beside the weights, such as GGUF, instead of in files of its own. Which keys
// they come from is not known here.

import DMSPlatform

/// The tables of a tokenizer, by id.
public struct TokenizerTables: Sendable {
  /// How text becomes tokens.
  public enum Model: Sendable {
    /// Byte-level byte-pair encoding by a list of merges. Words are split in a way that has a name, such as `qwen2`.
    case byteLevel(preTokenizer: String)
    /// SentencePiece's byte-pair encoding: whatever neighbours give the token with the highest score are merged.
    case sentencePiece(scores: [Float])
  }

  /// What a token is, by the numbers that SentencePiece gave the kinds.
  public enum TokenType: Int, Sendable {
    case normal = 1, unknown, control, userDefined, unused, byte
  }

  /// How text becomes tokens.
  public var model: Model
  /// Tokens as vocabularies write them: in the byte alphabet, or with ▁ for a space.
  public var tokens: [[UInt8]]
  /// Empty if all are normal.
  public var types: [TokenType] = []
  /// Two tokens with a space between, the earliest first.
  public var merges: [[UInt8]] = []
  /// The token that begins a sequence.
  public var bosID: Int?
  /// The token that ends a sequence.
  public var eosID: Int?
  /// The token of what the vocabulary lacks.
  public var unknownID: Int?
  /// Whether BOS stands before a text; `nil`: as is usual for the model.
  public var addsBOS: Bool?
  /// Whether EOS stands behind a text; `nil`: it does not.
  public var addsEOS: Bool?
  /// Whether SentencePiece puts a space before a text; `nil`: it does.
  public var addsSpacePrefix: Bool?

  /// Tables of tokens alone.
  public init(model: Model, tokens: [[UInt8]]) { (self.model, self.tokens) = (model, tokens) }

  func type(of id: Int) -> TokenType { types.indices.contains(id) ? types[id] : .normal }

  /// The text of a token with a role.
  func text(of id: Int?, _ role: String, _ source: String) throws -> String? {
    guard let id else { return nil }
    guard tokens.indices.contains(id), !tokens[id].isEmpty else {
      throw InputError(
        "the token of \(role) is \(id), which the vocabulary lacks", at: source, remedy: "convert the model again")
    }
    guard let text = String(validating: tokens[id], as: UTF8.self) else {
      throw InputError("the token \(id) is not UTF-8", at: source, remedy: "convert the model again")
    }
    return text
  }

  /// Tokens that are found in a text before all else, in the order of their ids.
  func added(_ source: String) throws -> [DeclaredToken] {
    let roles = [bosID, eosID].compactMap { $0 }
    return try tokens.indices.compactMap { id -> DeclaredToken? in
      let type = type(of: id)
      let isSpecial = type == .control || type == .unknown || roles.contains(id)
      guard isSpecial || type == .userDefined, !tokens[id].isEmpty else { return nil }
      guard let content = String(validating: tokens[id], as: UTF8.self) else {
        throw InputError("the added token \(id) is not UTF-8", at: source, remedy: "convert the model again")
      }
      return DeclaredToken(content: content, isSpecial: isSpecial, normalized: false)
    }
  }
}

extension Tokenizer {
  /// A tokenizer of a container's tables.
  /// - Parameter source: names the container in errors.
  /// - Throws: `InputError` for an unknown pre-tokenizer, and for tables that contradict themselves.
  public convenience init(tables: TokenizerTables, source: String) throws {
    try self.init(TokenizerDefinition(tables, source: source))
  }
}
