// The inner loops of decoding's attention over pages, in the instruction set that was chosen: the one place that chooses.
// The portable ones are here; those in C are their siblings with wider registers.
//
// R query heads that share a KV head · D head dim

import CKernels

struct PageKernels {
  let instructions: InstructionSet
  let group: Int
  let dim: Int
  /// Numbers from one query head's scores to the next one's.
  let stride: Int

  /// Whether keys and values can be read in this type; otherwise they must be widened to F32 first.
  func reads(_ type: KVType) -> Bool { type == .f32 || instructions.hasAVX2 }

  /// `scores[r, j] = Σ_d q[d, r] · keys[d, j]` for the slots of some pages. While pages are read, those after them are
  /// fetched, and in the end `next`: what will be read thereafter.
  func score(
    _ q: UnsafePointer<Float>, _ pages: UnsafeBufferPointer<UnsafeRawPointer?>, _ type: KVType, next: UnsafeRawPointer,
    _ scores: UnsafeMutablePointer<Float>
  ) {
    let (group, dim, stride, count) = (Int64(self.group), Int64(self.dim), Int64(self.stride), Int64(pages.count))
    let keys = pages.baseAddress
    switch (instructions.has512Bits, instructions.hasAVX2, type) {
    case (true, _, .f32): dms_scores_f32_avx512(q, group, dim, keys, count, next, scores, stride)
    case (true, _, .bf16): dms_scores_bf16_avx512(q, group, dim, keys, count, next, scores, stride)
    case (true, _, .f16): dms_scores_f16_avx512(q, group, dim, keys, count, next, scores, stride)
    case (true, _, .q8): dms_scores_q8_avx512(q, group, dim, keys, count, next, scores, stride)
    case (_, true, .f32): dms_scores_f32_avx2(q, group, dim, keys, count, next, scores, stride)
    case (_, true, .bf16): dms_scores_bf16_avx2(q, group, dim, keys, count, next, scores, stride)
    case (_, true, .f16): dms_scores_f16_avx2(q, group, dim, keys, count, next, scores, stride)
    case (_, true, .q8): dms_scores_q8_avx2(q, group, dim, keys, count, next, scores, stride)
    default:
      for (index, keys) in pages.enumerated() {
        if let keys { portableScore(q, keys, scores + index * KVLayout.slotsPerPage) }
      }
    }
  }

  /// `out[r, d] += Σ_j weights[r, j] · values[j, d]` over the first `live` slots of some pages.
  func weigh(
    _ weights: UnsafePointer<Float>, _ pages: UnsafeBufferPointer<UnsafeRawPointer?>, _ type: KVType,
    next: UnsafeRawPointer, live: Int, _ out: UnsafeMutablePointer<Float>
  ) {
    let (group, dim, stride, count) = (Int64(self.group), Int64(self.dim), Int64(self.stride), Int64(pages.count))
    let (values, slots) = (pages.baseAddress, Int64(live))
    switch (instructions.has512Bits, instructions.hasAVX2, type) {
    case (true, _, .f32): dms_weigh_f32_avx512(weights, stride, group, dim, values, count, next, slots, out)
    case (true, _, .bf16): dms_weigh_bf16_avx512(weights, stride, group, dim, values, count, next, slots, out)
    case (true, _, .f16): dms_weigh_f16_avx512(weights, stride, group, dim, values, count, next, slots, out)
    case (true, _, .q8): dms_weigh_q8_avx512(weights, stride, group, dim, values, count, next, slots, out)
    case (_, true, .f32): dms_weigh_f32_avx2(weights, stride, group, dim, values, count, next, slots, out)
    case (_, true, .bf16): dms_weigh_bf16_avx2(weights, stride, group, dim, values, count, next, slots, out)
    case (_, true, .f16): dms_weigh_f16_avx2(weights, stride, group, dim, values, count, next, slots, out)
    case (_, true, .q8): dms_weigh_q8_avx2(weights, stride, group, dim, values, count, next, slots, out)
    default:
      for (index, values) in pages.enumerated() {
        let first = index * KVLayout.slotsPerPage
        if let values { portableWeigh(weights + first, values, min(KVLayout.slotsPerPage, live - first), out) }
      }
    }
  }

  private func portableScore(
    _ q: UnsafePointer<Float>, _ keys: UnsafeRawPointer, _ scores: UnsafeMutablePointer<Float>
  ) {
    var query = 0
    while query < group {
      // Two queries share a load of the keys; the last may be alone.
      let other = min(query + 1, group - 1)
      var (first, second) = (SIMD16<Float>(), SIMD16<Float>())
      for channel in 0..<dim {
        let row = keys.loadUnaligned(fromByteOffset: channel * 64, as: SIMD16<Float>.self)
        first += row * q[channel * group + query]
        second += row * q[channel * group + other]
      }
      store(first, scores + query * stride)
      store(second, scores + other * stride)
      query += 2
    }
  }

  private func portableWeigh(
    _ weights: UnsafePointer<Float>, _ values: UnsafeRawPointer, _ live: Int, _ out: UnsafeMutablePointer<Float>
  ) {
    let values = values.assumingMemoryBound(to: Float.self)
    for query in 0..<group {
      let weight = weights + query * stride
      let sums = out + query * dim
      var channel = 0
      while channel + 16 <= dim {
        var sum = UnsafeRawPointer(sums + channel).loadUnaligned(as: SIMD16<Float>.self)
        for slot in 0..<live {
          sum += UnsafeRawPointer(values + slot * dim + channel).loadUnaligned(as: SIMD16<Float>.self) * weight[slot]
        }
        store(sum, sums + channel)
        channel += 16
      }
      while channel < dim {
        var sum = sums[channel]
        for slot in 0..<live { sum += values[slot * dim + channel] * weight[slot] }
        sums[channel] = sum
        channel += 1
      }
    }
  }
}

@inline(__always)
private func store(_ vector: SIMD16<Float>, _ pointer: UnsafeMutablePointer<Float>) {
  UnsafeMutableRawPointer(pointer).storeBytes(of: vector, as: SIMD16<Float>.self)
}
