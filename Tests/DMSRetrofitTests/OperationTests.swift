// Each operation's forward beside its twin, and its backward beside the finite differences of the twin, on awkward shapes.

import DMSPlatform
import DMSTensor
import Testing

@testable import DMSRetrofit

final class OperationTests {
  private let pool = try? ThreadPool(threads: 2)
  /// Buffers live as long as the test: the operations take their addresses.
  private var kept: [FloatBuffer] = []

  private func room(_ count: Int) -> FloatBuffer {
    let buffer = FloatBuffer(count)
    kept.append(buffer)
    return buffer
  }

  /// Fixed numbers in (-1, 1).
  private func numbers(_ count: Int, _ seed: UInt64) -> [Double] {
    (0..<count).map { Double(Float(2 * RandomNumbers.uniform(seed: seed, sequence: 0, position: $0) - 1)) }
  }

  private func buffer(_ values: [Double]) -> FloatBuffer {
    let buffer = room(values.count)
    for (index, value) in values.enumerated() { buffer.base[index] = Float(value) }
    return buffer
  }

  private func run(_ buffer: FloatBuffer, _ rows: Int) -> [GradientRun] {
    [GradientRun(first: 0, count: rows, gradient: buffer.base)]
  }

  /// Sums of at most a few dozen fp32 products of numbers about 1, each rounded by 2^-24: 1e-5 of the largest is generous, and
  /// far from what a wrong term does.
  private func expect(_ found: FloatBuffer, _ expected: [Double], _ name: String) {
    #expect(found.count == expected.count, "\(name)")
    let largest = expected.reduce(1e-3) { max($0, abs($1)) }
    let difference = expected.indices.reduce(0.0) { max($0, abs(Double(found.base[$1]) - expected[$1])) }
    #expect(difference <= 1e-5 * largest, "\(name): \(difference) of \(largest)")
  }

  @Test(arguments: [(1, 1, 1), (3, 5, 2), (65, 7, 33), (300, 3, 7)])
  func linearMap(rows: Int, inputs: Int, outputs: Int) throws {
    let pool = try #require(pool)
    let arguments = [numbers(rows * inputs, 1), numbers(outputs * inputs, 2), numbers(outputs, 3)]
    let (x, w, b) = (buffer(arguments[0]), buffer(arguments[1]), buffer(arguments[2]))
    let c = numbers(rows * outputs, 4)
    let map = LinearMap(weights: w.base, bias: b.base, outputs: outputs, inputs: inputs, products: .f32)
    let y = room(rows * outputs)
    map.forward(x.base, rows: rows, to: y.base, pool)
    let twin = Twins.linear(rows: rows, inputs: inputs, outputs: outputs)
    expect(y, twin(arguments), "y")
    let (dx, dw, db) = (room(x.count), room(w.count), room(b.count))
    let dy = buffer(c)
    map.backward(dy.base, rows: rows, toInputs: dx.base, pool)
    map.backward(dy.base, x.base, rows: rows, toWeights: run(dw, outputs), pool)
    map.backward(dy.base, rows: rows, toBias: run(db, outputs), pool)
    let expected = Twins.gradients(twin, arguments, c)
    expect(dx, expected[0], "dx")
    expect(dw, expected[1], "dw")
    expect(db, expected[2], "db")
  }

  @Test func onlyTheRowsThatTrainGetGradients() throws {
    let pool = try #require(pool)
    let (rows, inputs, outputs) = (9, 4, 6)
    let arguments = [numbers(rows * inputs, 1), numbers(outputs * inputs, 2), numbers(outputs, 3)]
    let (x, w, dy) = (buffer(arguments[0]), buffer(arguments[1]), buffer(numbers(rows * outputs, 4)))
    let part = room(2 * inputs)
    LinearMap(weights: w.base, bias: nil, outputs: outputs, inputs: inputs, products: .f32).backward(
      dy.base, x.base, rows: rows, toWeights: [GradientRun(first: 3, count: 2, gradient: part.base)], pool)
    let all = Twins.gradients(
      Twins.linear(rows: rows, inputs: inputs, outputs: outputs), arguments, numbers(rows * outputs, 4))
    expect(part, Array(all[1][3 * inputs..<5 * inputs]), "rows 3 and 4")
  }

  @Test(arguments: [(1, 1), (3, 8), (70, 13)])
  func norm(rows: Int, size: Int) throws {
    let pool = try #require(pool)
    let arguments = [numbers(rows * size, 1), numbers(size, 2)]
    let (x, gain) = (buffer(arguments[0]), buffer(arguments[1]))
    let (y, scales, partials) = (
      room(rows * size), room(rows), room(PartialSums.count(rows: rows) * size)
    )
    let norm = RMSNorm(gain: gain.base, epsilon: 1e-3, size: size)
    norm.forward(x.base, rows: rows, to: y.base, scales: scales.base, pool)
    let twin = Twins.norm(rows: rows, size: size, epsilon: Double(Float(1e-3)))
    expect(y, twin(arguments), "y")
    let c = numbers(rows * size, 3)
    let (dx, dgain) = (room(rows * size), room(size))
    norm.backward(
      buffer(c).base, x.base, scales: scales.base, rows: rows, to: dx.base, accumulating: false, gain: run(dgain, size),
      partials: partials.base, pool)
    let expected = Twins.gradients(twin, arguments, c)
    expect(dx, expected[0], "dx")
    expect(dgain, expected[1], "dgain")
  }

  @Test(arguments: [(1, 1), (3, 17), (40, 32)])
  func gatedUnit(rows: Int, size: Int) throws {
    let pool = try #require(pool)
    let arguments = [numbers(rows * 2 * size, 1).map { 3 * $0 }]
    let (x, y, dx) = (buffer(arguments[0]), room(rows * size), room(rows * 2 * size))
    GatedUnit.forward(x.base, rows: rows, size: size, to: y.base, pool)
    let twin = Twins.gated(rows: rows, size: size)
    expect(y, twin(arguments), "h")
    let c = numbers(rows * size, 2)
    GatedUnit.backward(buffer(c).base, x.base, rows: rows, size: size, to: dx.base, pool)
    expect(dx, Twins.gradients(twin, arguments, c)[0], "dx")
  }

  @Test func embeddingAddsWhatRowsOfOneIDHave() throws {
    let pool = try #require(pool)
    let (size, ids) = (70, [2, 0, 2, 1, 2].map(Int32.init))
    let c = numbers(ids.count * size, 1)
    let (table, x, gradient) = (buffer(numbers(3 * size, 2)), room(ids.count * size), room(3 * size))
    Embedding.forward(ids, table.base, size: size, to: x.base, pool)
    for (row, id) in ids.enumerated() {
      for channel in 0..<size { #expect(x.base[row * size + channel] == table.base[Int(id) * size + channel]) }
    }
    Embedding.backward(buffer(c).base, ids, size: size, table: run(gradient, 3), pool)
    var expected = [Double](repeating: 0, count: 3 * size)
    for (row, id) in ids.enumerated() {
      for channel in 0..<size { expected[Int(id) * size + channel] += c[row * size + channel] }
    }
    expect(gradient, expected, "dE")
  }

  struct Preparation: Sendable, CustomTestStringConvertible {
    let normed: Bool
    let borrowed: HeadPreparation.Borrowed
    var testDescription: String { "normed \(normed), borrowed \(borrowed)" }
  }

  @Test(
    arguments: [true, false].flatMap { normed in
      [HeadPreparation.Borrowed.untouched, .zeroed, .zeroedAndRead].map { Preparation(normed: normed, borrowed: $0) }
    })
  func headPreparation(_ way: Preparation) throws {
    let pool = try #require(pool)
    let (shape, positions) = (Twins.Heads(), [0, 1, 2, 0, 1])
    let (rows, dim, half) = (positions.count, shape.headDim, shape.headDim / 2)
    let frequencies = [1, 0.3, 0.07]
    let arguments = [numbers(rows * shape.width, 1), numbers(dim, 2), numbers(dim, 3)]
    let (x, queryGain, keyGain) = (buffer(arguments[0]), buffer(arguments[1]), buffer(arguments[2]))
    let table = { (f: (Double) -> Double) in
      self.buffer((0..<3).flatMap { position in frequencies.map { f(Double(position) * $0) } })
    }
    let (cosines, sines) = (table(cosine), table(sine))
    func norm(_ gain: FloatBuffer) -> RMSNorm? {
      way.normed ? RMSNorm(gain: gain.base, epsilon: 1e-3, size: dim) : nil
    }
    #expect(half == frequencies.count)
    let operation = HeadPreparation(
      heads: shape.heads, kvHeads: shape.kvHeads, headDim: dim, queryNorm: norm(queryGain), keyNorm: norm(keyGain),
      cosines: cosines.base, sines: sines.base, borrowed: way.borrowed)
    let (queryCount, keyCount) = (shape.heads * rows * dim, shape.kvHeads * rows * dim)
    let all = room(queryCount + keyCount + rows * shape.kvHeads)
    let scales = room(rows * (shape.heads + shape.kvHeads))
    operation.forward(
      x.base, positions: positions.map(Int32.init), queries: all.base, keys: all.base + queryCount, scales: scales.base,
      decisions: all.base + queryCount + keyCount, pool)
    let twin = Twins.preparation(
      shape, positions: positions, frequencies: frequencies, normed: way.normed, zeroes: way.borrowed != .untouched,
      reads: way.borrowed == .zeroedAndRead, epsilon: Double(Float(1e-3)))
    expect(all, twin(arguments), "queries, keys, decisions")
    let c = numbers(all.count, 4)
    let dAll = buffer(c)
    let (dx, dQuery, dKey) = (room(x.count), room(dim), room(dim))
    operation.backward(
      x.base, positions: positions.map(Int32.init), scales: scales.base, dQueries: dAll.base,
      dKeys: dAll.base + queryCount, dDecisions: dAll.base + queryCount + keyCount, to: dx.base,
      queryGain: way.normed ? run(dQuery, dim) : [], keyGain: way.normed ? run(dKey, dim) : [],
      partials: room(PartialSums.count(rows: rows) * 2 * dim).base, pool)
    let expected = Twins.gradients(twin, arguments, c)
    expect(dx, expected[0], "dx")
    expect(dQuery, expected[1], "query gain")
    expect(dKey, expected[2], "key gain")
  }

  struct Way: Sendable, CustomTestStringConvertible {
    let documents: [Int]
    let window: Int?
    var testDescription: String { "documents of \(documents), window \(window.map(String.init) ?? "none")" }
  }

  @Test(
    arguments: [
      Way(documents: [1], window: nil), Way(documents: [7, 3], window: nil), Way(documents: [5, 9, 1], window: 2),
      Way(documents: [6], window: 0), Way(documents: [70], window: 40),
    ])
  func attention(_ way: Way) throws {
    let pool = try #require(pool)
    let shape = Twins.Heads()
    var documents: [Range<Int>] = []
    for count in way.documents {
      let first = documents.last?.upperBound ?? 0
      documents.append(first..<first + count)
    }
    let (rows, dim) = (way.documents.reduce(0, +), shape.headDim)
    let (queryCount, keyCount) = (shape.heads * rows * dim, shape.kvHeads * rows * dim)
    let arguments = [
      numbers(queryCount, 1).map { 2 * $0 }, numbers(keyCount, 2), numbers(keyCount, 3),
      numbers(shape.kvHeads * rows, 4),
    ]
    let (queries, keys, values, bias) = (
      buffer(arguments[0]), buffer(arguments[1]), buffer(arguments[2]), buffer(arguments[3])
    )
    let operation = Attention(
      kvHeads: shape.kvHeads, group: shape.group, headDim: dim, window: way.window, products: .f32)
    let inputs = Attention.Inputs(
      queries: queries.base, keys: keys.base, values: values.base, valueStride: shape.kvHeads * dim,
      bias: way.window == nil ? nil : UnsafePointer(bias.base), rows: rows, documents: documents)
    let stride = operation.scratch(longest: way.documents.max() ?? 0)
    let scratch = room(2 * stride)
    let (output, logSums) = (room(queryCount), room(rows * shape.heads))
    operation.forward(
      inputs, to: output.base, logSums: logSums.base, scratch: scratch.base, stride: stride, pool)
    let twin = Twins.attention(shape, documents: documents, window: way.window)
    expect(output, twin(arguments), "output")
    // Of longer documents the slope of the whole loss is tested.
    guard rows < 20 else { return }
    let c = numbers(queryCount, 5)
    let (dQueries, dKeys, dValues, dBias) = (
      room(queryCount), room(keyCount), room(keyCount), room(bias.count)
    )
    operation.backward(
      inputs, output: output.base, logSums: logSums.base, dOutput: buffer(c).base, dQueries: dQueries.base,
      dKeys: dKeys.base, dValues: dValues.base, dBias: dBias.base, scratch: scratch.base, stride: stride, pool)
    let expected = Twins.gradients(twin, arguments, c)
    expect(dQueries, expected[0], "dQ")
    expect(dKeys, expected[1], "dK")
    expect(dValues, expected[2], "dV")
    if way.window != nil { expect(dBias, expected[3], "dbias") }
  }

  struct Decision: Sendable, CustomTestStringConvertible {
    let perLayer: Bool
    let shift: Int
    var testDescription: String { "\(perLayer ? "per layer" : "per head"), shift \(shift)" }
  }

  @Test(arguments: [true, false].flatMap { layer in [0, 1].map { Decision(perLayer: layer, shift: $0) } })
  func evictionDecision(_ way: Decision) throws {
    let pool = try #require(pool)
    var batch = TokenBatch()
    batch.append([Document([1, 2, 3, 4]), Document([1])])
    batch.append([Document([5, 6])])
    let (rows, kvHeads) = (batch.rows, 3)
    let operation = EvictionDecision(
      kvHeads: kvHeads, scale: 3, offset: 0.5, tau: 0.7, perLayer: way.perLayer, isHard: false, shift: way.shift)
    let arguments = [numbers(rows * kvHeads, 1)]
    let noise = numbers(rows * kvHeads, 2)
    let (a, bias) = (buffer(arguments[0]), room(kvHeads * rows))
    var evicted: [Int] = []
    operation.forward(
      a.base, batch: batch, noise: { Float(noise[$0 * kvHeads + $1]) }, bias: bias.base, evicted: &evicted, pool)
    let twin = Twins.decision(operation, batch, noise: noise)
    expect(bias, Array(twin(arguments).dropLast(2)), "bias")
    #expect(
      evicted
        == batch.sequences.map { sequence in
          sequence.reduce(0) { sum, row in sum + (0..<kvHeads).count { a.base[row * kvHeads + $0] > 0 } }
        })
    // The share's gradient is that of Σ p: straight through.
    let c = numbers(kvHeads * rows, 3)
    let share = [0.3, -0.8]
    operation.backward(a.base, batch: batch, dBias: buffer(c).base, dShare: share.map { Float($0) }, pool)
    expect(a, Twins.gradients(twin, arguments, c + share)[0], "da")
  }

  @Test(arguments: [Objective.nextToken, .distillation(.studentTeacher), .distillation(.teacherStudent)])
  func lossHead(objective: Objective) throws {
    let pool = try #require(pool)
    // The head is the identity, so that its inputs are the logits.
    let (vocabulary, targets) = (19, [3, -1, 0, 18].map(Int32.init))
    let identity = room(vocabulary * vocabulary)
    for index in 0..<vocabulary { identity.base[index * vocabulary + index] = 1 }
    let map = LinearMap(weights: identity.base, bias: nil, outputs: vocabulary, inputs: vocabulary, products: .f32)
    var batch = TokenBatch()
    batch.append([Document(ids: [0, 0, 0, 0], targets: targets)])
    let count = targets.count * vocabulary
    let (student, teacher) = (numbers(count, 1).map { 4 * $0 }, numbers(count, 2).map { 4 * $0 })
    let (x, t) = (buffer(student), buffer(teacher))
    let (logits, teacherLogits, dx) = (room(count), room(count), room(count))
    var distils = false
    if case .distillation = objective { distils = true }
    let head = LossHead(objective: objective, student: map, teacher: distils ? map : nil)
    let sums = head.run(
      x.base, teacherNormed: distils ? UnsafePointer(t.base) : nil, batch: batch, share: 1 / 3, to: dx.base, head: [],
      logits: logits.base, teacherLogits: distils ? teacherLogits.base : nil, pool)
    let twin = Twins.loss(objective, targets: targets.map(Int.init), teacher: teacher, vocabulary: vocabulary)
    #expect(sums.rows == 3)
    #expect(abs(sums.loss / 3 - twin([student])[0]) < 1e-5)
    expect(dx, Twins.gradients(twin, [student], [1])[0], "dlogits")
  }
}
