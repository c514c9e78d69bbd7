// What goes through the decoder at once: rows of tokens, cut into documents and into sequences.

/// N rows. A document is what attention sees as a whole; a sequence is a number of documents, and the unit of the ratio loss
/// and of the noise. There is no padding: documents have the lengths that they have.
public struct TokenBatch: Sendable, Equatable {
  /// Of all rows.
  public private(set) var ids: [Int32] = []  // [N]
  /// The place of each row in its document.
  public private(set) var positions: [Int32] = []  // [N]
  /// What follows each row and is to be predicted; -1 where nothing is.
  public private(set) var targets: [Int32] = []  // [N]
  /// Rows of each document, in order.
  public private(set) var documents: [Range<Int>] = []
  /// Rows of each sequence, in order.
  public private(set) var sequences: [Range<Int>] = []
  private var sequenceOfEachRow: [Int32] = []

  /// No rows.
  public init() {}

  /// Tokens in all.
  public var rows: Int { ids.count }
  /// Rows after which something is predicted.
  public var scoredRows: Int { targets.count { $0 >= 0 } }
  /// Tokens of the longest document.
  public var longestDocument: Int { documents.reduce(0) { max($0, $1.count) } }

  func sequenceOfRow(_ row: Int) -> Int { Int(sequenceOfEachRow[row]) }

  /// Appends a sequence.
  public mutating func append(_ sequence: [Document]) {
    let first = rows
    for document in sequence where !document.ids.isEmpty {
      documents.append(rows..<rows + document.ids.count)
      ids += document.ids
      positions += (0..<Int32(document.ids.count))
      targets += document.targets
    }
    sequenceOfEachRow += Array(repeating: Int32(sequences.count), count: rows - first)
    sequences.append(first..<rows)
  }

  /// Without predictions after a token (DMS, section 4: positions whose input is the end of a text do not count).
  func ignoring(_ token: Int?) -> TokenBatch {
    guard let token else { return self }
    var batch = self
    for row in ids.indices where Int(ids[row]) == token { batch.targets[row] = -1 }
    return batch
  }

  /// Some of its sequences.
  public func sequences(_ range: Range<Int>) -> TokenBatch {
    var part = TokenBatch()
    for sequence in sequences[range] {
      part.append(
        documents.filter { sequence.contains($0.lowerBound) }.map {
          Document(ids: Array(ids[$0]), targets: Array(targets[$0]))
        })
    }
    return part
  }
}

/// Token ids, and for each what is to be predicted after it.
public struct Document: Sendable, Equatable {
  /// The tokens.
  public var ids: [Int32]
  /// -1 where nothing is to be predicted.
  public var targets: [Int32]

  /// Tokens with what is to be predicted after each.
  public init(ids: [Int32], targets: [Int32]) {
    precondition(ids.count == targets.count, "a target for each token")
    self.ids = ids
    self.targets = targets
  }

  /// Each token predicts the next one; the last predicts `last`.
  ///
  /// - Parameter scored: which tokens are worth predicting; `nil` means all.
  public init(_ ids: [Int], last: Int? = nil, scored: [Bool]? = nil) {
    self.ids = ids.map(Int32.init)
    targets = ids.indices.map { index in
      let next = index + 1 < ids.count ? ids[index + 1] : last ?? -1
      let counts = index + 1 < ids.count ? scored?[index + 1] ?? true : true
      return counts ? Int32(next) : -1
    }
  }
}
