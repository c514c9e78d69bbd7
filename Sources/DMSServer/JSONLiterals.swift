// Objects of responses as they read in the protocol's documents.

import DMSText

extension JSON: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral {
  /// A string.
  public init(stringLiteral value: String) { self = .string(value) }
  /// True or false.
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  /// An integer.
  public init(integerLiteral value: Int) { self = .integer(value) }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
  /// Members in their order.
  public init(dictionaryLiteral members: (String, JSON)...) {
    self.init()
    for (key, value) in members { self[key] = value }
  }
}
