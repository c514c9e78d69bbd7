// A whole decoder made of the device's operations, against the reference implementations' numbers. The graph stands here
// once more, in its plainest form, until the one of DMSModel goes through these operations.

import DMSCUDA
import DMSKernels
import DMSTensor
import Foundation
import Testing

@testable import DMSCheckpoint
@testable import DMSModel

struct DecoderTests {
  static let folder =
    URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path + "/Fixtures/"
  static let names = [
    "llama3-rope-scaling", "qwen2-r1-style", "qwen2-tied-bf16", "qwen3", "qwen3-dms-adapter-head",
    "qwen3-dms-neuron-head", "qwen3-dms-neuron-high-cr", "qwen3-dms-neuron-layer",
  ]

  @Test(arguments: names, [[24, 0, 0, 0, 5]])
  func logitsAndDecisionsAreThoseOfTheReference(name: String, calls: [Int]) throws {
    let checkpoint = try Checkpoint(folder: Self.folder + name)
    let golden = try SafetensorsFile(path: Self.folder + name + "/golden.safetensors")
    func floats(_ name: String) -> [Float]? {
      golden.view(name).map { Array($0.bytes.bindMemory(to: Float.self)) }
    }
    let ids = try #require(golden.view("input_ids")).bytes.bindMemory(to: Int32.self).map(Int.init)
    var options = Decoder.Options()
    options.rotaryType = checkpoint.configuration.storedType == .bf16 ? .bf16 : .f32
    let decoder = try Decoder(ModelSource(checkpoint), on: Machine(threads: 1), options)
    let shape = decoder.configuration
    let device = try DeviceDecoder(decoder, tokens: ids.count, on: EmulatedDevice())
    // What the calls leave goes in one more.
    let sizes = calls + [ids.count - calls.reduce(0) { $0 + max(1, $1) }]
    for size in sizes { try device.read(Array(ids[device.seen..<device.seen + max(1, size)]), decodes: size == 0) }
    let expected = try #require(floats("logits"))
    let largest = expected.reduce(0) { max($0, abs($1)) }
    #expect(largestDifference(device.logits, expected.map(Double.init)) <= 1e-4 * Double(largest))
    let best = stride(from: 0, to: device.logits.count, by: shape.vocabulary).map { first -> Int in
      let row = device.logits[first..<first + shape.vocabulary]
      return (row.firstIndex(of: row.max() ?? 0) ?? first) - first
    }
    #expect(device.best == best)
    guard shape.dms != nil else { return }
    let decisions = try #require(golden.view("decisions")).bytes.bindMemory(to: Int32.self)
    let logits = try #require(floats("decision_logits"))
    for (index, logit) in logits.enumerated() where abs(logit) > 1e-3 {
      let (head, token) = index.quotientAndRemainder(dividingBy: ids.count)
      let (layer, kvHead) = head.quotientAndRemainder(dividingBy: shape.kvHeads)
      #expect((device.decisionLogits[layer][token * shape.kvHeads + kvHead] > 0 ? 1 : 0) == decisions[index])
    }
    let retained = try #require(golden.view("retained_at_end")).bytes.bindMemory(to: Int32.self).map(Int.init)
    #expect(try device.cache.liveTokens(sequence: 0) == retained)
  }
}

/// One sequence through a model's layers on a device.
final class DeviceDecoder {
  struct Map {
    let matrix: DeviceMatrix
    let bias: DeviceBuffer?

    init(_ linear: Linear, _ device: EmulatedDevice) throws {
      matrix = try DeviceMatrix(linear.weights, on: device)
      bias = try linear.bias.map { try device.floats($0.numbers) }
    }

    func callAsFunction(_ input: DeviceBuffer, _ rows: Int, to output: DeviceBuffer, at column: Int = 0, stride: Int)
      throws
    {
      try matrix.multiply(
        input.address, count: rows, bias: bias?.address ?? 0, to: output.address + UInt64(4 * column), stride: stride)
    }
  }

  struct Layer {
    let query, key, value, output, gate, up, down: Map
    let alpha: Map?
    let inputNorm, mlpNorm: DeviceBuffer
    let queryNorm, keyNorm, alphaNorm: DeviceBuffer?

    init(_ layer: LayerWeights, _ device: EmulatedDevice) throws {
      query = try Map(layer.query, device)
      key = try Map(layer.key, device)
      value = try Map(layer.value, device)
      output = try Map(layer.output, device)
      gate = try Map(layer.gate, device)
      up = try Map(layer.up, device)
      down = try Map(layer.down, device)
      alpha = try layer.alpha.map { try Map($0, device) }
      inputNorm = try device.floats(layer.inputNorm.numbers)
      mlpNorm = try device.floats(layer.mlpNorm.numbers)
      queryNorm = try layer.queryNorm.map { try device.floats($0.numbers) }
      keyNorm = try layer.keyNorm.map { try device.floats($0.numbers) }
      alphaNorm = try layer.alphaNorm.map { try device.floats($0.numbers) }
    }
  }

  let decoder: Decoder
  let device: EmulatedDevice
  let cache: DeviceCache
  private let layers: [Layer]
  private let embedding, head: DeviceMatrix
  private let finalNorm: DeviceBuffer
  private(set) var seen = 0
  private(set) var logits: [Float] = []
  private(set) var best: [Int] = []
  /// By layer, `[T, G]`.
  private(set) var decisionLogits: [[Float]]

  init(_ decoder: Decoder, tokens: Int, on device: EmulatedDevice) throws {
    let shape = decoder.configuration
    self.decoder = decoder
    self.device = device
    cache = try DeviceCache(
      DeviceCache.Shape(
        layers: shape.layers, heads: shape.heads, kvHeads: shape.kvHeads, headDim: shape.headDim, sequences: 1,
        context: tokens, type: .f32, delay: shape.dms.map { ($0.window, $0.shift) },
        pages: shape.layers * shape.kvHeads * (tokens / 16 + 1)), on: device)
    layers = try decoder.weights.layers.map { try Layer($0, device) }
    embedding = try DeviceMatrix(decoder.weights.embedding, on: device)
    head = try DeviceMatrix(decoder.weights.head, on: device)
    finalNorm = try device.floats(decoder.weights.finalNorm.numbers)
    decisionLogits = Array(repeating: [], count: shape.layers)
  }

  /// A call's buffers.
  private struct Work {
    let hidden, normed, delta, queries, keys, values, projected, decisions, attention, gateUp, activated: DeviceBuffer
    let cosines, sines, faults, scratch, partials, sequence, position: DeviceBuffer
  }

  private func work(_ rows: Int) throws -> Work {
    let shape = decoder.configuration
    let half = shape.headDim / 2
    let (cosines, sines) = (FloatBuffer(rows * half), FloatBuffer(rows * half))
    for row in 0..<rows {
      rotaryTable(
        position: seen + row, frequencies: decoder.frequencies, scale: shape.rope.attentionFactor,
        cosines: cosines.base + row * half, sines: sines.base + row * half)
    }
    func room(_ width: Int) throws -> DeviceBuffer { try device.room(rows * width) }
    return Work(
      hidden: try room(shape.hidden), normed: try room(shape.hidden), delta: try room(shape.hidden),
      queries: try room(shape.heads * shape.headDim), keys: try room(shape.kvHeads * shape.headDim),
      values: try room(shape.kvHeads * shape.headDim), projected: try room(shape.kvHeads),
      decisions: try room(shape.kvHeads), attention: try room(shape.heads * shape.headDim),
      gateUp: try room(2 * shape.intermediate), activated: try room(shape.intermediate),
      cosines: try device.floats(cosines.numbers), sines: try device.floats(sines.numbers),
      faults: try device.faults(rows),
      scratch: try DeviceBuffer(device, bytes: DeviceCache.Call.scratchBytes(rows: rows, kvHeads: shape.kvHeads)),
      partials: try DeviceBuffer(device, bytes: cache.partialBytes(sequences: 1, longest: seen + 1)),
      sequence: try device.integers([0]), position: try device.integers([seen]))
  }

  func read(_ ids: [Int], decodes: Bool) throws {
    let (shape, rows) = (decoder.configuration, ids.count)
    let work = try work(rows)
    let operations = DeviceRows(rows, on: device)
    let epsilon = shape.normEpsilon
    func normalize(_ gain: DeviceBuffer, adds: Bool, _ stage: Int) throws {
      try operations.addAndNormalize(
        work.hidden.address, delta: adds ? work.delta.address : 0, size: shape.hidden, gain: gain.address,
        epsilon: epsilon, to: work.normed.address, DeviceFaults(work.faults, stage: stage))
    }
    try embedding.look(up: device.integers(ids).address, count: rows, to: work.hidden.address)
    for (index, layer) in layers.enumerated() {
      try normalize(layer.inputNorm, adds: index > 0, index)
      try layer.query(work.normed, rows, to: work.queries, stride: shape.heads * shape.headDim)
      try layer.key(work.normed, rows, to: work.keys, stride: shape.kvHeads * shape.headDim)
      try layer.value(work.normed, rows, to: work.values, stride: shape.kvHeads * shape.headDim)
      try attend(layer, index, rows, decodes: decodes, work) {
        // The adapter sees the layer's input, under a norm of its own.
        guard let alpha = layer.alpha, let norm = layer.alphaNorm else { return false }
        try normalize(norm, adds: false, index)
        try alpha(work.normed, rows, to: work.projected, stride: shape.kvHeads)
        return true
      }
      try layer.output(work.attention, rows, to: work.delta, stride: shape.hidden)
      try normalize(layer.mlpNorm, adds: true, index)
      try layer.gate(work.normed, rows, to: work.gateUp, stride: 2 * shape.intermediate)
      try layer.up(work.normed, rows, to: work.gateUp, at: shape.intermediate, stride: 2 * shape.intermediate)
      try operations.gate(work.gateUp.address, size: shape.intermediate, to: work.activated.address)
      try layer.down(work.activated, rows, to: work.delta, stride: shape.hidden)
    }
    try normalize(finalNorm, adds: true, layers.count)
    let (output, largest) = (try device.room(rows * shape.vocabulary), try device.room(rows))
    try head.multiply(work.normed.address, count: rows, to: output.address, stride: shape.vocabulary)
    try operations.largest(
      of: output.address, count: shape.vocabulary, to: largest.address,
      DeviceFaults(work.faults, stage: layers.count + 1))
    logits += try output.floats()
    best += try largest.integers()
    #expect(try work.faults.integers().allSatisfy { $0 == Int(DeviceFaults.none) })
    seen += rows
  }

  private func attend(
    _ layer: Layer, _ index: Int, _ rows: Int, decodes: Bool, _ work: Work, project: () throws -> Bool
  ) throws {
    let shape = decoder.configuration
    var buffers = DeviceHeads.Buffers(
      queries: work.queries.address, keys: work.keys.address, values: work.values.address,
      decisions: work.decisions.address, queryNorm: layer.queryNorm?.address ?? 0, keyNorm: layer.keyNorm?.address ?? 0,
      cosines: work.cosines.address, sines: work.sines.address)
    if try project() { buffers.projected = work.projected.address }
    try DeviceHeads(
      heads: shape.heads, kvHeads: shape.kvHeads, headDim: shape.headDim, epsilon: shape.normEpsilon, dms: shape.dms
    ).prepare(
      buffers, rows: rows, rotates: shape.layerAttention[index].rotates, on: device,
      DeviceFaults(work.faults, stage: index))
    let decisions = shape.dms == nil ? 0 : work.decisions.address
    if shape.dms != nil { decisionLogits[index] += try work.decisions.floats() }
    let call = DeviceCache.Call(
      sequences: work.sequence.address, positions: work.position.address, count: 1, tokens: rows,
      kvHeads: shape.kvHeads, scratch: work.scratch)
    let vectors = DeviceCache.Vectors(
      queries: work.queries.address, keys: work.keys.address, values: work.values.address,
      output: work.attention.address)
    if decodes {
      try cache.decode(
        call, layer: index, vectors, decisions: decisions, longest: seen + 1, partials: work.partials)
    } else {
      try cache.prefill(call, sequence: 0, position: seen, layer: index, vectors, decisions: decisions)
    }
  }
}

extension FloatBuffer {
  var numbers: [Float] { Array(UnsafeBufferPointer(start: base, count: count)) }
}
