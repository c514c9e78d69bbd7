// The last queries of a sequence, for policies that judge a token by what a short window of queries sees in it.
//
// L layers · N queries · H query heads · D head dim

import DMSKernels
import DMSPlatform
import DMSTensor

final class ObservationWindow {
  /// The most queries, N.
  let count: Int
  private let shape: CacheShape
  private let ring: FloatBuffer  // [L, N, H, D], by position modulo N
  private let ordered: FloatBuffer  // [N, H, D]

  init(_ count: Int, _ shape: CacheShape) {
    self.count = count
    self.shape = shape
    ring = FloatBuffer(shape.layers * count * shape.queryWidth)
    ordered = FloatBuffer(count * shape.queryWidth)
  }

  static func bytes(_ count: Int, _ shape: CacheShape) -> Int {
    (shape.layers + 1) * count * shape.queryWidth * MemoryLayout<Float>.stride
  }

  var bytes: Int { Self.bytes(count, shape) }

  func copy() -> ObservationWindow {
    let other = ObservationWindow(count, shape)
    other.ring.base.update(from: ring.base, count: ring.count)
    return other
  }

  /// Takes over a layer's queries of a call.
  func note(_ call: SettledCall) {
    let width = shape.queryWidth
    for token in max(0, call.tokens - count)..<call.tokens {
      let place = call.layer * count + (call.position + token) % count
      (ring.base + place * width).update(from: call.queries + token * width, count: width)
    }
  }

  /// The weights that the window's queries give to live slots, summed over the queries.
  ///
  /// - Returns: the weights, and the number of queries: all there are, if there are less than N.
  func attention(_ call: SettledCall, _ reduction: AttentionWeights.Reduction) -> (weights: WeightRows, queries: Int) {
    let (width, seen) = (shape.queryWidth, min(count, call.last + 1))
    for query in 0..<seen {
      let place = call.layer * count + (call.last + 1 - seen + query) % count
      (ordered.base + query * width).update(from: ring.base + place * width, count: width)
    }
    return (call.attention(of: ordered.base, count: seen, reduction), seen)
  }

  /// All of it, as numbers.
  var words: [UInt32] { (0..<ring.count).map { ring.base[$0].bitPattern } }

  /// Takes over what `words` gave.
  ///
  /// - Throws: `InputError` for another size, or numbers that are none.
  func restore(_ saved: SavedPolicy) throws {
    let floats = saved.words.map(Float.init(bitPattern:))
    guard floats.count == ring.count, floats.allSatisfy(\.isFinite) else {
      throw InputError("the saved cache does not fit: its eviction state is damaged")
    }
    ring.base.update(from: floats, count: floats.count)
  }
}

extension CacheShape {
  /// Numbers of a token's queries in a layer, H · D.
  var queryWidth: Int { kvHeads * group * headDim }
}

/// Each number with those of `reach` places on either side: their largest, or their mean, at the ends over those that are there.
enum Pooling {
  case largest, mean

  func apply(_ numbers: [Float], reach: Int) -> [Float] {
    numbers.indices.map { place in
      let around = numbers[max(0, place - reach)...min(numbers.count - 1, place + reach)]
      switch self {
      case .largest: return around.reduce(-.infinity) { max($0, $1) }
      case .mean: return around.reduce(0, +) / Float(around.count)
      }
    }
  }
}
