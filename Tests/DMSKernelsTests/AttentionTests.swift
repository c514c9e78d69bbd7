import DMSPlatform
import DMSTensor
import Glibc
import Testing

@testable import DMSKernels

/// A head's slots in pages of their own, some of them moved elsewhere.
final class Slots {
  let layout: KVLayout
  let count: Int
  private(set) var keys: [[Float]] = []
  private(set) var values: [[Float]] = []
  private let pages: UnsafeMutablePointer<KVPage>
  private let redirects: UnsafeMutablePointer<KVSlot>
  private var memory: [UnsafeMutableRawPointer] = []

  /// - Parameter moved: which slots lie in other pages; what stays in their places is NaN.
  init(_ layout: KVLayout, _ count: Int, seed: UInt64, moved: (Int) -> Bool = { _ in false }) {
    self.layout = layout
    self.count = count
    let pageCount = (count + 15) / 16
    pages = .allocate(capacity: max(1, pageCount))
    redirects = .allocate(capacity: max(1, 16 * pageCount))
    for page in 0..<pageCount { (pages + page).initialize(to: KVPage(base: newPage(), id: UInt32(page))) }
    var random = SplitMix(seed)
    var (overlay, elsewhere) = (newPage(), 0)
    for slot in 0..<count {
      var (key, value) = (random.floats(layout.headDim), random.floats(layout.headDim))
      layout.round(&key, 1)
      layout.round(&value, 1)
      if moved(slot) {
        if elsewhere == 16 {
          overlay = newPage()
          elsewhere = 0
        }
        (redirects + slot).initialize(to: KVSlot(base: overlay, id: 0, index: UInt32(elsewhere)))
        layout.store(key: key, value: value, page: overlay, index: elsewhere)
        pages[slot / 16].redirected |= 1 << UInt16(slot % 16)
        elsewhere += 1
      } else {
        layout.store(key: key, value: value, page: pages[slot / 16].base, index: slot % 16)
      }
      keys.append(key)
      values.append(value)
    }
  }

  private func newPage() -> UnsafeMutableRawPointer {
    let page = UnsafeMutableRawPointer.allocate(byteCount: layout.pageBytes, alignment: 64)
    memset(page, 0xFF, layout.pageBytes)  // NaN in every type: what is read by mistake shows
    memory.append(page)
    return page
  }

  deinit {
    for page in memory { page.deallocate() }
    pages.deallocate()
    redirects.deallocate()
  }

  var span: KVSpan { KVSpan(layout: layout, pages: pages, redirects: redirects, slots: count) }
}

/// Scores of D products, then weights that sum to 1: the result is off by the scores' error, e^δ − 1, on values up to 1.
private func attentionTolerance(_ dim: Int, _ keys: Int) -> Double { 4 * sumTolerance(dim) + sumTolerance(keys) + 4e-7 }

struct AttentionTests {
  /// The weights of a softmax, and what it does with blocks of which nothing is visible.
  @Test(arguments: InstructionSet.available)
  func softmaxIsThatOfTheTwin(instructions: InstructionSet) {
    var random = SplitMix(3)
    var scores = random.floats(64).map { $0 * 90 }
    for index in [0, 17, 63] { scores[index] = -.infinity }
    var (maximum, sum, output): (Float, Float, [Float]) = (-.infinity, 0, [0, 0, 0])
    var nothing = [Float](repeating: -.infinity, count: 16)
    nothing.withUnsafeMutableBufferPointer { scores in
      foldSoftmax(
        scores.baseAddress.unsafelyUnwrapped, 16, maximum: &maximum, sum: &sum, output: &output, 3, instructions)
    }
    #expect(maximum == -.infinity && sum == 0 && nothing.allSatisfy { $0 == 0 })
    (maximum, sum, output) = (1, 2, [1, -1, 0.5])
    let before = scores.map(Double.init)
    foldSoftmax(&scores, 64, maximum: &maximum, sum: &sum, output: &output, 3, instructions)
    let largest = max(1, before.max() ?? 1)
    #expect(Double(maximum) == largest)
    var total = 2 * exp(1 - largest)
    for (ours, score) in zip(scores, before) {
      let weight = score - largest < -87 ? 0 : exp(score - largest)
      // The difference of the scores, up to 180, is rounded to 2⁻¹⁷; so much is a weight off, relatively.
      #expect(abs(Double(ours) - weight) <= (3e-7 + 0x1p-17) * weight + 0x1p-149)
      total += weight
    }
    #expect(abs(Double(sum) - total) <= 1e-5 * total)
    #expect(abs(Double(output[2]) - 0.5 * exp(1 - largest)) <= (3e-7 + 0x1p-17) * exp(1 - largest))
  }

  @Test(arguments: KVType.allCases, [(2, 1), (8, 3), (24, 2), (64, 6), (80, 7), (128, 4), (16, 12), (40, 5)])
  func decodingIsThatOfTheTwin(type: KVType, shape: (dim: Int, group: Int)) throws {
    let layout = KVLayout(headDim: shape.dim, type: type)
    let counts = [1, 15, 16, 17, 255, 256, 257, 1024, 1025, 2300]
    for (count, instructions) in counts.flatMap({ count in InstructionSet.available.map { (count, $0) } }) {
      let slots = Slots(layout, count, seed: UInt64(count))
      let moved = Slots(layout, count, seed: UInt64(count)) { $0 % 3 == 1 || $0 == count - 1 }
      var random = SplitMix(9)
      let queries = random.floats(2 * shape.group * shape.dim)
      let out = try decode([slots, moved], queries, shape.group, instructions, threads: 1)
      let half = shape.group * shape.dim
      // Where a slot's bytes are does not change a bit.
      let same = try decode(
        [moved, moved], Array(queries[..<half] + queries[..<half]), shape.group, instructions, threads: 3)
      #expect(out[..<half].map(\.bitPattern) == same[..<half].map(\.bitPattern))
      for query in 0..<2 * shape.group {
        let own = Array(queries[query * shape.dim..<(query + 1) * shape.dim])
        let expected = Reference.attention(query: own, keys: slots.keys, values: slots.values)
        for channel in 0..<shape.dim {
          let ours = Double(out[query * shape.dim + channel])
          #expect(
            abs(ours - expected[channel]) <= attentionTolerance(shape.dim, count), "\(count) slots, \(instructions)")
        }
      }
    }
  }

  private func decode(_ heads: [Slots], _ queries: [Float], _ group: Int, _ instructions: InstructionSet, threads: Int)
    throws -> [Float]
  {
    let dim = heads[0].layout.headDim
    let stride = DecodeAttention.scratchCount(group: group, headDim: dim)
    let (out, scratch) = (FloatBuffer(queries.count), FloatBuffer(threads * stride))
    let pool = try ThreadPool(threads: threads)
    let spans = heads.map(\.span)
    let slots = spans.map(\.slots).max() ?? 0
    let partials = FloatBuffer(
      heads.count * DecodeAttention.partialCount(slots: slots, group: group, headDim: dim))
    spans.withUnsafeBufferPointer { spans in
      queries.withUnsafeBufferPointer { queries in
        guard let spans = spans.baseAddress, let queries = queries.baseAddress else { return }
        let work = DecodeAttention(
          spans: spans, queries: queries, output: out.base, sequences: 1, kvHeads: heads.count, group: group,
          scratch: scratch.base, scratchStride: stride, partials: partials.base,
          instructions: instructions)
        pool.run(tasks: work.tasks, work)
        if let combination = work.combination { pool.run(tasks: combination.tasks, combination) }
      }
    }
    return withExtendedLifetime(heads) { Array(UnsafeBufferPointer(start: out.base, count: out.count)) }
  }

  @Test func eightBitsAreNearAndStayWhatTheyAre() {
    var random = SplitMix(5)
    for dim in [2, 31, 32, 80, 128] {
      let layout = KVLayout(headDim: dim, type: .q8)
      for magnitude: Float in [1e-35, 1e-20, 1, 3e4, 1e30] {
        let x = random.floats(3 * dim).map { $0 * magnitude }
        var once = x
        layout.round(&once, 3)
        for first in stride(from: 0, to: 3 * dim, by: dim) {
          for block in stride(from: first, to: first + dim, by: 32) {
            let columns = block..<min(first + dim, block + 32)
            let most = columns.map { abs(x[$0]) }.max() ?? 0
            // Half a step, and a step is 2⁻⁹ off 1/127 of the largest, which 127 steps make 0.25 of one. Below 2⁻¹⁰⁰ nothing is kept.
            let bound = most < 0x1p-100 ? most : most / 127 * 0.76
            for column in columns { #expect(abs(once[column] - x[column]) <= bound) }
          }
        }
        var twice = once
        layout.round(&twice, 3)
        #expect(twice.map(\.bitPattern) == once.map(\.bitPattern))
      }
    }
    let layout = KVLayout(headDim: 40, type: .q8)
    for odd: Float in [.nan, .infinity, -.infinity] {
      var x = random.floats(40)
      x[7] = odd
      layout.round(&x, 1)
      #expect(x[..<32].allSatisfy(\.isNaN) && x[32...].allSatisfy(\.isFinite))
    }
  }

  /// Out of a page and into another one, by way of plain bytes or directly.
  @Test(arguments: KVType.allCases)
  func slotsMoveUnchanged(type: KVType) throws {
    let layout = KVLayout(headDim: 40, type: type)
    let slots = Slots(layout, 32, seed: 4)
    let others = [Slots(layout, 32, seed: 6), Slots(layout, 32, seed: 6)]
    var bytes = [UInt8](repeating: 0, count: layout.slotBytes)
    for slot in 0..<32 {
      let (source, index, place) = (slots.span.pages[slot / 16].base, slot % 16, (slot * 7 + 3) % 32)
      bytes.withUnsafeMutableBytes { bytes in
        guard let key = bytes.baseAddress else { return }
        layout.load(page: source, index: index, key: key, value: key + layout.vectorBytes)
        let target = others[0].span.pages[place / 16].base
        layout.restore(key: key, value: key + layout.vectorBytes, page: target, index: place % 16)
      }
      layout.copy(from: source, index: index, to: others[1].span.pages[place / 16].base, index: place % 16)
    }
    let (keys, values) = (FloatBuffer(16 * 40), FloatBuffer(16 * 40))
    for moved in others {
      for slot in 0..<32 {
        let place = (slot * 7 + 3) % 32
        let (key, value) = (
          moved.span.keys(page: place / 16, scratch: keys.base),
          moved.span.values(page: place / 16, scratch: values.base)
        )
        #expect((0..<40).map { key[$0 * 16 + place % 16] } == slots.keys[slot])
        #expect((0..<40).map { value[place % 16 * 40 + $0] } == slots.values[slot])
      }
    }
    withExtendedLifetime((slots, others)) {}
  }

  @Test(arguments: KVType.allCases, [(8, 3), (24, 1), (64, 6)])
  func prefillSeesWhatIsAliveAndNothingElse(type: KVType, shape: (dim: Int, group: Int)) throws {
    useOneBLASThread()
    let (dim, group, kvHeads) = (shape.dim, shape.group, 2)
    let layout = KVLayout(headDim: dim, type: type)
    for (cached, tokens) in [(0, 1), (0, 70), (17, 33), (300, 5), (260, 130)] {
      var random = SplitMix(UInt64(cached + tokens))
      let first = cached + 40  // some tokens before have been forgotten
      let heads = (0..<kvHeads).map { Slots(layout, cached, seed: UInt64($0)) { $0 % 5 == 0 } }
      let queries = random.floats(tokens * kvHeads * group * dim)
      var (keys, values) = (random.floats(tokens * kvHeads * dim), random.floats(tokens * kvHeads * dim))
      layout.round(&keys, tokens * kvHeads)
      layout.round(&values, tokens * kvHeads)
      // Half of everything ends at some position of the chunk, or before it.
      func lasts(_ count: Int, from: (Int) -> Int) -> [[Int32]] {
        (0..<kvHeads).map { _ in
          (0..<count).map { item in
            random.next() % 2 == 0
              ? KeyLifetimes.lasting : Int32(from(item) + Int(random.next() % UInt64(tokens + 1)))
          }
        }
      }
      let cachedLasts = lasts(cached) { _ in first - 1 }
      let chunkLasts = lasts(tokens) { first + $0 }
      let results = try [1, 3].map { threads in
        try prefill(heads, queries, keys, values, cachedLasts, chunkLasts, first, tokens, group, threads)
      }
      #expect(results[0].map(\.bitPattern) == results[1].map(\.bitPattern))
      for token in 0..<tokens {
        for head in 0..<kvHeads * group {
          let kvHead = head / group
          var (seenKeys, seenValues): ([[Float]], [[Float]]) = ([], [])
          for slot in 0..<cached where Int(cachedLasts[kvHead][slot]) >= first + token {
            seenKeys.append(heads[kvHead].keys[slot])
            seenValues.append(heads[kvHead].values[slot])
          }
          for other in 0...token where Int(chunkLasts[kvHead][other]) >= first + token {
            let place = (other * kvHeads + kvHead) * dim
            seenKeys.append(Array(keys[place..<place + dim]))
            seenValues.append(Array(values[place..<place + dim]))
          }
          guard !seenKeys.isEmpty else { continue }
          let place = (token * kvHeads * group + head) * dim
          let expected = Reference.attention(
            query: Array(queries[place..<place + dim]), keys: seenKeys, values: seenValues)
          for channel in 0..<dim {
            let difference = abs(Double(results[0][place + channel]) - expected[channel])
            #expect(difference <= attentionTolerance(dim, seenKeys.count), "\(cached) cached, token \(token)")
          }
        }
      }
    }
  }

  private func prefill(
    _ heads: [Slots], _ queries: [Float], _ keys: [Float], _ values: [Float], _ cachedLasts: [[Int32]],
    _ chunkLasts: [[Int32]], _ first: Int, _ tokens: Int, _ group: Int, _ threads: Int
  ) throws -> [Float] {
    let dim = heads[0].layout.headDim
    let stride = PrefillAttention.scratchCount(group: group, headDim: dim)
    let (out, scratch) = (FloatBuffer(queries.count), FloatBuffer(threads * stride))
    let pool = try ThreadPool(threads: threads)
    let flatCached = cachedLasts.flatMap { $0 }
    let flatChunk = chunkLasts.flatMap { $0 }
    flatCached.withUnsafeBufferPointer { cached in
      flatChunk.withUnsafeBufferPointer { chunk in
        guard let chunk = chunk.baseAddress else { return }
        let count = cachedLasts[0].count
        let lifetimes = heads.indices.map { head in
          KeyLifetimes(
            cached: count > 0 ? cached.baseAddress.map { $0 + head * count } : nil, chunk: chunk + head * tokens)
        }
        let spans = heads.map(\.span)
        spans.withUnsafeBufferPointer { spans in
          lifetimes.withUnsafeBufferPointer { lifetimes in
            guard let spans = spans.baseAddress, let lifetimes = lifetimes.baseAddress else { return }
            let work = PrefillAttention(
              spans: spans, lifetimes: lifetimes, queries: queries, keys: keys, values: values, output: out.base,
              firstPosition: first, tokens: tokens, kvHeads: heads.count, group: group, scratch: scratch.base,
              scratchStride: stride, instructions: .best)
            pool.run(tasks: work.tasks, work)
          }
        }
      }
    }
    return withExtendedLifetime(heads) { Array(UnsafeBufferPointer(start: out.base, count: out.count)) }
  }
}
