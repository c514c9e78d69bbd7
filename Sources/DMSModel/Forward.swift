// The path of tokens through the layers, for prefill and decode alike: the number of rows differs, and which kernels serve
// them. A prefill call has the tokens of one sequence as its rows, a decode call one token of each sequence.
//
// N rows · H query heads · G KV heads · D head dim · F MLP size

import DMSCache
import DMSCheckpoint
import DMSKernels
import DMSPlatform
import DMSTensor

extension Engine {
  /// The kind of call, not its size, chooses the kernels.
  enum Call {
    case prefill(SequenceCache)
    case decode(UnsafeBufferPointer<SequenceCache>)

    var kernels: Kernels {
      switch self {
      case .prefill: .rows
      case .decode: .vectors
      }
    }
  }

  /// Which kernels serve stored weights; those in blocks have one for both.
  enum Kernels { case rows, vectors }

  func prefillStep(
    _ ids: UnsafeBufferPointer<Int>, _ cache: SequenceCache, _ isCancelled: () -> Bool,
    _ onLogits: ((_ rows: Int, UnsafeBufferPointer<Float>) throws -> Void)?
  ) throws {
    try withUnsafePointer(to: cache) {
      try cachePool.reserve(tokens: ids.count, in: UnsafeBufferPointer(start: $0, count: 1))
    }
    for row in ids.indices { prepare(row: row, position: cache.tokensSeen + row) }
    cache.begin()
    try layers(ids, .prefill(cache), isCancelled)
    cache.advance(by: ids.count)
    if let onLogits { try allLogits(rows: ids.count, onLogits) }
  }

  func decodeStep(_ ids: UnsafeBufferPointer<Int>, _ caches: UnsafeBufferPointer<SequenceCache>) throws {
    try cachePool.reserve(tokens: 1, in: caches)
    for row in ids.indices { prepare(row: row, position: caches[row].tokensSeen) }
    for cache in caches { cache.begin() }
    try layers(ids, .decode(caches)) { false }
    for cache in caches { cache.advance(by: 1) }
    try lastLogits(firstRow: 0, rows: ids.count)
  }

  private func prepare(row: Int, position: Int) {
    let half = decoder.configuration.headDim / 2
    rotaryTable(
      position: position, frequencies: decoder.frequencies, scale: decoder.configuration.rope.attentionFactor,
      cosines: workspace.cosines.base + row * half, sines: workspace.sines.base + row * half)
  }

  /// Embedding, all layers, final norm: `ids` to `workspace.normed`.
  private func layers(_ ids: UnsafeBufferPointer<Int>, _ call: Call, _ isCancelled: () -> Bool) throws {
    let (shape, weights, rows) = (decoder.configuration, decoder.weights, ids.count)
    for row in ids.indices {
      let hidden = workspace.hidden.base + row * shape.hidden
      widen(weights.embedding, rows: ids[row]..<ids[row] + 1, to: hidden)
    }
    _ = faults.take(rows: rows)
    for index in weights.layers.indices {
      if isCancelled() { throw CancellationError() }
      let layer = weights.layers[index]
      addAndNormalize(rows, delta: index > 0, gain: layer.inputNorm, after: .layer(before: index))
      try observe(.hidden, index, rows, workspace.hidden, shape.hidden)
      project(layer, index, rows, call)
      try decide(layer, index, rows)
      try attend(index, rows, call)
      try settle(index, rows, call)
      try observe(.attention, index, rows, workspace.attention, shape.heads * shape.headDim)
      linear(layer.output, workspace.attention, rows, to: workspace.delta, call, .layer(index))
      addAndNormalize(rows, delta: true, gain: layer.mlpNorm, after: .layer(index))
      feedForward(layer, index, rows, call)
    }
    addAndNormalize(rows, delta: true, gain: weights.finalNorm, after: .layer(weights.layers.count - 1))
    if let fault = faults.take(rows: rows) { throw decoder.error(after: Stage(fault.stage), on: machine) }
  }

  /// - Parameter stage: what the sum comes from.
  private func addAndNormalize(_ rows: Int, delta: Bool, gain: FloatBuffer, after stage: Stage) {
    let work = ResidualNorm(
      x: workspace.hidden.base, delta: delta ? UnsafePointer(workspace.delta.base) : nil, rows: rows,
      size: decoder.configuration.hidden, gain: gain.base, epsilon: decoder.configuration.normEpsilon,
      output: workspace.normed.base, faults: faults.stage(stage.number))
    pool.run(tasks: work.tasks, work)
  }

  /// Queries, keys and values of the normalised rows, under one fork.
  private func project(_ layer: LayerWeights, _ index: Int, _ rows: Int, _ call: Call) {
    let shape = decoder.configuration
    let (queries, keys) = (shape.heads * shape.headDim, shape.kvHeads * shape.headDim)
    roundForBlocks(layer.projectsInBlocks, shape.hidden, workspace.normed.base, rows, .layer(index))
    let query = product(layer.query, workspace.normed.base, rows, workspace.queries.base, queries, call.kernels, 0)
    let key = product(layer.key, workspace.normed.base, rows, workspace.keys.base, keys, call.kernels, 1)
    let value = product(layer.value, workspace.normed.base, rows, workspace.values.base, keys, call.kernels, 2)
    let pair = ParallelPair(key, tasks: key.tasks, value, tasks: value.tasks)
    let all = ParallelPair(query, tasks: query.tasks, pair, tasks: pair.tasks)
    guard let borrowed = layer.borrowed else { return pool.run(tasks: all.tasks, all) }
    // The same kernel in prefill and decode, as for the adapter. Products of blocks leave the scratch alone.
    let apart = product(borrowed, workspace.normed.base, rows, workspace.decisions.base, shape.kvHeads, .vectors, 0)
    let both = ParallelPair(all, tasks: all.tasks, apart, tasks: apart.tasks)
    pool.run(tasks: both.tasks, both)
  }

  /// Query and key norms, decision logits and RoPE, in place.
  private func decide(_ layer: LayerWeights, _ index: Int, _ rows: Int) throws {
    let shape = decoder.configuration
    if let alpha = layer.alpha, let norm = layer.alphaNorm {
      // The adapter sees the layer's input, under a norm of its own. The same kernel in prefill and decode.
      addAndNormalize(rows, delta: false, gain: norm, after: .layer(before: index))
      let work = product(alpha, workspace.normed.base, rows, workspace.decisions.base, shape.kvHeads, .vectors, 0)
      pool.run(tasks: work.tasks, work)
    }
    pool.run(
      tasks: rows,
      HeadPreparation(
        shape: (shape.heads, shape.kvHeads, shape.headDim), epsilon: shape.normEpsilon,
        queryNorm: layer.queryNorm.map { UnsafePointer($0.base) },
        keyNorm: layer.keyNorm.map { UnsafePointer($0.base) },
        queries: workspace.queries.base, keys: workspace.keys.base, values: workspace.values.base,
        cosines: workspace.cosines.base, sines: workspace.sines.base,
        rotates: shape.layerAttention[index].rotates, dms: shape.dms,
        borrowsApart: layer.borrowed != nil, decisions: workspace.decisions.base,
        faults: faults.stage(Stage.layer(index).number)))
    try observe(.query, index, rows, workspace.queries, shape.heads * shape.headDim)
    try observe(.key, index, rows, workspace.keys, shape.kvHeads * shape.headDim)
    try observe(.value, index, rows, workspace.values, shape.kvHeads * shape.headDim)
    if shape.dms != nil { try observe(.decisionLogits, index, rows, workspace.decisions, shape.kvHeads) }
  }

  /// The cache takes keys, values and decisions, and lends what the queries may see.
  private func attend(_ layer: Int, _ rows: Int, _ call: Call) throws {
    let shape = decoder.configuration
    let (workspace, assignment, decisions) = (self.workspace, self.workspace.assignment, self.decisions)
    switch call {
    case .prefill(let cache):
      cache.layout.round(workspace.keys.base, rows * shape.kvHeads)
      cache.layout.round(workspace.values.base, rows * shape.kvHeads)
      cache.admit(layer: layer, tokens: rows, decisions: decisions, attendsFirst: true, into: assignment)
      for kvHead in 0..<shape.kvHeads {
        (workspace.spans + kvHead).initialize(
          to: cache.spanBefore(layer: layer, kvHead: kvHead, assignment: assignment))
      }
      let work = PrefillAttention(
        spans: workspace.spans, lifetimes: assignment.keyLifetimes(), queries: workspace.queries.base,
        keys: workspace.keys.base, values: workspace.values.base, output: workspace.attention.base,
        firstPosition: cache.tokensSeen, tokens: rows, kvHeads: shape.kvHeads, group: shape.heads / shape.kvHeads,
        scratch: workspace.scratch.base, scratchStride: workspace.scratchStride, instructions: instructions)
      pool.run(tasks: work.tasks, shares: headShares, work)
      try cache.place(layer: layer, tokens: rows, in: assignment)
      pool.run(tasks: shape.kvHeads, shares: headShares, stored(cache.layout, row: 0, tokens: rows))
      if cache.selects { cache.noteStored(layer: layer, tokens: rows, with: policyScratch) }
    case .decode(let caches):
      for (row, cache) in caches.enumerated() {
        let logits = decisions.map { $0 + row * shape.kvHeads }
        cache.admit(layer: layer, tokens: 1, decisions: logits, attendsFirst: false, into: assignment)
        try cache.place(layer: layer, tokens: 1, in: assignment)
        let stored = stored(cache.layout, row: row, tokens: 1)
        for kvHead in 0..<shape.kvHeads {
          stored.run(task: kvHead, worker: 0)
          if cache.selects { continue }
          (workspace.spans + row * shape.kvHeads + kvHead).initialize(to: cache.span(layer: layer, kvHead: kvHead))
        }
      }
      lendSelected(layer, caches)
      let longest = caches.reduce(0) { max($0, $1.tokensSeen + 1) }
      workspace.reservePartials(
        heads: rows * shape.kvHeads, slots: longest, group: shape.heads / shape.kvHeads, headDim: shape.headDim)
      let work = DecodeAttention(
        spans: workspace.spans, queries: workspace.queries.base, output: workspace.attention.base, sequences: rows,
        kvHeads: shape.kvHeads, group: shape.heads / shape.kvHeads, scratch: workspace.scratch.base,
        scratchStride: workspace.scratchStride,
        partials: workspace.partials.base,
        instructions: instructions)
      pool.run(tasks: work.tasks, shares: headShares, work)
      if let combination = work.combination { pool.run(tasks: combination.tasks, shares: headShares, combination) }
    }
  }

  /// Lends sequences whose queries read a part of what stays what they read. Room is made for all before pages are chosen.
  private func lendSelected(_ layer: Int, _ caches: UnsafeBufferPointer<SequenceCache>) {
    let shape = decoder.configuration
    var longest = 0
    for cache in caches where cache.selects { longest = max(longest, cache.tokensSeen + 1) }
    guard longest > 0 else { return }
    chosenPages.reserve(pages: (longest + KVLayout.slotsPerPage - 1) / KVLayout.slotsPerPage)
    for (row, cache) in caches.enumerated() where cache.selects {
      cache.noteStored(layer: layer, tokens: 1, with: policyScratch)
      cache.lend(
        layer: layer, queries: workspace.queries.base + row * shape.heads * shape.headDim,
        to: workspace.spans + row * shape.kvHeads, from: chosenPages, row: row, with: policyScratch)
    }
  }

  /// `[rows, G]`, where there are any.
  private var decisions: UnsafePointer<Float>? {
    decoder.configuration.dms != nil ? UnsafePointer(workspace.decisions.base) : nil
  }

  private func stored(_ layout: KVLayout, row: Int, tokens: Int) -> SlotAssignment.Store {
    let kvHeads = decoder.configuration.kvHeads
    let offset = row * kvHeads * decoder.configuration.headDim
    return SlotAssignment.Store(
      workspace.assignment, layout: layout, keys: workspace.keys.base + offset,
      values: workspace.values.base + offset, tokens: tokens, kvHeads: kvHeads)
  }

  /// Policies that ask for it see what attention saw, and give slots up.
  private func settle(_ layer: Int, _ rows: Int, _ call: Call) throws {
    switch call {
    case .prefill(let cache):
      guard cache.settles else { return }
      try cache.settle(
        layer: layer, tokens: rows, queries: workspace.queries.base, isPrompt: true, with: policyScratch)
    case .decode(let caches):
      let width = decoder.configuration.heads * decoder.configuration.headDim
      for (row, cache) in caches.enumerated() where cache.settles {
        try cache.settle(
          layer: layer, tokens: 1, queries: workspace.queries.base + row * width, isPrompt: false, with: policyScratch)
      }
    }
  }

  /// Gives the rows of the workspace's keys and values to a cache, attending to nothing.
  func appendRows(_ rows: Int, to cache: SequenceCache, layer: Int) throws {
    cache.admit(layer: layer, tokens: rows, decisions: decisions, attendsFirst: false, into: workspace.assignment)
    try cache.place(layer: layer, tokens: rows, in: workspace.assignment)
    let kvHeads = decoder.configuration.kvHeads
    pool.run(tasks: kvHeads, shares: headShares, stored(cache.layout, row: 0, tokens: rows))
    if cache.selects { cache.noteStored(layer: layer, tokens: rows, with: policyScratch) }
    if cache.settles {
      // No prompt: it is there to be forgotten.
      try cache.settle(
        layer: layer, tokens: rows, queries: workspace.queries.base, isPrompt: false, with: policyScratch)
    }
  }

  private func feedForward(_ layer: LayerWeights, _ index: Int, _ rows: Int, _ call: Call) {
    let size = decoder.configuration.intermediate
    let gateUp = workspace.gateUp.base
    roundForBlocks(layer.feedsInBlocks, decoder.configuration.hidden, workspace.normed.base, rows, .layer(index))
    let gate = product(layer.gate, workspace.normed.base, rows, gateUp, 2 * size, call.kernels, 0)
    let up = product(layer.up, workspace.normed.base, rows, gateUp + size, 2 * size, call.kernels, 1)
    let both = ParallelPair(gate, tasks: gate.tasks, up, tasks: up.tasks)
    pool.run(tasks: both.tasks, both)
    let activation = SwiGLU(gateUp: gateUp, rows: rows, size: size, output: workspace.activated.base)
    pool.run(tasks: activation.tasks, activation)
    linear(layer.down, workspace.activated, rows, to: workspace.delta, call, .layer(index))
  }

  /// One linear map to `[rows, hidden]` under a fork of its own.
  private func linear(
    _ map: Linear, _ input: FloatBuffer, _ rows: Int, to output: FloatBuffer, _ call: Call, _ stage: Stage
  ) {
    roundForBlocks(map.isInBlocks, map.weights.columns, input.base, rows, stage)
    let work = product(map, input.base, rows, output.base, decoder.configuration.hidden, call.kernels, 0)
    pool.run(tasks: work.tasks, work)
  }

  /// Weights in blocks multiply with vectors in blocks: rounded once for all maps of the same input.
  private func roundForBlocks(
    _ isNeeded: Bool, _ columns: Int, _ input: UnsafePointer<Float>, _ rows: Int, _ stage: Stage
  ) {
    guard isNeeded, decoder.arithmetic == .fast else { return }
    let work = VectorQuantization(
      input, columns: columns, to: workspace.blockVectors, instructions: instructions,
      faults: faults.stage(stage.number))
    pool.run(tasks: rows, work)
  }

  /// - Parameter scratch: which part of the split inputs is free.
  private func product(
    _ map: Linear, _ input: UnsafePointer<Float>, _ rows: Int, _ output: UnsafeMutablePointer<Float>, _ stride: Int,
    _ kernels: Kernels, _ scratch: Int
  ) -> LinearProduct {
    let bias = map.bias.map { UnsafePointer($0.base) }
    switch (map.weights, kernels) {
    case (.blocks(let weights), _) where decoder.arithmetic == .fast:
      return .blocks(
        BlockProduct(
          weights, vectors: workspace.blockVectors, count: rows, bias: bias, output: output, outputStride: stride,
          workers: machine.threads, instructions: instructions))
    case (let weights, .rows):
      return .rows(
        MatrixProduct(
          weights, input: input, rows: rows, bias: bias, output: output, outputStride: stride,
          scratch: workspace.scratch.base, scratchStride: workspace.scratchStride))
    case (.stored(let weights), .vectors):
      return .vectors(
        MatrixVectorProduct(
          weights, input: input, vectors: rows, bias: bias, output: output, outputStride: stride,
          scratch: workspace.split.base + scratch * workspace.splitStride, instructions: instructions))
    case (let weights, .vectors):
      return .widened(
        WidenedVectorProduct(
          weights, input: input, vectors: rows, bias: bias, output: output, outputStride: stride,
          scratch: workspace.scratch.base, scratchStride: workspace.scratchStride, instructions: instructions))
    }
  }

  /// The logits of rows of `normed`, by the kernel that decoding uses.
  func lastLogits(firstRow: Int, rows: Int) throws {
    let shape = decoder.configuration
    try headProduct(workspace.normed.base + firstRow * shape.hidden, rows, workspace.logits.base, .vectors)
  }

  /// The logits of all rows, in blocks that bound the memory.
  private func allLogits(
    rows: Int, _ onLogits: (_ rows: Int, UnsafeBufferPointer<Float>) throws -> Void
  ) throws {
    let shape = decoder.configuration
    let most = max(1, min(rows, (16 << 20) / shape.vocabulary))
    let block = FloatBuffer(most * shape.vocabulary)
    for first in stride(from: 0, to: rows, by: most) {
      let count = min(most, rows - first)
      try headProduct(workspace.normed.base + first * shape.hidden, count, block.base, .rows)
      try onLogits(count, UnsafeBufferPointer(start: block.base, count: count * shape.vocabulary))
    }
  }

  private func headProduct(
    _ input: UnsafePointer<Float>, _ rows: Int, _ output: UnsafeMutablePointer<Float>, _ kernels: Kernels
  ) throws {
    let (head, vocabulary) = (Linear(weights: decoder.weights.head, bias: nil), decoder.configuration.vocabulary)
    roundForBlocks(head.isInBlocks, head.weights.columns, input, rows, .head)
    let work = product(head, input, rows, output, vocabulary, kernels, 0)
    pool.run(tasks: work.tasks, work)
    let stage = faults.stage(Stage.head.number)
    for row in 0..<rows { stage.check(output + row * vocabulary, vocabulary, row: row) }
    if faults.take(rows: rows) != nil { throw decoder.error(after: .head, on: machine) }
  }

  private func observe(_ quantity: Observed, _ layer: Int, _ rows: Int, _ buffer: FloatBuffer, _ width: Int) throws {
    guard let observer, observer.wants(quantity) else { return }
    try observer.observe(
      quantity, layer: layer, rows: rows, values: UnsafeBufferPointer(start: buffer.base, count: rows * width))
  }
}
