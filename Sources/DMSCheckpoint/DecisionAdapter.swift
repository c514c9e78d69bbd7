// What decides evictions, apart from the model that it was trained on: a folder of a few hundred kilobytes.
//
//   adapter_config.json   the dms_* keys, and what is known of the base
//   adapter.safetensors   the adapter's tensors, named as in the whole model, and numbers of the base: base.samples
//
// Whether a model is the base is asked in DMSModel, which reads weights in all forms.

import DMSPlatform
import DMSTensor
import DMSText
import Glibc

/// What tells a model from others of its shape, whatever form its matrices have: norms keep theirs in every quantization.
public struct BaseFingerprint: Sendable, Equatable {
  /// Family and sizes, in words.
  public let shape: String
  /// A hash of all norms and biases in fp32.
  public let kept: UInt64
  /// Numbers from all over its matrices; a quantization's are near.
  public let samples: [Float]

  /// What was found in a model.
  package init(shape: String, kept: UInt64, samples: [Float]) {
    self.shape = shape
    self.kept = kept
    self.samples = samples
  }
}

/// The tensors that decide evictions, and how: to be laid over the model that they were trained on.
public final class DecisionAdapter: Sendable {
  /// Where it lies.
  public let folder: String
  /// How the model forgets with it.
  public let settings: DMSSettings
  /// The model that it was trained on.
  public let base: BaseFingerprint
  private let file: SafetensorsFile

  private static let configurationName = "adapter_config.json"
  private static let weightsName = "adapter.safetensors"
  private static let samplesName = "base.samples"

  /// Opens an adapter's folder.
  /// - Throws: `InputError` naming the file and what is missing or wrong in it.
  public init(folder: String) throws {
    self.folder = folder
    let path = "\(folder)/\(Self.configurationName)"
    guard access(path, F_OK) == 0 else {
      throw InputError(
        "no \(Self.configurationName)", at: folder, remedy: "give the folder that dms retrofit wrote of an adapter")
    }
    let reader = try ConfigurationReader(JSON(file: path), source: path)
    guard let settings = try DMSSettings(reader, metadata: nil, source: path), settings.separateAlpha else {
      throw InputError(
        "true expected", at: "\(path): dms_separate_alpha",
        remedy: "give an adapter: a borrowed neuron is part of a model")
    }
    self.settings = settings
    let known = try reader.required("base", reader.object("base"))
    let hash = try known.required("kept", known.string("kept"))
    guard let kept = UInt64(hash, radix: 16) else {
      throw known.wrong("kept", "a number in hexadecimal digits", .string(hash))
    }
    file = try SafetensorsFile(path: "\(folder)/\(Self.weightsName)")
    let samples = file.view(Self.samplesName)
    guard let samples, samples.type == .f32, samples.shape.count == 1 else {
      throw InputError(
        "no vector of F32 named \(Self.samplesName)", at: file.path, remedy: "use both files of the same adapter")
    }
    base = BaseFingerprint(
      shape: try known.required("shape", known.string("shape")), kept: kept,
      samples: (0..<samples.count).map { samples.bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) })
  }

  /// Whether a tensor belongs to an adapter.
  static func holds(_ tensor: DecoderTensor) -> Bool { [.decision, .decisionNorm].contains(tensor.role) }

  /// - Throws: `InputError` if it is missing or has another shape or type.
  func tensor(_ tensor: DecoderTensor) throws -> TensorView {
    guard let view = file.view(tensor.name) else {
      throw InputError(
        "tensor \(quoted(tensor.name)) is missing", at: file.path, remedy: "use both files of the same adapter")
    }
    guard view.shape == tensor.shape else {
      throw InputError(
        "tensor \(quoted(tensor.name)) has the shape \(view.shape), expected \(tensor.shape)", at: file.path,
        remedy: "use the adapter with the model that it was trained on: \(base.shape)")
    }
    guard [.f32, .bf16, .f16].contains(view.type) else {
      throw InputError(
        "tensor \(quoted(tensor.name)) is stored as \(view.type.rawValue), expected F32, BF16 or F16", at: file.path,
        remedy: "use both files of the same adapter")
    }
    return view
  }

  /// Whether an optional tensor is there.
  func has(_ tensor: DecoderTensor) -> Bool { file.view(tensor.name) != nil }

  /// Writes the adapter of a model.
  ///
  /// - Parameters:
  ///   - model: a model with an adapter, whose configuration says so.
  ///   - base: what it was trained on.
  ///   - replaces: an adapter of that name gives way.
  /// - Throws: `InputError` for a model without an adapter and for a disk without room; nothing is left behind then.
  package static func write(of model: ModelSource, base: BaseFingerprint, to path: String, replaces: Bool) throws {
    guard let settings = model.configuration.dms, settings.separateAlpha, settings.shift == 1 else {
      throw InputError("has no adapter in NVIDIA's form", at: model.path, remedy: "retrofit one with eviction.adapter")
    }
    let output = try CheckpointFolder(path, replaces: replaces)
    let tensors = DecoderTensors(model.configuration).all.filter(holds)
    let views = try tensors.map { tensor in
      guard case .stored(let matrix) = try model.weights(tensor) else {
        throw InputError(
          "tensor \(quoted(tensor.name)) is in blocks", at: model.path, remedy: "use the model as trained")
      }
      return matrix
    }
    let writer = try SafetensorsWriter(
      path: "\(output.partial)/\(weightsName)",
      tensors: zip(tensors, views).map { .init($0.name, $1.type, $0.shape) }
        + [.init(samplesName, .f32, [base.samples.count])], metadata: ["format": "pt"])
    for (tensor, matrix) in zip(tensors, views) {
      let bytes = matrix.rows * matrix.columns * matrix.type.size
      try writer.write(UnsafeRawBufferPointer(start: matrix.row(0), count: bytes), to: tensor.name)
    }
    try base.samples.withUnsafeBytes { try writer.write($0, to: samplesName) }
    try writer.finish()
    var keys = JSONObject()
    for (key, value) in settings.keys { keys[key] = value }
    keys["base"] = .object(
      JSONObject(["shape": .string(base.shape), "kept": .string(String(base.kept, radix: 16))]))
    try writeAtomically(Array((JSON.object(keys).text + "\n").utf8), to: "\(output.partial)/\(configurationName)")
    try output.finish()
  }
}
