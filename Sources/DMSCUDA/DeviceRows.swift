// Launches of the kernels over whole rows (Kernels/rows.cu) and of linear maps (Kernels/linear.cu): which kernel serves
// which weights, on what grid. Used by the decoder on a device.
//
// N rows

import DMSPlatform
import DMSTensor

/// A weight matrix `[rows, columns]` in a device's memory, in the form that it has in the host's.
package struct DeviceMatrix {
  package let rows: Int
  package let columns: Int
  /// What its kernels are called by.
  let form: String
  let numbers: DeviceBuffer
  /// The scales of blocks.
  let scales: DeviceBuffer?

  /// Copies weights to a device.
  ///
  /// - Throws: `InputError` for lack of memory, and for blocks of GGUF files, for which there are no kernels.
  package init(_ weights: Weights, on device: any Device) throws {
    rows = weights.rows
    columns = weights.columns
    func copy(_ bytes: UnsafeRawBufferPointer) throws -> DeviceBuffer {
      let buffer = try DeviceBuffer(device, bytes: bytes.count)
      if !bytes.isEmpty { try device.upload(bytes, to: buffer.address) }
      return buffer
    }
    switch weights {
    case .stored(let matrix) where [.f32, .bf16, .f16].contains(matrix.type):
      form = matrix.type.rawValue.lowercased()
      numbers = try copy(UnsafeRawBufferPointer(start: matrix.base, count: matrix.bytes))
      scales = nil
    case .blocks(let matrix) where BlockFormat.own.contains(matrix.format):
      form = matrix.format.rawValue
      numbers = try copy(matrix.blockBytes)
      scales = try copy(matrix.scaleBytes)
    default:
      throw InputError(
        "weights in the blocks of a GGUF file have no kernels on a device",
        remedy: "use the model in F32, BF16 or F16, or --weights q8 or q4")
    }
  }

  private var isInBlocks: Bool { scales != nil }

  /// `output[n, row] = Σ W[row, k] · input[n, k] + bias[row]` for `count` vectors. A result does not depend on how many
  /// vectors there are.
  ///
  /// - Parameters:
  ///   - input: `[count, columns]` F32.
  ///   - bias: `[rows]` F32, or 0.
  ///   - output: rows of `stride` F32.
  package func multiply(
    _ input: DeviceAddress, count: Int, bias: DeviceAddress = 0, to output: DeviceAddress, stride: Int
  ) throws {
    guard rows > 0, count > 0 else { return }
    let vectors = count == 1 ? 1 : 4
    let perBlock = isInBlocks ? BlockFormat.rowsPerGroup : 8
    // A device has 65,535 blocks in the second direction; so many vectors go at once.
    let most = 65_535 * vectors
    for first in Swift.stride(from: 0, to: count, by: most) {
      let some = min(most, count - first)
      try numbers.device.launch(
        KernelLaunch(
          "linear_\(form)_\(vectors)", grid: ((rows + perBlock - 1) / perBlock, (some + vectors - 1) / vectors, 1),
          threads: 256, shared: isInBlocks ? 8 * vectors * 16 * 4 : 0,
          [
            .address(numbers.address), .address(scales?.address ?? 0), .integer(rows), .integer(columns),
            .address(input + UInt64(first * columns * 4)), .integer(some), .address(bias),
            .address(output + UInt64(first * stride * 4)), .integer(stride),
          ]))
    }
  }

  /// Rows `ids` as F32, `[count, columns]`.
  ///
  /// - Parameter ids: `[count]` Int32, all of them rows of the matrix.
  package func look(up ids: DeviceAddress, count: Int, to output: DeviceAddress) throws {
    guard count > 0 else { return }
    try numbers.device.launch(
      KernelLaunch(
        "embed_\(form)", grid: (count, 1, 1), threads: 128,
        [
          .address(numbers.address), .address(scales?.address ?? 0), .address(ids), .integer(columns), .address(output),
        ]))
  }
}

/// Where kernels note the first stage after which a row's numbers were not finite: `[rows]` Int32, `none` where all are.
package struct DeviceFaults {
  package static let none = Int32.max
  let address: DeviceAddress
  let stage: Int

  package init(_ buffer: DeviceBuffer, stage: Int) {
    address = buffer.address
    self.stage = stage
  }
}

/// Operations on N rows of F32.
package struct DeviceRows {
  let device: any Device
  let rows: Int

  /// - Precondition: 1 to 65,535 rows, as many as a grid has in its second direction.
  package init(_ rows: Int, on device: any Device) {
    precondition((1...65_535).contains(rows), "rows that a grid has room for")
    self.device = device
    self.rows = rows
  }

  /// `x += delta`, `output = RMSNorm(x) · gain`; all `[N, size]`, `delta` 0 adds nothing.
  package func addAndNormalize(
    _ x: DeviceAddress, delta: DeviceAddress, size: Int, gain: DeviceAddress, epsilon: Float, to output: DeviceAddress,
    _ faults: DeviceFaults
  ) throws {
    try device.launch(
      KernelLaunch(
        "add_normalize", grid: (rows, 1, 1), threads: 256, shared: 32,
        [
          .address(x), .address(delta), .integer(size), .address(gain), .number(epsilon), .address(output),
          .address(faults.address), .integer(faults.stage),
        ]))
  }

  /// `output[n, f] = silu(gateUp[n, f]) · gateUp[n, size + f]`.
  package func gate(_ gateUp: DeviceAddress, size: Int, to output: DeviceAddress) throws {
    guard size > 0 else { return }
    try device.launch(
      KernelLaunch(
        "gated_unit", grid: ((size + 255) / 256, rows, 1), threads: 256,
        [.address(gateUp), .integer(size), .address(output)]))
  }

  /// The place of the first of the largest of each row's `count` numbers, `[N]` Int32.
  package func largest(
    of logits: DeviceAddress, count: Int, to output: DeviceAddress, _ faults: DeviceFaults
  ) throws {
    try device.launch(
      KernelLaunch(
        "find_largest", grid: (rows, 1, 1), threads: 256, shared: 64,
        [
          .address(logits), .integer(count), .address(output), .address(faults.address), .integer(faults.stage),
        ]))
  }
}
