// What an answer may be, told token by token: a grammar, a schema, a list of choices. Which it is, is not known here.

import DMSText

/// Keeps an answer to a form. A value: its copies go on by themselves.
public protocol TokenConstraint: Sendable {
  /// Whether the answer may go on with the bytes of a token.
  func allows(_ bytes: [UInt8]) -> Bool
  /// The answer goes on with bytes that are allowed.
  mutating func append(_ bytes: [UInt8])
  /// Whether the answer may end here.
  var mayEnd: Bool { get }
  /// Whether nothing may follow.
  var isComplete: Bool { get }
}

extension TokenConstraint {
  /// Whether a token may come next. Control tokens have no place in a form; those that end the text come where it may end.
  func allows(_ id: Int, _ tokenizer: Tokenizer, _ eosIDs: Set<Int>) -> Bool {
    if eosIDs.contains(id) { return mayEnd }
    guard !tokenizer.isSpecial(id) else { return false }
    let bytes = tokenizer.bytes(of: id)
    return !bytes.isEmpty && allows(bytes)
  }

  /// For each token whether it may come next. Cost: asks of every first byte, and of the tokens that begin with one that may come.
  func allowed(_ tokenizer: Tokenizer, vocabulary: Int, _ eosIDs: Set<Int>) -> [Bool] {
    let begins = (0..<256).map { allows([UInt8($0)]) }
    return (0..<vocabulary).map { id in
      if !eosIDs.contains(id), let first = tokenizer.bytes(of: id).first, !begins[Int(first)] { return false }
      return allows(id, tokenizer, eosIDs)
    }
  }
}
