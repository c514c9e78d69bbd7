// Head preparation on a device (Kernels/heads.cu): query and key norms, the eviction decision, RoPE. Used by the decoder on
// a device; the CPU's is DMSModel's HeadPreparation.
//
// N rows · H query heads · G KV heads · D head dim

import DMSCheckpoint

/// What stays the same for all layers: shape and settings.
package struct DeviceHeads {
  package let heads: Int
  package let kvHeads: Int
  package let headDim: Int
  let epsilon: Float
  let dms: DMSSettings?

  /// - Precondition: an even head dim, and whole groups of heads.
  package init(heads: Int, kvHeads: Int, headDim: Int, epsilon: Float, dms: DMSSettings?) {
    precondition(headDim % 2 == 0 && heads % kvHeads == 0, "heads in whole groups, channels in pairs")
    self.heads = heads
    self.kvHeads = kvHeads
    self.headDim = headDim
    self.epsilon = epsilon
    self.dms = dms
  }

  /// The buffers of a layer's call, F32.
  package struct Buffers {
    /// `[N, H, D]`, `[N, G, D]`, `[N, G, D]`; queries and keys are changed in place.
    package var queries, keys, values: DeviceAddress
    /// `[N, G]`: the adapter's projection, or borrowed channels that were computed apart; 0 where there are neither.
    package var projected: DeviceAddress = 0
    /// `[N, G]`: receives the decision logits of a model that forgets.
    package var decisions: DeviceAddress
    /// `[D]`, or 0.
    package var queryNorm, keyNorm: DeviceAddress
    /// `[N, D / 2]`.
    package var cosines, sines: DeviceAddress

    package init(
      queries: DeviceAddress, keys: DeviceAddress, values: DeviceAddress, decisions: DeviceAddress,
      queryNorm: DeviceAddress = 0, keyNorm: DeviceAddress = 0, cosines: DeviceAddress, sines: DeviceAddress
    ) {
      self.queries = queries
      self.keys = keys
      self.values = values
      self.decisions = decisions
      self.queryNorm = queryNorm
      self.keyNorm = keyNorm
      self.cosines = cosines
      self.sines = sines
    }
  }

  /// Prepares the heads of `rows` rows.
  ///
  /// - Parameter rotates: whether RoPE turns this layer's heads.
  package func prepare(
    _ buffers: Buffers, rows: Int, rotates: Bool, on device: any Device, _ faults: DeviceFaults
  ) throws {
    guard rows > 0 else { return }
    var flags = rotates ? 1 : 0
    if let dms {
      flags |= 2
      if dms.separateAlpha { flags |= 4 }
      if dms.alphaPer == .layer { flags |= 8 }
      if dms.zeroAfterRope { flags |= 16 }
      if !dms.separateAlpha, buffers.projected != 0 { flags |= 32 }
      precondition(!dms.separateAlpha || buffers.projected != 0, "an adapter's projection")
    }
    try device.launch(
      KernelLaunch(
        "prepare_heads", grid: (rows, (heads + 2 * kvHeads + 7) / 8, 1), threads: 256,
        [
          .address(buffers.queries), .address(buffers.keys), .address(buffers.values), .address(buffers.projected),
          .address(buffers.decisions), .address(buffers.queryNorm), .address(buffers.keyNorm),
          .address(buffers.cosines), .address(buffers.sines), .integer(heads), .integer(kvHeads), .integer(headDim),
          .number(epsilon), .integer(flags), .number(dms?.alphaScale ?? 0), .number(dms?.alphaOffset ?? 0),
          .address(faults.address), .integer(faults.stage),
        ]))
  }
}
