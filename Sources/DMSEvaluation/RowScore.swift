// The arithmetic of predictions: log-probabilities and divergences of rows of logits, in double precision, because a
// difference of a thousandth between two sums over 150,000 tokens is what is asked for.
//
// V vocabulary

import DMSPlatform
import Glibc

/// What a row of logits says about the token that came, and how far it is from a reference's row.
struct RowScore {
  /// −log p of the token.
  var nats = 0.0
  var referenceNats = 0.0
  /// KL(reference ‖ row): 0 for equal rows, exactly.
  var divergence = 0.0
  /// Whether the most likely token is the reference's; the first of several.
  var hasSameTop = false
  /// Largest difference of a logit from the reference's, and largest magnitude of those.
  var (logitDifference, referenceLogit): (Float, Float) = (0, 0)

  /// The scores of as many rows as there are targets, in order.
  static func all(
    _ logits: UnsafePointer<Float>, reference: UnsafePointer<Float>?, vocabulary: Int, targets: [Int],
    on pool: ThreadPool
  ) -> [RowScore] {
    var scores = Array(repeating: RowScore(), count: targets.count)
    targets.withUnsafeBufferPointer { targets in
      scores.withUnsafeMutableBufferPointer { scores in
        guard let first = targets.baseAddress, let result = scores.baseAddress else { return }
        pool.run(
          tasks: targets.count,
          RowScoring(logits: logits, reference: reference, vocabulary: vocabulary, targets: first, scores: result))
      }
    }
    return scores
  }
}

/// One task per row.
private struct RowScoring: ParallelWork {
  let logits: UnsafePointer<Float>  // [rows, V]
  let reference: UnsafePointer<Float>?  // [rows, V]
  let vocabulary: Int
  let targets: UnsafePointer<Int>
  let scores: UnsafeMutablePointer<RowScore>

  func run(task row: Int, worker: Int) {
    let own = Distribution(logits + row * vocabulary, vocabulary)
    var score = RowScore()
    score.nats = -own.logProbability(targets[row])
    if let reference {
      let other = Distribution(reference + row * vocabulary, vocabulary)
      score.referenceNats = -other.logProbability(targets[row])
      score.divergence = other.divergence(from: own)
      score.hasSameTop = own.top == other.top
      for index in 0..<vocabulary {
        let (ours, theirs) = (own.logits[index], other.logits[index])
        score.logitDifference = max(score.logitDifference, abs(ours - theirs))
        score.referenceLogit = max(score.referenceLogit, abs(theirs))
      }
    }
    scores[row] = score
  }
}

/// The probabilities that logits mean.
private struct Distribution {
  let logits: UnsafePointer<Float>
  let count: Int
  /// The place of the first largest logit.
  let top: Int
  private let logSum: Double

  init(_ logits: UnsafePointer<Float>, _ count: Int) {
    var top = 0
    for index in 0..<count where logits[index] > logits[top] { top = index }
    let largest = Double(logits[top])
    var sum = 0.0
    for index in 0..<count { sum += exp(Double(logits[index]) - largest) }
    (self.logits, self.count, self.top) = (logits, count, top)
    logSum = largest + log(sum)
  }

  @inline(__always)
  func logProbability(_ index: Int) -> Double { Double(logits[index]) - logSum }

  /// Σ p (log p − log q). It is not negative; what rounding takes below zero is zero.
  func divergence(from other: Distribution) -> Double {
    var sum = 0.0
    for index in 0..<count {
      let own = logProbability(index)
      sum += exp(own) * (own - other.logProbability(index))
    }
    // Not `max`, which would turn what is no number into zero.
    return sum < 0 ? 0 : sum
  }
}

/// e to the power x.
func exponential(_ x: Double) -> Double { exp(x) }
