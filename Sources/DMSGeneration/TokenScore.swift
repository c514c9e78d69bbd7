// What logits say about a token: its log-probability, and those of the most likely ones. A token that is among them has the
// very same number there: who compares the two for equality, to learn whether the model would have said it, is right.

import DMSPlatform
import Glibc

/// A token's log-probability, beside the most likely ones. Of the model itself, before temperature and penalties.
public struct TokenScore: Sendable, Equatable {
  /// A token and its log-probability.
  public struct Entry: Sendable, Equatable {
    /// Its id.
    public var id: Int
    /// Natural logarithm; rounded to a float once.
    public var logProbability: Float
  }

  /// The token that came.
  public var token: Entry
  /// The most likely ones, best first, of equals the smaller id.
  public var top: [Entry]

  /// Cost: a pass over the logits, and one more for those at the top.
  init(_ id: Int, among logits: UnsafeBufferPointer<Float>, top count: Int) {
    let best = Self.largest(count, logits)
    var largest = -Float.infinity
    if let first = best.first { largest = logits[first] } else { for logit in logits { largest = max(largest, logit) } }
    var sum = 0.0
    for logit in logits { sum += exp(Double(logit - largest)) }
    let logSum = Double(largest) + log(sum)
    func entry(_ id: Int) -> Entry { Entry(id: id, logProbability: Float(Double(logits[id]) - logSum)) }
    token = entry(id)
    top = best.map(entry)
  }

  /// The places of the largest logits, in order.
  private static func largest(_ count: Int, _ logits: UnsafeBufferPointer<Float>) -> [Int] {
    guard count > 0 else { return [] }
    var best: [Int] = []
    best.reserveCapacity(count + 1)
    for index in logits.indices {
      let logit = logits[index]
      if best.count == count {
        guard logit > logits[best[count - 1]] else { continue }
        best.removeLast()
      }
      var place = best.count
      while place > 0, logits[best[place - 1]] < logit { place -= 1 }
      best.insert(index, at: place)
    }
    return best
  }

  /// The scores of the tokens that follow each of some rows of logits.
  static func all(
    _ rows: UnsafeBufferPointer<Float>, vocabulary: Int, ids: ArraySlice<Int>, top: Int, on pool: ThreadPool
  ) -> [TokenScore] {
    var scores = [TokenScore?](repeating: nil, count: ids.count)
    let ids = Array(ids)
    ids.withUnsafeBufferPointer { ids in
      scores.withUnsafeMutableBufferPointer { scores in
        guard let first = ids.baseAddress, let results = scores.baseAddress, let logits = rows.baseAddress else {
          return
        }
        pool.run(
          tasks: ids.count,
          Scoring(logits: logits, vocabulary: vocabulary, ids: first, top: top, scores: results))
      }
    }
    return scores.compactMap { $0 }
  }
}

/// One task per row.
private struct Scoring: ParallelWork {
  let logits: UnsafePointer<Float>  // [rows, vocabulary]
  let vocabulary: Int
  let ids: UnsafePointer<Int>
  let top: Int
  let scores: UnsafeMutablePointer<TokenScore?>

  func run(task row: Int, worker: Int) {
    scores[row] = TokenScore(
      ids[row], among: UnsafeBufferPointer(start: logits + row * vocabulary, count: vocabulary), top: top)
  }
}
