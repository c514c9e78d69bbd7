// Documents from several sources, shuffled, packed into sequences, batch by batch. Where the stream stands is a few numbers.

import DMSPlatform
import DMSText

/// Where a stream stands.
public struct BatchCursor: Sendable, Equatable {
  /// Documents so far: the address of the next choice of a source.
  public var documents = 0
  /// For each source the next item, counted over all rounds through it, and the next of its documents.
  public var sources: [Place]

  /// Where a source stands.
  public struct Place: Sendable, Equatable {
    /// Counted over all rounds.
    public var item = 0
    /// Of the item.
    public var document = 0
  }
}

/// A stream of batches from several sources.
public final class BatchStream {
  private let sources: [(source: any DataSource, weight: Double)]
  private let seed: UInt64
  private let isHeldOut: Bool
  /// Where it stands; setting it goes there.
  public var cursor: BatchCursor
  /// An item's documents as they were asked for, until the item is done with.
  private var open: [Open?]
  private var orders: [(round: Int, order: [Int32])?]
  private struct Open {
    let item: Int
    let length: Int
    let size: ClosedRange<Int>?
    let documents: [Document]
  }

  /// One in so many items of a finite source is held out.
  private static let heldOutShare = 50
  /// An item may have no document that fits; so many in a row are an error.
  private static let mostEmpty = 10_000
  /// More than any run comes to, and far from where counting ends.
  private static let mostItems = 1 << 62

  /// - Parameters:
  ///   - sources: with the share of documents that each is to give.
  ///   - isHeldOut: gives what the others do not.
  public init(_ sources: [(source: any DataSource, weight: Double)], seed: UInt64, isHeldOut: Bool = false) {
    self.sources = sources
    self.seed = seed
    self.isHeldOut = isHeldOut
    cursor = BatchCursor(sources: sources.map { _ in BatchCursor.Place() })
    open = sources.map { _ in nil }
    orders = sources.map { _ in nil }
  }

  /// The next sequences, each filled with documents as long as they fit.
  ///
  /// - Parameter weights: of the sources, in the place of their own.
  /// - Throws: `InputError` for a source that cannot be read.
  public func next(
    sequences: Int, length: Int, size: ClosedRange<Int>?, weights: [Double]? = nil
  ) throws -> TokenBatch {
    let weights = weights ?? sources.map(\.weight)
    var batch = TokenBatch()
    for _ in 0..<sequences {
      var (sequence, tokens) = ([Document](), 0)
      while true {
        let source = chooseSource(weights)
        let document = try document(of: source, length: length, size: size)
        guard tokens + document.ids.count <= length else { break }
        sequence.append(document)
        tokens += document.ids.count
        cursor.documents += 1
        cursor.sources[source].document += 1
      }
      batch.append(sequence)
    }
    return batch
  }

  private func chooseSource(_ weights: [Double]) -> Int {
    let uniform = RandomNumbers.uniform(seed: seed, sequence: 0, position: cursor.documents)
    var left = uniform * weights.reduce(0, +)
    for (index, weight) in weights.enumerated() {
      left -= weight
      if left < 0 { return index }
    }
    // Rounding may leave a little; the last source of all may have no weight.
    return weights.lastIndex { $0 > 0 } ?? 0
  }

  private func document(of source: Int, length: Int, size: ClosedRange<Int>?) throws -> Document {
    for _ in 0..<Self.mostEmpty {
      let place = cursor.sources[source]
      let documents: [Document]
      if let open = open[source], open.item == place.item, open.length == length, open.size == size {
        documents = open.documents
      } else {
        let item = item(place.item, of: source)
        documents = try sources[source].source.documents(of: item, longest: length, size: size)
        open[source] = Open(item: place.item, length: length, size: size, documents: documents)
      }
      if place.document < documents.count { return documents[place.document] }
      cursor.sources[source] = BatchCursor.Place(item: place.item + 1, document: 0)
    }
    throw InputError(
      "no document of \(length) tokens or less with something to predict among \(Self.mostEmpty)",
      remedy: "make the sequences longer; or the chat template does not show answers as they were: score everything")
  }

  /// What of a cursor cannot be where streams stand that have given these stages' documents; `nil`: it can be.
  ///
  /// - Throws: `InputError` for an item that cannot be read.
  func impossible(_ cursor: BatchCursor, after stages: [Recipe.Stage]) throws -> (key: String, problem: String)? {
    guard cursor.sources.count == sources.count else {
      return ("items", "\(cursor.sources.count) of them for \(sources.count) sources of data")
    }
    // A document is asked for twice at most, the second time for the sequence that it fits, and each time some are passed over.
    let most = 2 * Double(cursor.documents + 1) * Double(Self.mostEmpty)
    for (source, place) in cursor.sources.enumerated() {
      guard Double(place.item) <= most, place.item <= Self.mostItems else {
        return ("items", "\(place.item) after \(cursor.documents) documents")
      }
      guard place.document > 0 else { continue }
      let item = item(place.item, of: source)
      let documents = try stages.map {
        try sources[source].source.documents(of: item, longest: $0.length, size: $0.size).count
      }
      guard let count = documents.max(), place.document <= count else {
        return ("places", "\(place.document) of an item of at most \(documents.max() ?? 0) documents")
      }
    }
    return nil
  }

  /// The item at a place of the shuffled rounds.
  private func item(_ place: Int, of source: Int) -> Int {
    guard let all = sources[source].source.items else { return place }
    let heldOut = all >= Self.heldOutShare ? all / Self.heldOutShare : all > 1 ? 1 : 0
    // Of a single item there is nothing to hold out.
    let count = isHeldOut && heldOut > 0 ? heldOut : all - heldOut
    let first = isHeldOut && heldOut > 0 ? all - heldOut : 0
    let round = place / count
    if orders[source]?.round != round {
      var random = RandomStream(seed: RandomNumbers.seed(RandomNumbers.seed(seed, source + 1), round))
      orders[source] = (round, (0..<Int32(count)).shuffled(using: &random))
    }
    return first + Int(orders[source]?.order[place % count] ?? 0)
  }
}
