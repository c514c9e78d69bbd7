// The head and the loss in one, a few rows at a time: logits over the whole vocabulary are never held for all rows.
//
// N rows · C hidden · V vocabulary · M scored rows of the step
//
//   next token:       loss = −log p[target] / M                   dlogits = (p − 1[target]) / M
//   KL(student‖teacher) = Σ p_s (log p_s − log p_t)               dlogits = p_s (log p_s − log p_t − KL) / M
//   KL(teacher‖student) = Σ p_t (log p_t − log p_s)               dlogits = (p_s − p_t) / M

import DMSKernels
import DMSPlatform
import DMSTensor
import Glibc

/// The direction of the distillation loss, named by its formula; s is the student and t the teacher.
public enum Divergence: String, Sendable, CaseIterable {
  /// Σ p_s (log p_s − log p_t): what NVIDIA's reference computes.
  case studentTeacher = "student||teacher"
  /// Σ p_t (log p_t − log p_s)
  case teacherStudent = "teacher||student"
}

/// What the logits are compared with.
public enum Objective: Sendable {
  case nextToken
  case distillation(Divergence)
}

/// Sums over scored rows.
public struct LossSums: Sendable, Equatable {
  /// Over rows.
  public var loss = 0.0
  /// Rows that were scored.
  public var rows = 0
  /// Rows whose most likely token is the target (of a distillation: the teacher's most likely one).
  public var hits = 0

  static func += (sums: inout LossSums, more: LossSums) {
    sums.loss += more.loss
    sums.rows += more.rows
    sums.hits += more.hits
  }
}

struct LossHead {
  let objective: Objective
  let student: LinearMap  // [V, C]
  let teacher: LinearMap?

  /// Numbers of the logits that are held at a time.
  private static let held = 8 << 20

  static func rowsHeld(rows: Int, vocabulary: Int) -> Int { max(1, min(rows, max(16, held / vocabulary))) }

  /// - Parameters:
  ///   - normed, teacherNormed: `[N, C]`, after the final norm.
  ///   - share: 1 / M.
  ///   - dNormed: `[N, C]`, replaced; `nil` computes the loss alone.
  ///   - head: the trainable rows of the student's head.
  ///   - logits, teacherLogits: room for `rowsHeld` rows of V.
  func run(
    _ normed: UnsafePointer<Float>, teacherNormed: UnsafePointer<Float>?, batch: TokenBatch, share: Float,
    to dNormed: Floats?, head: [GradientRun], logits: Floats, teacherLogits: Floats?, _ pool: ThreadPool
  ) -> LossSums {
    let (rows, hidden, vocabulary) = (batch.rows, student.inputs, student.outputs)
    let step = Self.rowsHeld(rows: rows, vocabulary: vocabulary)
    var sums = LossSums()
    for first in stride(from: 0, to: rows, by: step) {
      let count = min(step, rows - first)
      student.forward(normed + first * hidden, rows: count, to: logits, pool)
      if let teacher, let teacherNormed, let teacherLogits {
        teacher.forward(teacherNormed + first * hidden, rows: count, to: teacherLogits, pool)
      }
      sums += losses(
        logits, teacherLogits, batch.targets[first..<first + count], share: share, isTraining: dNormed != nil, pool)
      guard let dNormed else { continue }
      student.backward(logits, rows: count, toInputs: dNormed + first * hidden, pool)
      student.backward(logits, normed + first * hidden, rows: count, toWeights: head, pool)
    }
    return sums
  }

  /// Replaces logits by their gradients.
  private func losses(
    _ logits: Floats, _ teacherLogits: Floats?, _ targets: ArraySlice<Int32>, share: Float, isTraining: Bool,
    _ pool: ThreadPool
  ) -> LossSums {
    let vocabulary = student.outputs
    return withUnsafeTemporaryAllocation(of: (loss: Double, isHit: Bool).self, capacity: targets.count) { found in
      pool.forPieces(of: targets.count, size: 8) { _, rows in
        for row in rows {
          let values = logits + row * vocabulary
          let target = targets[targets.startIndex + row]
          guard target >= 0 else {
            values.update(repeating: 0, count: vocabulary)
            found[row] = (0, false)
            continue
          }
          if case .distillation(let divergence) = objective, let teacherLogits {
            found[row] = distil(values, teacherLogits + row * vocabulary, divergence, share: share)
          } else {
            found[row] = predict(values, Int(target), share: share)
          }
        }
      }
      var sums = LossSums()
      for (row, target) in targets.enumerated() where target >= 0 {
        sums.loss += found[row].loss
        sums.rows += 1
        sums.hits += found[row].isHit ? 1 : 0
      }
      return sums
    }
  }

  private func predict(_ logits: Floats, _ target: Int, share: Float) -> (Double, Bool) {
    let vocabulary = student.outputs
    let (logSum, best) = logSumExp(logits, vocabulary)
    let loss = Double(logSum) - Double(logits[target])
    let isHit = best == target
    forSixteens(vocabulary, logits) { _, x in exponential(x - logSum) * share }
    logits[target] -= share
    return (loss, isHit)
  }

  /// Overwrites the teacher's logits.
  private func distil(_ logits: Floats, _ teacher: Floats, _ divergence: Divergence, share: Float) -> (Double, Bool) {
    let vocabulary = student.outputs
    let (own, best) = logSumExp(logits, vocabulary)
    let (others, teachersBest) = logSumExp(teacher, vocabulary)
    // log p_s − log p_t, in the teacher's place.
    let difference = teacher
    var sum = 0.0
    switch divergence {
    case .studentTeacher:
      for index in 0..<vocabulary { difference[index] = (logits[index] - own) - (teacher[index] - others) }
      forSixteens(vocabulary, logits) { _, x in exponential(x - own) }
      for index in 0..<vocabulary { sum += Double(logits[index] * difference[index]) }
      let mean = Float(sum)
      for index in 0..<vocabulary { logits[index] *= (difference[index] - mean) * share }
    case .teacherStudent:
      for index in 0..<vocabulary {
        let (s, t) = (logits[index] - own, teacher[index] - others)
        sum += Double(exp(t) * (t - s))
        logits[index] = (exp(s) - exp(t)) * share
      }
    }
    return (sum, best == teachersBest)
  }
}

/// log Σ exp and the place of the largest.
func logSumExp(_ values: UnsafePointer<Float>, _ count: Int) -> (logSum: Float, best: Int) {
  var best = 0
  for index in 1..<max(1, count) where values[index] > values[best] { best = index }
  let largest = values[best]
  var lanes = SIMD16<Float>()
  var index = 0
  while index + 16 <= count {
    lanes += exponential(UnsafeRawPointer(values + index).loadUnaligned(as: SIMD16<Float>.self) - largest)
    index += 16
  }
  var sum = 0.0
  for lane in 0..<16 { sum += Double(lanes[lane]) }
  while index < count {
    sum += Double(exp(values[index] - largest))
    index += 1
  }
  return (largest + Float(log(sum)), best)
}
