// The decoder over whole sequences in fp32, forward and backward: the same mathematics as DMSModel's, without a cache. A test
// ties the two together.
//
// N rows · C hidden · H query heads · G KV heads · D head dim · F MLP size

import DMSCheckpoint
import DMSKernels
import DMSPlatform
import DMSTensor

/// What becomes of evictions in a forward.
public enum EvictionMode {
  /// Everything stays. `zeroesBorrowed`: the borrowed channels are zero all the same.
  case off(zeroesBorrowed: Bool)
  /// Evicted tokens are gone, as in the cache.
  case hard
  /// Decisions with this noise, relaxed (DMS, section 3.2).
  case relaxed(noise: @Sendable (_ layer: Int, _ row: Int, _ kvHead: Int) -> Float)

  var decides: Bool { if case .off = self { false } else { true } }
}

/// Not for several threads at once: it has threads of its own.
public final class TrainingDecoder {
  let shape: ModelConfiguration
  let pool: ThreadPool
  /// The most rows of a batch.
  let capacity: Int
  private let products: ProductType
  /// Whether a layer's activations are computed anew when its backward needs them.
  let recomputes: Bool
  private let buffers: DecoderBuffers<FloatBuffer>
  private var documents: DocumentBuffers<FloatBuffer>
  /// Tokens of the longest document that there is room for.
  private var longest = 0

  /// - Parameters:
  ///   - trains: whether there will be a backward; without, all layers share their activations.
  ///   - products: what the factors of matrix products are rounded to.
  public init(
    _ shape: ModelConfiguration, capacity: Int, trains: Bool, recomputes: Bool, products: ProductType = .f32,
    on machine: Machine
  ) {
    self.shape = shape
    pool = machine.pool
    self.capacity = capacity
    self.products = products
    self.recomputes = trains && recomputes
    buffers = DecoderBuffers(shape, rows: capacity, trains: trains, recomputes: recomputes, FloatBuffer.init)
    documents = Self.documents(shape, longest: 0, threads: pool.count, FloatBuffer.init)
  }

  /// Bytes that a decoder takes for batches of up to `capacity` rows in documents of up to `longest`.
  public static func bytes(
    _ shape: ModelConfiguration, capacity: Int, longest: Int, trains: Bool, recomputes: Bool, threads: Int
  ) -> Int {
    bytesTaken { count in
      _ = DecoderBuffers(shape, rows: capacity, trains: trains, recomputes: recomputes, count)
      _ = documents(shape, longest: longest, threads: threads, count)
    }
  }

  private static func documents<Buffer>(
    _ shape: ModelConfiguration, longest: Int, threads: Int, _ make: (Int) -> Buffer
  ) -> DocumentBuffers<Buffer> {
    DocumentBuffers(
      longest: longest, headDim: shape.headDim, scratch: attention(shape, window: nil, .f32).scratch(longest: longest),
      threads: threads, make)
  }

  /// The final norm's output, `[N, C]`, after a forward.
  public var hidden: UnsafePointer<Float> { UnsafePointer(buffers.normed.base) }

  /// Where the loss puts the gradient of `hidden`.
  var dHidden: Floats? { buffers.backward?.dNormed.base }

  // MARK: Forward

  /// Embedding to final norm. Returns for each sequence how many decisions evict, over layers, KV heads and tokens.
  @discardableResult
  public func forward(_ batch: TokenBatch, _ parameters: Parameters, _ mode: EvictionMode) -> [Int] {
    precondition(batch.rows <= capacity, "a batch of at most `capacity` rows")
    reserve(longest: batch.longestDocument)
    let (layout, rows) = (parameters.layout, batch.rows)
    var evicted = [Int](repeating: 0, count: batch.sequences.count)
    Embedding.forward(
      batch.ids, parameters.values.base + layout.embedding, size: shape.hidden, to: input(of: 0).base, pool)
    for layer in 0..<shape.layers {
      let here = activations(of: layer)
      if recomputes { copy(buffers.inputs[layer], to: here.input, rows * shape.hidden) }
      let found = forward(layer, batch, parameters, mode)
      for (sequence, count) in found.enumerated() { evicted[sequence] += count }
      feedForward(layer, rows, parameters, to: layer + 1 < shape.layers ? input(of: layer + 1) : buffers.output)
    }
    finalNorm(parameters).forward(
      buffers.output.base, rows: rows, to: buffers.normed.base, scales: buffers.scales.base, pool)
    return evicted
  }

  /// Norm and attention: from `input` to `middle`.
  private func forward(_ layer: Int, _ batch: TokenBatch, _ parameters: Parameters, _ mode: EvictionMode) -> [Int] {
    let (here, maps, rows) = (activations(of: layer), maps(layer, parameters), batch.rows)
    maps.inputNorm.forward(here.input.base, rows: rows, to: here.normed.base, scales: here.scales.base, pool)
    maps.projection.forward(here.normed.base, rows: rows, to: here.projected.base, pool)
    preparation(layer, maps, mode).forward(
      here.projected.base, positions: batch.positions, queries: here.queries.base, keys: here.keys.base,
      scales: here.headScales.base, decisions: here.decisions.base, pool)
    var evicted = [Int](repeating: 0, count: batch.sequences.count)
    if mode.decides, let decision = decision(mode) {
      if let alpha = maps.alpha, let norm = maps.alphaNorm {
        norm.forward(here.input.base, rows: rows, to: here.alphaNormed.base, scales: here.alphaScales.base, pool)
        alpha.forward(here.alphaNormed.base, rows: rows, to: here.decisions.base, pool)
      }
      decision.forward(
        here.decisions.base, batch: batch,
        noise: { row, kvHead in
          if case .relaxed(let noise) = mode { noise(layer, row, kvHead) } else { 0 }
        }, bias: here.bias.base, evicted: &evicted, pool)
    }
    attention(mode).forward(
      attentionInputs(here, batch, mode), to: here.attention.base, logSums: here.logSums.base,
      scratch: documents.scratch.base, stride: scratchStride, pool)
    copy(here.input, to: here.middle, rows * shape.hidden)
    maps.output.forward(here.attention.base, rows: rows, to: here.middle.base, accumulating: true, pool)
    return evicted
  }

  private func feedForward(_ layer: Int, _ rows: Int, _ parameters: Parameters, to out: FloatBuffer) {
    let (here, maps) = (activations(of: layer), maps(layer, parameters))
    expand(layer, rows, parameters)
    copy(here.middle, to: out, rows * shape.hidden)
    maps.down.forward(here.activated.base, rows: rows, to: out.base, accumulating: true, pool)
  }

  /// The first half of the MLP: from `middle` to `activated`.
  private func expand(_ layer: Int, _ rows: Int, _ parameters: Parameters) {
    let (here, maps) = (activations(of: layer), maps(layer, parameters))
    maps.mlpNorm.forward(
      here.middle.base, rows: rows, to: here.middleNormed.base, scales: here.middleScales.base, pool)
    maps.gateUp.forward(here.middleNormed.base, rows: rows, to: here.gateUp.base, pool)
    GatedUnit.forward(here.gateUp.base, rows: rows, size: shape.intermediate, to: here.activated.base, pool)
  }

  // MARK: Backward

  /// From `dHidden` to the gradients of what trains, added to them.
  ///
  /// - Parameter dShare: for each sequence, the gradient of the loss by one of its decisions.
  func backward(
    _ batch: TokenBatch, _ parameters: Parameters, _ mode: EvictionMode, dShare: [Float], to gradient: Gradients
  ) {
    guard let own = buffers.backward else { preconditionFailure("a decoder that trains") }
    let (layout, rows) = (parameters.layout, batch.rows)
    finalNorm(parameters).backward(
      own.dNormed.base, buffers.output.base, scales: buffers.scales.base, rows: rows, to: own.dx.base,
      accumulating: false, gain: gradient.runs(at: layout.finalNorm, rows: shape.hidden), partials: own.partials.base,
      pool)
    for layer in (0..<shape.layers).reversed() {
      if recomputes {
        copy(buffers.inputs[layer], to: activations(of: layer).input, rows * shape.hidden)
        _ = forward(layer, batch, parameters, mode)
        expand(layer, rows, parameters)
      }
      feedForwardBackward(layer, rows, parameters, own, gradient)
      attentionBackward(layer, batch, parameters, mode, dShare: dShare, own, gradient)
    }
    Embedding.backward(
      own.dx.base, batch.ids, size: shape.hidden,
      table: gradient.runs(at: layout.embedding, rows: shape.vocabulary, width: shape.hidden), pool)
  }

  private func feedForwardBackward(
    _ layer: Int, _ rows: Int, _ parameters: Parameters, _ own: BackwardBuffers<FloatBuffer>, _ gradient: Gradients
  ) {
    let (here, maps, places) = (activations(of: layer), maps(layer, parameters), parameters.layout.layers[layer])
    backward(
      maps.down, own.dx, here.activated, rows, to: own.dActivated, weights: places.down, bias: places.downBias, gradient
    )
    GatedUnit.backward(
      own.dActivated.base, here.gateUp.base, rows: rows, size: shape.intermediate, to: own.dGateUp.base, pool)
    backward(
      maps.gateUp, own.dGateUp, here.middleNormed, rows, to: own.dNormed, weights: places.gateUp,
      bias: places.gateUpBias, gradient)
    maps.mlpNorm.backward(
      own.dNormed.base, here.middle.base, scales: here.middleScales.base, rows: rows, to: own.dx.base,
      accumulating: true, gain: gradient.runs(at: places.mlpNorm, rows: shape.hidden), partials: own.partials.base, pool
    )
  }

  private func attentionBackward(
    _ layer: Int, _ batch: TokenBatch, _ parameters: Parameters, _ mode: EvictionMode, dShare: [Float],
    _ own: BackwardBuffers<FloatBuffer>, _ gradient: Gradients
  ) {
    let (here, maps, places) = (activations(of: layer), maps(layer, parameters), parameters.layout.layers[layer])
    let (rows, sizes) = (batch.rows, LayerSizes(shape))
    backward(
      maps.output, own.dx, here.attention, rows, to: own.dAttention, weights: places.output, bias: places.outputBias,
      gradient)
    attention(mode).backward(
      attentionInputs(here, batch, mode), output: here.attention.base, logSums: here.logSums.base,
      dOutput: own.dAttention.base, dQueries: own.dQueries.base, dKeys: own.dKeys.base,
      dValues: own.dProjected.base + sizes.queries + sizes.keys, dBias: own.dBias.base, scratch: documents.scratch.base,
      stride: scratchStride, pool)
    if mode.decides {
      decision(mode)?.backward(here.decisions.base, batch: batch, dBias: own.dBias.base, dShare: dShare, pool)
    }
    preparation(layer, maps, mode).backward(
      here.projected.base, positions: batch.positions, scales: here.headScales.base, dQueries: own.dQueries.base,
      dKeys: own.dKeys.base, dDecisions: here.decisions.base, to: own.dProjected.base,
      queryGain: gradient.runs(at: places.queryNorm, rows: shape.headDim),
      keyGain: gradient.runs(at: places.keyNorm, rows: shape.headDim), partials: own.partials.base, pool)
    backward(
      maps.projection, own.dProjected, here.normed, rows, to: own.dNormed, weights: places.projection,
      bias: places.projectionBias, gradient)
    maps.inputNorm.backward(
      own.dNormed.base, here.input.base, scales: here.scales.base, rows: rows, to: own.dx.base, accumulating: true,
      gain: gradient.runs(at: places.inputNorm, rows: shape.hidden), partials: own.partials.base, pool)
    guard mode.decides, let alpha = maps.alpha, let norm = maps.alphaNorm, let place = places.alpha else { return }
    backward(
      alpha, here.decisions, here.alphaNormed, rows, to: own.dNormed, weights: place, bias: places.alphaBias, gradient)
    norm.backward(
      own.dNormed.base, here.input.base, scales: here.alphaScales.base, rows: rows, to: own.dx.base, accumulating: true,
      gain: gradient.runs(at: places.alphaNorm, rows: shape.hidden), partials: own.partials.base, pool)
  }

  private func backward(
    _ map: LinearMap, _ dy: FloatBuffer, _ x: FloatBuffer, _ rows: Int, to dx: FloatBuffer, weights: Int, bias: Int?,
    _ gradient: Gradients
  ) {
    map.backward(dy.base, rows: rows, toInputs: dx.base, pool)
    map.backward(
      dy.base, x.base, rows: rows, toWeights: gradient.runs(at: weights, rows: map.outputs, width: map.inputs), pool)
    map.backward(dy.base, rows: rows, toBias: gradient.runs(at: bias, rows: map.outputs), pool)
  }

  // MARK: Pieces

  /// The operations of a layer with their numbers.
  private struct Maps {
    let inputNorm: RMSNorm
    let projection: LinearMap
    let queryNorm: RMSNorm?
    let keyNorm: RMSNorm?
    let alpha: LinearMap?
    let alphaNorm: RMSNorm?
    let output: LinearMap
    let mlpNorm: RMSNorm
    let gateUp: LinearMap
    let down: LinearMap
  }

  private func maps(_ layer: Int, _ parameters: Parameters) -> Maps {
    let (places, base, sizes) = (
      parameters.layout.layers[layer], UnsafePointer(parameters.values.base), LayerSizes(shape)
    )
    func norm(_ place: Int, _ size: Int) -> RMSNorm {
      RMSNorm(gain: base + place, epsilon: shape.normEpsilon, size: size)
    }
    func map(_ place: Int, _ bias: Int?, _ outputs: Int, _ inputs: Int) -> LinearMap {
      LinearMap(
        weights: base + place, bias: bias.map { base + $0 }, outputs: outputs, inputs: inputs, products: products)
    }
    return Maps(
      inputNorm: norm(places.inputNorm, shape.hidden),
      projection: map(places.projection, places.projectionBias, sizes.projected, shape.hidden),
      queryNorm: places.queryNorm.map { norm($0, shape.headDim) },
      keyNorm: places.keyNorm.map { norm($0, shape.headDim) },
      alpha: places.alpha.map { map($0, places.alphaBias, shape.kvHeads, shape.hidden) },
      alphaNorm: places.alphaNorm.map { norm($0, shape.hidden) },
      output: map(places.output, places.outputBias, shape.hidden, sizes.queries),
      mlpNorm: norm(places.mlpNorm, shape.hidden),
      gateUp: map(places.gateUp, places.gateUpBias, 2 * shape.intermediate, shape.hidden),
      down: map(places.down, places.downBias, shape.hidden, shape.intermediate))
  }

  private func finalNorm(_ parameters: Parameters) -> RMSNorm {
    RMSNorm(
      gain: parameters.values.base + parameters.layout.finalNorm, epsilon: shape.normEpsilon, size: shape.hidden)
  }

  private func preparation(_ layer: Int, _ maps: Maps, _ mode: EvictionMode) -> HeadPreparation {
    var borrowed = HeadPreparation.Borrowed.untouched
    if let dms = shape.dms, !dms.separateAlpha {
      switch mode {
      case .off(let zeroesBorrowed): borrowed = zeroesBorrowed ? .zeroed : .untouched
      case .hard, .relaxed: borrowed = .zeroedAndRead
      }
    }
    return HeadPreparation(
      heads: shape.heads, kvHeads: shape.kvHeads, headDim: shape.headDim, queryNorm: maps.queryNorm,
      keyNorm: maps.keyNorm, cosines: documents.cosines.base, sines: documents.sines.base,
      borrowed: borrowed, rotates: shape.layerAttention[layer].rotates)
  }

  private func decision(_ mode: EvictionMode) -> EvictionDecision? {
    guard let dms = shape.dms else { return nil }
    var isHard = false
    if case .hard = mode { isHard = true }
    return EvictionDecision(
      kvHeads: shape.kvHeads, scale: dms.alphaScale, offset: dms.alphaOffset, tau: isHard ? 1 : Float(dms.tau),
      perLayer: dms.alphaPer == .layer, isHard: isHard, shift: dms.shift)
  }

  private func attention(_ mode: EvictionMode) -> Attention {
    Self.attention(shape, window: mode.decides ? shape.dms?.window : nil, products)
  }

  private static func attention(_ shape: ModelConfiguration, window: Int?, _ products: ProductType) -> Attention {
    Attention(
      kvHeads: shape.kvHeads, group: shape.heads / shape.kvHeads, headDim: shape.headDim, window: window,
      products: products)
  }

  private func attentionInputs(
    _ here: LayerActivations<FloatBuffer>, _ batch: TokenBatch, _ mode: EvictionMode
  ) -> Attention.Inputs {
    let sizes = LayerSizes(shape)
    return Attention.Inputs(
      queries: here.queries.base, keys: here.keys.base, values: here.projected.base + sizes.queries + sizes.keys,
      valueStride: sizes.projected, bias: mode.decides ? UnsafePointer(here.bias.base) : nil, rows: batch.rows,
      documents: batch.documents)
  }

  private func activations(of layer: Int) -> LayerActivations<FloatBuffer> {
    buffers.activations[buffers.activations.count > 1 ? layer : 0]
  }

  /// Where a layer's input is to be left.
  private func input(of layer: Int) -> FloatBuffer { recomputes ? buffers.inputs[layer] : activations(of: layer).input }

  private func copy(_ source: FloatBuffer, to target: FloatBuffer, _ count: Int) {
    pool.forPieces(of: count, size: 1 << 16) { _, range in
      (target.base + range.lowerBound).update(from: source.base + range.lowerBound, count: range.count)
    }
  }

  private var scratchStride: Int { documents.scratch.count / pool.count }

  /// Scratch memory and rotary tables for documents of this length.
  private func reserve(longest: Int) {
    guard longest > self.longest else { return }
    self.longest = longest
    documents = Self.documents(shape, longest: longest, threads: pool.count, FloatBuffer.init)
    let (half, frequencies) = (shape.headDim / 2, shape.rope.frequencies(headDim: shape.headDim))
    for position in 0..<longest {
      rotaryTable(
        position: position, frequencies: frequencies, scale: shape.rope.attentionFactor,
        cosines: documents.cosines.base + position * half, sines: documents.sines.base + position * half)
    }
  }
}
