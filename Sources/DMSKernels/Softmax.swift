// Softmax folded in block by block, for decoding and prefill.

import CKernels

/// Turns a block of scores into weights relative to the largest score so far, and brings the sum and the output of the
/// blocks before to the same base. A block of which nothing is visible (all −∞) changes nothing.
@inline(__always)
func foldSoftmax(
  _ scores: UnsafeMutablePointer<Float>, _ count: Int, maximum: inout Float, sum: inout Float,
  output: UnsafeMutablePointer<Float>, _ dim: Int, _ instructions: InstructionSet
) {
  if instructions.hasAVX2, count % 16 == 0 {
    if instructions.has512Bits {
      dms_fold_softmax_avx512(scores, Int64(count), &maximum, &sum, output, Int64(dim))
    } else {
      dms_fold_softmax_avx2(scores, Int64(count), &maximum, &sum, output, Int64(dim))
    }
    return
  }
  let largest = largestOf(scores, count, atLeast: maximum)
  let base = largest == -.infinity ? 0 : largest
  if largest != maximum {
    let correction = exponential(SIMD16(repeating: maximum - base))[0]
    sum *= correction
    for channel in 0..<dim { output[channel] *= correction }
    maximum = largest
  }
  var sums = SIMD16<Float>()
  var index = 0
  while index + 16 <= count {
    let raw = UnsafeMutableRawPointer(scores + index)
    let weights = exponential(raw.loadUnaligned(as: SIMD16<Float>.self) - base)
    raw.storeBytes(of: weights, as: SIMD16<Float>.self)
    sums += weights
    index += 16
  }
  var total: Float = 0
  for lane in 0..<16 { total += sums[lane] }
  while index < count {
    scores[index] = exponential(SIMD16(repeating: scores[index] - base))[0]
    total += scores[index]
    index += 1
  }
  sum += total
}

/// The largest of `count` numbers and `least`.
package func largestOf(_ scores: UnsafePointer<Float>, _ count: Int, atLeast least: Float) -> Float {
  var lanes = SIMD16<Float>(repeating: least)
  var index = 0
  while index + 16 <= count {
    let values = UnsafeRawPointer(scores + index).loadUnaligned(as: SIMD16<Float>.self)
    lanes.replace(with: values, where: values .> lanes)
    index += 16
  }
  var largest = least
  for lane in 0..<16 where lanes[lane] > largest { largest = lanes[lane] }
  while index < count {
    if scores[index] > largest { largest = scores[index] }
    index += 1
  }
  return largest
}
