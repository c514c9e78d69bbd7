// What a decoder works in while it trains. Each list of buffers is written once: with a `make` that allocates it holds them,
// with one that counts it says what they would take.
//
// N rows · T tokens of the longest document · L layers · C hidden · H query heads · G KV heads · R = H / G · D head dim ·
// P = (H + 2G) D · F MLP size

import DMSCheckpoint
import DMSTensor

/// Bytes that a list of buffers takes.
func bytesTaken(by list: ((Int) -> Void) -> Void) -> Int {
  var numbers = 0
  list { numbers += $0 }
  return numbers * MemoryLayout<Float>.stride
}

/// Numbers of a row in parts of a layer.
struct LayerSizes {
  let queries: Int
  let keys: Int
  let projected: Int
  /// C for a model with an adapter, otherwise 0.
  let adapter: Int

  init(_ shape: ModelConfiguration) {
    queries = shape.heads * shape.headDim
    keys = shape.kvHeads * shape.headDim
    projected = queries + 2 * keys
    adapter = shape.dms?.separateAlpha ?? false ? shape.hidden : 0
  }
}

/// What a layer's forward leaves for its backward.
final class LayerActivations<Buffer> {
  let input: Buffer  // [N, C]
  let normed: Buffer  // [N, C]
  let scales: Buffer  // [N]
  /// The adapter's own norm of the input.
  let alphaNormed: Buffer  // [N, C]
  let alphaScales: Buffer  // [N]
  let projected: Buffer  // [N, P]
  let headScales: Buffer  // [N, H + G]
  let queries: Buffer  // [G, N, R, D]
  let keys: Buffer  // [G, N, D]
  let decisions: Buffer  // [N, G]: a, then z
  let bias: Buffer  // [G, N]
  let attention: Buffer  // [N, H, D]
  let logSums: Buffer  // [G, N, R]
  let middle: Buffer  // [N, C]
  let middleNormed: Buffer  // [N, C]
  let middleScales: Buffer  // [N]
  let gateUp: Buffer  // [N, 2F]
  let activated: Buffer  // [N, F]

  init(_ shape: ModelConfiguration, rows: Int, _ make: (Int) -> Buffer) {
    let sizes = LayerSizes(shape)
    input = make(rows * shape.hidden)
    normed = make(rows * shape.hidden)
    scales = make(rows)
    alphaNormed = make(rows * sizes.adapter)
    alphaScales = make(rows)
    projected = make(rows * sizes.projected)
    headScales = make(rows * (shape.heads + shape.kvHeads))
    queries = make(rows * sizes.queries)
    keys = make(rows * sizes.keys)
    decisions = make(rows * shape.kvHeads)
    bias = make(rows * shape.kvHeads)
    attention = make(rows * sizes.queries)
    logSums = make(rows * shape.heads)
    middle = make(rows * shape.hidden)
    middleNormed = make(rows * shape.hidden)
    middleScales = make(rows)
    gateUp = make(rows * 2 * shape.intermediate)
    activated = make(rows * shape.intermediate)
  }
}

/// What the backward works in, shared by all layers.
struct BackwardBuffers<Buffer> {
  let dx: Buffer  // [N, C]
  let dNormed: Buffer  // [N, C]
  let dProjected: Buffer  // [N, P]
  let dQueries: Buffer  // [G, N, R, D]
  let dKeys: Buffer  // [G, N, D]
  let dBias: Buffer  // [G, N]
  let dAttention: Buffer  // [N, H, D]
  let dGateUp: Buffer  // [N, 2F]
  let dActivated: Buffer  // [N, F]
  let partials: Buffer

  init(_ shape: ModelConfiguration, rows: Int, _ make: (Int) -> Buffer) {
    let sizes = LayerSizes(shape)
    dx = make(rows * shape.hidden)
    dNormed = make(rows * shape.hidden)
    dProjected = make(rows * sizes.projected)
    dQueries = make(rows * sizes.queries)
    dKeys = make(rows * sizes.keys)
    dBias = make(rows * shape.kvHeads)
    dAttention = make(rows * sizes.queries)
    dGateUp = make(rows * 2 * shape.intermediate)
    dActivated = make(rows * shape.intermediate)
    partials = make(PartialSums.count(rows: rows) * max(shape.hidden, 2 * shape.headDim))
  }
}

/// A decoder's buffers for batches of up to so many rows.
struct DecoderBuffers<Buffer> {
  /// Of all layers; of one, which they share, where there is no backward or it computes them anew.
  let activations: [LayerActivations<Buffer>]
  /// The layers' inputs, of which activations are computed anew.
  let inputs: [Buffer]  // [N, C]
  let output: Buffer  // [N, C]: of the last layer
  let normed: Buffer  // [N, C]: after the final norm
  let scales: Buffer  // [N]
  /// `nil` without a backward.
  let backward: BackwardBuffers<Buffer>?

  init(_ shape: ModelConfiguration, rows: Int, trains: Bool, recomputes: Bool, _ make: (Int) -> Buffer) {
    let layers = 0..<shape.layers
    activations = layers.prefix(trains && !recomputes ? shape.layers : 1).map { _ in
      LayerActivations(shape, rows: rows, make)
    }
    inputs = layers.prefix(trains && recomputes ? shape.layers : 0).map { _ in make(rows * shape.hidden) }
    output = make(rows * shape.hidden)
    normed = make(rows * shape.hidden)
    scales = make(rows)
    backward = trains ? BackwardBuffers(shape, rows: rows, make) : nil
  }
}

/// A decoder's buffers for documents of up to so many tokens.
struct DocumentBuffers<Buffer> {
  let scratch: Buffer  // for each thread
  let cosines: Buffer  // [T, D / 2]
  let sines: Buffer

  init(longest: Int, headDim: Int, scratch: Int, threads: Int, _ make: (Int) -> Buffer) {
    self.scratch = make(threads * scratch)
    cosines = make(longest * (headDim / 2))
    sines = make(longest * (headDim / 2))
  }
}
