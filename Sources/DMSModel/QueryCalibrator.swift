// One pass over any text, in which the queries of every head are averaged before RoPE turns them; and the file that keeps it.
//
// L layers · H query heads · D head dim

import DMSCache
import DMSCheckpoint
import DMSPlatform
import DMSTensor
import Glibc

extension QueryCalibration {
  /// The name under which a calibration lies beside a model.
  public static let fileName = "triattention.safetensors"
  private static let version = "1"

  /// Measures a model's queries.
  ///
  /// - Parameters:
  ///   - ids: a text; each window of the engine's context goes into a fresh dense cache.
  ///   - progress: receives the share of the text that is read.
  /// - Throws: `InputError` as `Engine.prefill`, and without tokens; `CancellationError`.
  public static func measure(
    _ ids: [Int], on engine: Engine, progress: ((Double) -> Void)? = nil, isCancelled: () -> Bool = { false }
  ) throws -> QueryCalibration {
    guard !ids.isEmpty else { throw InputError("there are no tokens to calibrate with") }
    let means = QueryMeans(engine.decoder)
    engine.observer = means
    defer { engine.observer = nil }
    for first in stride(from: 0, to: ids.count, by: engine.context) {
      means.begin()
      let window = Array(ids[first..<min(ids.count, first + engine.context)])
      try engine.prefill(window, into: engine.makeCache(policy: .keepAll), isCancelled: isCancelled)
      progress?(Double(first + window.count) / Double(ids.count))
    }
    return means.calibration
  }

  /// Where a model's calibration lies if nobody says otherwise: in its folder, or beside a file. `nil` for random weights.
  public static func path(beside decoder: Decoder) -> String? {
    decoder.model.map { model in
      if case .file = model.container { "\(model.path).\(fileName)" } else { "\(model.path)/\(fileName)" }
    }
  }

  /// Writes the calibration, with the hash of the model that it is of.
  ///
  /// - Throws: `InputError` for a file that cannot be written.
  public func write(to path: String, of decoder: Decoder) throws {
    let (layers, heads, dim) = shape
    let writer = try SafetensorsWriter(
      path: path,
      tensors: [
        .init("query_centers", .f32, [layers, heads, dim]), .init("query_lengths", .f32, [layers, heads, dim / 2]),
      ], metadata: ["dms_calibration": Self.version, "model_hash": try decoder.modelHash() ?? ""])
    try centers.withUnsafeBytes { try writer.write($0, to: "query_centers") }
    try lengths.withUnsafeBytes { try writer.write($0, to: "query_lengths") }
    try writer.finish()
  }

  /// Reads a calibration of a model.
  ///
  /// - Throws: `InputError` for a file that is none, and for one of another model.
  public convenience init(path: String, of decoder: Decoder) throws {
    let file = try SafetensorsFile(path: path)
    let model = decoder.configuration
    func wrong(_ problem: String) -> InputError {
      InputError(problem, at: path, remedy: "make one for this model: dms calibrate")
    }
    guard file.metadata["dms_calibration"] == Self.version else { throw wrong("no calibration of this version") }
    func numbers(_ name: String, _ columns: Int) throws -> [Float] {
      guard let view = file.view(name), view.type == .f32, view.shape == [model.layers, model.heads, columns] else {
        throw wrong("\(name) is missing, or of another shape than the model's")
      }
      let numbers = Array(view.bytes.bindMemory(to: Float.self))
      guard numbers.allSatisfy(\.isFinite) else { throw wrong("\(name) has numbers that are not finite") }
      return numbers
    }
    let centers = try numbers("query_centers", model.headDim)
    let lengths = try numbers("query_lengths", model.headDim / 2)
    guard try file.metadata["model_hash"] == decoder.modelHash() ?? "" else { throw wrong("of another model") }
    self.init(
      shape: (model.layers, model.heads, model.headDim), centers: centers, lengths: lengths,
      frequencies: decoder.turningFrequencies)
  }
}

extension Decoder {
  /// `[L, D/2]`: radians per position; 0 in a layer that does not turn.
  fileprivate var turningFrequencies: [Float] {
    configuration.layerAttention.flatMap { $0.rotates ? frequencies : frequencies.map { _ in 0 } }
  }
}

/// Sums of queries that were turned back.
private final class QueryMeans: ForwardObserver {
  private let shape: ModelConfiguration
  private let frequencies: [Float]  // [L, D/2]
  private var sums: [Double]  // [L, H, D]
  private var lengths: [Double]  // [L, H, D/2]
  private var count = 0
  /// Tokens of the present window that each layer has seen.
  private var seen: [Int]

  init(_ decoder: Decoder) {
    shape = decoder.configuration
    frequencies = decoder.turningFrequencies
    sums = Array(repeating: 0, count: shape.layers * shape.heads * shape.headDim)
    lengths = Array(repeating: 0, count: shape.layers * shape.heads * (shape.headDim / 2))
    seen = Array(repeating: 0, count: shape.layers)
  }

  /// Begins a window.
  func begin() { for layer in seen.indices { seen[layer] = 0 } }

  func wants(_ quantity: Observed) -> Bool { quantity == .query }

  func observe(_ quantity: Observed, layer: Int, rows: Int, values: UnsafeBufferPointer<Float>) {
    let (heads, dim, half) = (shape.heads, shape.headDim, shape.headDim / 2)
    // RoPE may scale what it turns.
    let scale = shape.layerAttention[layer].rotates ? Double(shape.rope.attentionFactor) : 1
    for row in 0..<rows {
      for frequency in 0..<half {
        let angle = Double(Float(seen[layer] + row) * frequencies[layer * half + frequency])
        let (cosine, sine) = (cos(angle) / scale, sin(angle) / scale)
        for head in 0..<heads {
          let query = (row * heads + head) * dim + frequency
          let (x, y) = (Double(values[query]), Double(values[query + half]))
          let (real, imaginary) = (x * cosine + y * sine, y * cosine - x * sine)
          let place = (layer * heads + head) * dim + frequency
          sums[place] += real
          sums[place + half] += imaginary
          lengths[(layer * heads + head) * half + frequency] += (real * real + imaginary * imaginary).squareRoot()
        }
      }
    }
    seen[layer] += rows
    if layer == shape.layers - 1 { count += rows }
  }

  var calibration: QueryCalibration {
    let scale = 1 / Double(max(1, count))
    return QueryCalibration(
      shape: (shape.layers, shape.heads, shape.headDim), centers: sums.map { Float($0 * scale) },
      lengths: lengths.map { Float($0 * scale) }, frequencies: frequencies)
  }
}
