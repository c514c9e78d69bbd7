// Sums, norms, gates, the largest logit, and the preparation of heads on a device, against the slow twins.

import DMSCUDA
import DMSCheckpoint
import DMSKernels
import Testing

struct RowTests {
  @Test(arguments: EmulatedDevice.Turns.allCases)
  func sumsAndNormsAreThoseOfTheTwin(turns: EmulatedDevice.Turns) throws {
    var random = SplitMix(3)
    let device = EmulatedDevice(turns)
    for size in [1, 31, 64, 255, 256, 257, 700] {
      for (rows, adds) in [(1, true), (3, true), (2, false)] {
        let (x, delta, gain) = (random.floats(rows * size), random.floats(rows * size), random.floats(size))
        let (numbers, output, faults) = (try device.floats(x), try device.room(rows * size), try device.faults(rows))
        let (d, g) = (try device.floats(delta), try device.floats(gain))
        try DeviceRows(rows, on: device).addAndNormalize(
          numbers.address, delta: adds ? d.address : 0, size: size, gain: g.address, epsilon: 1e-6, to: output.address,
          DeviceFaults(faults, stage: 4))
        let sums = adds ? zip(x, delta).map { $0 + $1 } : x
        #expect(try numbers.floats() == sums)
        let expected = (0..<rows).flatMap {
          Reference.rmsNorm(Array(sums[$0 * size..<($0 + 1) * size]), gain: gain, epsilon: 1e-6)
        }
        // A norm is a sum of squares and a few roundings of numbers up to √size.
        #expect(largestDifference(try output.floats(), expected) <= Double(size).squareRoot() * 0x1p-20)
        #expect(try faults.integers().allSatisfy { $0 == Int(DeviceFaults.none) })
      }
    }
  }

  @Test func theFirstStageOfARowThatIsNotFiniteIsNoted() throws {
    let device = EmulatedDevice()
    var x = [Float](repeating: 1, count: 3 * 300)
    x[300 + 299] = .infinity
    let (numbers, output, faults) = (try device.floats(x), try device.room(900), try device.faults(3))
    let gain = try device.floats([Float](repeating: 1, count: 300))
    for stage in [7, 8] {
      try DeviceRows(3, on: device).addAndNormalize(
        numbers.address, delta: 0, size: 300, gain: gain.address, epsilon: 1e-6, to: output.address,
        DeviceFaults(faults, stage: stage))
    }
    #expect(try faults.integers() == [Int(DeviceFaults.none), 7, Int(DeviceFaults.none)])
  }

  @Test func gatesAreThoseOfTheTwin() throws {
    var random = SplitMix(5)
    let device = EmulatedDevice()
    for size in [1, 255, 256, 257] {
      let gateUp = random.floats(3 * 2 * size).map { $0 * 20 }
      let (input, output) = (try device.floats(gateUp), try device.room(3 * size))
      try DeviceRows(3, on: device).gate(input.address, size: size, to: output.address)
      let expected = (0..<3 * size).map { index in
        let (row, place) = index.quotientAndRemainder(dividingBy: size)
        return Reference.swiGLU(gate: gateUp[row * 2 * size + place], up: gateUp[(row * 2 + 1) * size + place])
      }
      #expect(largestDifference(try output.floats(), expected) <= 400 * 0x1p-21)
    }
  }

  @Test(arguments: EmulatedDevice.Turns.allCases)
  func theFirstOfTheLargestIsFound(turns: EmulatedDevice.Turns) throws {
    var random = SplitMix(6)
    let device = EmulatedDevice(turns)
    for count in [1, 2, 255, 256, 257, 1000] {
      // Few values, so that many are equal.
      let rows = (0..<4).map { _ in (0..<count).map { _ in Float(random.next() % 50) - 60 } }
      let (logits, output, faults) = (try device.floats(rows.flatMap { $0 }), try device.room(4), try device.faults(4))
      try DeviceRows(4, on: device).largest(
        of: logits.address, count: count, to: output.address, DeviceFaults(faults, stage: 9))
      #expect(try output.integers() == rows.map { row in row.firstIndex(of: row.max() ?? 0) ?? -1 })
      #expect(try faults.integers().allSatisfy { $0 == Int(DeviceFaults.none) })
    }
  }

  enum Kind: CaseIterable { case dense, borrowed, borrowedApart, perLayer, zeroedOnce, adapter, adapterPerLayer }

  private func settings(_ kind: Kind) -> DMSSettings? {
    var dms = DMSSettings()
    switch kind {
    case .dense: return nil
    case .borrowed, .borrowedApart: break
    case .perLayer: dms.alphaPer = .layer
    case .zeroedOnce: dms.zeroAfterRope = false
    case .adapter: dms.separateAlpha = true
    case .adapterPerLayer: (dms.separateAlpha, dms.alphaPer) = (true, .layer)
    }
    return dms
  }

  @Test(arguments: Kind.allCases, EmulatedDevice.Turns.allCases)
  func headsArePreparedAsTheFormulaSays(kind: Kind, turns: EmulatedDevice.Turns) throws {
    var random = SplitMix(8)
    let device = EmulatedDevice(turns)
    for (heads, kvHeads, dim) in [(1, 1, 2), (6, 2, 16), (4, 4, 34), (7, 1, 130), (9, 3, 64)] {
      for (hasNorms, rotates) in [(true, true), (false, true), (true, false)] {
        let rows = 3
        var twin = HeadTwin(
          heads: heads, kvHeads: kvHeads, dim: dim, dms: settings(kind), borrowsApart: kind == .borrowedApart,
          rotates: rotates)
        twin.queries = random.floats(rows * heads * dim)
        twin.keys = random.floats(rows * kvHeads * dim)
        twin.projected = random.floats(rows * kvHeads)
        (twin.cosines, twin.sines) = (random.floats(rows * dim / 2), random.floats(rows * dim / 2))
        if hasNorms { twin.norms = (random.floats(dim), random.floats(dim)) }
        let (queries, keys) = (try device.floats(twin.queries), try device.floats(twin.keys))
        let values = try device.floats(random.floats(rows * kvHeads * dim))
        let (decisions, faults) = (try device.room(rows * kvHeads), try device.faults(rows))
        let (cosines, sines) = (try device.floats(twin.cosines), try device.floats(twin.sines))
        let norms = try twin.norms.map { (try device.floats($0.query), try device.floats($0.key)) }
        let projected = try device.floats(twin.projected)
        var buffers = DeviceHeads.Buffers(
          queries: queries.address, keys: keys.address, values: values.address, decisions: decisions.address,
          queryNorm: norms?.0.address ?? 0, keyNorm: norms?.1.address ?? 0, cosines: cosines.address,
          sines: sines.address)
        if [.borrowedApart, .adapter, .adapterPerLayer].contains(kind) { buffers.projected = projected.address }
        try DeviceHeads(heads: heads, kvHeads: kvHeads, headDim: dim, epsilon: 1e-6, dms: settings(kind)).prepare(
          buffers, rows: rows, rotates: rotates, on: device, DeviceFaults(faults, stage: 1))
        let expected = twin.prepared(rows: rows)
        // Norms are up to √dim; the decision is a hundred times its channel.
        let tolerance = Double(dim).squareRoot() * 0x1p-20
        #expect(largestDifference(try queries.floats(), expected.queries) <= tolerance)
        #expect(largestDifference(try keys.floats(), expected.keys) <= tolerance)
        if kind != .dense { #expect(largestDifference(try decisions.floats(), expected.decisions) <= 100 * tolerance) }
        #expect(try faults.integers().allSatisfy { $0 == Int(DeviceFaults.none) })
      }
    }
  }
}

/// Head preparation in double precision, step by step as DMS' section 3.1 has it.
struct HeadTwin {
  let heads, kvHeads, dim: Int
  let dms: DMSSettings?
  let borrowsApart, rotates: Bool
  var queries: [Float] = []
  var keys: [Float] = []
  var projected: [Float] = []
  var cosines: [Float] = []
  var sines: [Float] = []
  var norms: (query: [Float], key: [Float])?

  init(heads: Int, kvHeads: Int, dim: Int, dms: DMSSettings?, borrowsApart: Bool, rotates: Bool) {
    self.heads = heads
    self.kvHeads = kvHeads
    self.dim = dim
    self.dms = dms
    self.borrowsApart = borrowsApart
    self.rotates = rotates
  }

  private func rotated(_ head: [Double], row: Int) -> [Double] {
    guard rotates else { return head }
    let half = dim / 2
    return head.indices.map { channel in
      let place = row * half + channel % half
      let (cosine, sine) = (Double(cosines[place]), Double(sines[place]))
      return channel < half
        ? head[channel] * cosine - head[channel + half] * sine : head[channel] * cosine + head[channel - half] * sine
    }
  }

  func prepared(rows: Int) -> (queries: [Double], keys: [Double], decisions: [Double]) {
    var (allQueries, allKeys, decisions): ([Double], [Double], [Double]) = ([], [], [])
    for row in 0..<rows {
      var raw: [Double] = []
      for head in 0..<heads {
        var query = Array(queries[(row * heads + head) * dim..<(row * heads + head + 1) * dim])
        let kvHead = head / (heads / kvHeads)
        let borrows = head % (heads / kvHeads) == 0 && dms.map { !$0.separateAlpha } ?? false
        if borrows, borrowsApart { query[dim - 1] = projected[row * kvHeads + kvHead] }
        var normed = norms.map { Reference.rmsNorm(query, gain: $0.query, epsilon: 1e-6) } ?? query.map(Double.init)
        if borrows {
          raw.append(normed[dim - 1])
          normed[dim - 1] = 0
        }
        var turned = rotated(normed, row: row)
        if borrows, dms?.zeroAfterRope == true { turned[dim - 1] = 0 }
        allQueries += turned
      }
      for head in 0..<kvHeads {
        let key = Array(keys[(row * kvHeads + head) * dim..<(row * kvHeads + head + 1) * dim])
        allKeys += rotated(
          norms.map { Reference.rmsNorm(key, gain: $0.key, epsilon: 1e-6) } ?? key.map(Double.init), row: row)
      }
      guard let dms else { continue }
      for kvHead in 0..<kvHeads {
        let from = dms.alphaPer == .layer ? 0 : kvHead
        let a = dms.separateAlpha ? Double(projected[row * kvHeads + from]) : raw[from]
        decisions.append(a * Double(dms.alphaScale) - Double(dms.alphaOffset))
      }
    }
    return (allQueries, allKeys, decisions)
  }
}
