// What can be watched while the decoder runs: the intermediate values that other back ends are compared with.

/// A value of one layer, for the rows of one call.
public enum Observed: String, Sendable, CaseIterable {
  /// The layer's input `[rows, hidden]`.
  case hidden
  /// Queries `[rows, heads, headDim]` after RoPE, as attention uses them; borrowed channels are zero.
  case query
  /// Keys `[rows, kvHeads, headDim]` after RoPE, before rounding to the cache's type.
  case key
  /// Values `[rows, kvHeads, headDim]`, before rounding to the cache's type.
  case value
  /// The attention's result `[rows, heads, headDim]`, before the output projection.
  case attention
  /// Decision logits `[rows, kvHeads]`; only models with DMS settings have them.
  case decisionLogits
}

/// Sees values as they are computed. The pointers are valid during the call.
public protocol ForwardObserver: AnyObject {
  /// Whether it wants a quantity at all; asked in every call.
  func wants(_ quantity: Observed) -> Bool
  /// Receives a quantity of a layer. What it throws ends the call.
  ///
  /// - Parameter values: `[rows, …]` as the quantity says, the rows of the present chunk.
  func observe(_ quantity: Observed, layer: Int, rows: Int, values: UnsafeBufferPointer<Float>) throws
}
