// What a layer's forward leaves for its backward.
//
// N rows · C hidden · H query heads · G KV heads · D head dim · P = (H + 2G) D · F MLP size

import DMSCheckpoint
import DMSTensor

final class LayerActivations {
  let input: FloatBuffer  // [N, C]
  let normed: FloatBuffer  // [N, C]
  let scales: FloatBuffer  // [N]
  /// The adapter's own norm of the input.
  let alphaNormed: FloatBuffer  // [N, C]
  let alphaScales: FloatBuffer  // [N]
  let projected: FloatBuffer  // [N, P]
  let headScales: FloatBuffer  // [N, H + G]
  let queries: FloatBuffer  // [G, N, R, D]
  let keys: FloatBuffer  // [G, N, D]
  let decisions: FloatBuffer  // [N, G]: a, then z
  let bias: FloatBuffer  // [G, N]
  let attention: FloatBuffer  // [N, H, D]
  let logSums: FloatBuffer  // [G, N, R]
  let middle: FloatBuffer  // [N, C]
  let middleNormed: FloatBuffer  // [N, C]
  let middleScales: FloatBuffer  // [N]
  let gateUp: FloatBuffer  // [N, 2F]
  let activated: FloatBuffer  // [N, F]

  init(_ shape: ModelConfiguration, rows: Int) {
    let sizes = Sizes(shape)
    input = FloatBuffer(rows * shape.hidden)
    normed = FloatBuffer(rows * shape.hidden)
    scales = FloatBuffer(rows)
    alphaNormed = FloatBuffer(rows * sizes.adapter)
    alphaScales = FloatBuffer(rows)
    projected = FloatBuffer(rows * sizes.projected)
    headScales = FloatBuffer(rows * (shape.heads + shape.kvHeads))
    queries = FloatBuffer(rows * sizes.queries)
    keys = FloatBuffer(rows * sizes.keys)
    decisions = FloatBuffer(rows * shape.kvHeads)
    bias = FloatBuffer(rows * shape.kvHeads)
    attention = FloatBuffer(rows * sizes.queries)
    logSums = FloatBuffer(rows * shape.heads)
    middle = FloatBuffer(rows * shape.hidden)
    middleNormed = FloatBuffer(rows * shape.hidden)
    middleScales = FloatBuffer(rows)
    gateUp = FloatBuffer(rows * 2 * shape.intermediate)
    activated = FloatBuffer(rows * shape.intermediate)
  }

  /// Numbers for each row.
  static func width(_ shape: ModelConfiguration) -> Int {
    let sizes = Sizes(shape)
    return 4 * shape.hidden + sizes.adapter + 3 + sizes.projected + 2 * shape.heads + 3 * shape.kvHeads
      + 2 * sizes.queries + sizes.keys + 3 * shape.intermediate
  }

  struct Sizes {
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
}
