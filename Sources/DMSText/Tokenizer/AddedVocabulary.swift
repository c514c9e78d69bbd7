// The tokens that are added to a vocabulary, and their ids. A token that stands in the vocabulary keeps its id; others are
// numbered in the order in which they are added, from the vocabulary's size on, whatever ids the files claim for them: the
// models were trained with Hugging Face tokenizers, and it counts so. Which tokens are added, and in which order, is said
// in SpecialTokens.swift.

import DMSPlatform

/// A token as a configuration declares it: an object with flags, or a bare string.
struct DeclaredToken: Hashable, Sendable {
  let content: String
  var isBare = false
  var isSpecial = false
  var stripsLeft = false
  var stripsRight = false
  var isSingleWord = false
  /// `nil`: normalised unless it is special.
  var normalized: Bool?

  var isNormalized: Bool { normalized ?? !isSpecial }

  /// A control token without further flags.
  static func control(_ content: String) -> DeclaredToken { DeclaredToken(content: content, isSpecial: true) }

  /// - Returns: `nil` if the value is neither a string nor an object with a content and flags.
  init?(_ value: JSON) {
    if let content = value.string {
      self.init(content: content, isBare: true)
      return
    }
    guard let content = value["content"]?.string else { return nil }
    self.init(content: content)
    for (key, flag) in [
      ("special", \DeclaredToken.isSpecial), ("lstrip", \.stripsLeft), ("rstrip", \.stripsRight),
      ("single_word", \.isSingleWord),
    ] {
      guard let value = value[key] else { continue }
      guard let isSet = value.bool else { return nil }
      self[keyPath: flag] = isSet
    }
    guard let normalized = value["normalized"] else { return }
    guard let isNormalized = normalized.bool else { return nil }
    self.normalized = isNormalized
  }

  init(content: String, isBare: Bool = false, isSpecial: Bool = false, normalized: Bool? = nil) {
    (self.content, self.isBare, self.isSpecial, self.normalized) = (content, isBare, isSpecial, normalized)
  }

  /// The same when everything about them is.
  static func == (left: DeclaredToken, right: DeclaredToken) -> Bool {
    left.content.isIdentical(to: right.content) && left.isBare == right.isBare && left.flags == right.flags
  }

  private var flags: [Bool] { [isSpecial, stripsLeft, stripsRight, isSingleWord, isNormalized] }

  func hash(into hasher: inout Hasher) { hasher.combine(ExactText(content)) }
}

struct AddedVocabulary: Sendable {
  /// Latest flags by id. A token that was special once stays so.
  private(set) var tokens: [Int: AddedToken] = [:]
  private var ids: [ExactText: Int] = [:]
  private var special: Set<ExactText> = []
  private var largest: Int?
  private var bytes = 0

  /// All contents together; a thousand real ones have 20,000 bytes.
  private static let mostBytes = 1 << 20

  func id(of content: String) -> Int? { ids[ExactText(content)] }

  /// - Parameter source: names the tokens' origin in errors.
  mutating func add(_ declared: some Sequence<DeclaredToken>, to vocabulary: Vocabulary, source: String) throws {
    // Counted once a call, so that a vocabulary with gaps may own the number: the added token takes it over.
    var next = max(vocabulary.count, largest.map { $0 + 1 } ?? 0)
    for token in declared where !token.content.isEmpty {
      let content = ExactText(token.content)
      let known = ids[content] ?? vocabulary.id(of: token.content)
      let id = known ?? next
      if known == nil { next += 1 }
      guard id < TokenizerDefinition.largestID else { throw InputError("too many tokens", at: source) }
      if ids.updateValue(id, forKey: content) == nil { bytes += token.content.utf8.count }
      guard bytes <= Self.mostBytes else {
        throw InputError("the added tokens take more than \(Self.mostBytes) bytes", at: source)
      }
      if token.isSpecial { special.insert(content) }
      largest = max(largest ?? id, id)
      tokens[id] = AddedToken(
        id: id, content: token.content, isSpecial: special.contains(content), stripsLeft: token.stripsLeft,
        stripsRight: token.stripsRight, isSingleWord: token.isSingleWord, isNormalized: token.isNormalized)
    }
  }
}
