// A model's five parts, whatever holds them: configuration, tensors, tokenizer, chat template, the makers' wishes. A Hugging
// Face folder or a GGUF file; who computes with a model need not know which. What is computed is not known here.

import DMSPlatform
import DMSTensor
import DMSText
import Glibc

/// A model as people have it: a Hugging Face folder, or a GGUF file (also a split one).
public struct ModelSource: Sendable {
  /// What holds the model.
  public enum Container: Sendable {
    case folder(Checkpoint)
    case file(GGUFFile)
  }

  /// What holds the model.
  public let container: Container
  /// The decoder's shape.
  public let configuration: ModelConfiguration
  /// What decides evictions, if it lies apart.
  package let adapter: DecisionAdapter?

  /// Opens a model to compute with. Weights are mapped, not read.
  ///
  /// - Parameter adapter: the folder of an adapter that was trained on this model.
  /// - Throws: `InputError` that names the file and what is missing, damaged or not supported.
  public init(path: String, adapter: String? = nil) throws {
    let base: ModelSource
    if try Self.isFile(path) {
      let file = try GGUFFile(path: path)
      base = Self(.file(file), try ModelConfiguration(gguf: file))
    } else {
      base = Self(try Checkpoint(folder: path))
    }
    try self.init(base, adapter: adapter)
  }

  private init(_ base: ModelSource, adapter folder: String?) throws {
    guard let folder else {
      self = base
      return
    }
    let adapter = try DecisionAdapter(folder: folder)
    guard base.configuration.dms == nil else {
      throw InputError("decides what to forget already", at: base.path, remedy: "use the adapter with its dense base")
    }
    guard !base.configuration.slides else {
      throw InputError(
        "its sliding windows and an adapter's decisions do not go together", at: base.path,
        remedy: "use a model without")
    }
    self.init(base.container, base.configuration.taught(adapter.settings), adapter)
  }

  /// The same model as it was before it was taught.
  package var withoutAdapter: ModelSource {
    adapter == nil ? self : Self(container, configuration.taught(nil))
  }

  /// A folder that is open already.
  public init(_ checkpoint: Checkpoint) { self.init(.folder(checkpoint), checkpoint.configuration) }

  private init(_ container: Container, _ configuration: ModelConfiguration, _ adapter: DecisionAdapter? = nil) {
    self.container = container
    self.configuration = configuration
    self.adapter = adapter
  }

  /// Whether a path leads to a file, which a GGUF model is, and not to a folder.
  /// - Throws: `InputError` for what is neither.
  package static func isFile(_ path: String) throws -> Bool {
    let remedy = "give a .gguf file, or the folder of a Hugging Face checkpoint"
    var status = stat()
    guard stat(path, &status) == 0 else { throw InputError(systemMessage(errno), at: path, remedy: remedy) }
    switch status.st_mode & S_IFMT {
    case S_IFREG: return true
    case S_IFDIR: return false
    default: throw InputError("neither a file nor a folder", at: path, remedy: remedy)
    }
  }

  /// Where it lies.
  public var path: String {
    switch container {
    case .folder(let checkpoint): checkpoint.folder
    case .file(let file): file.path
    }
  }

  /// Numbers in all tensors; of weights in blocks, those that they stand for.
  public var parameters: Int {
    switch container {
    case .folder(let checkpoint): checkpoint.parameters
    case .file(let file):
      file.names.reduce(0) { $0 + ((try? file.tensor(named: $1).shape.reduce(1, *)) ?? 0) }
    }
  }

  /// Bytes of all tensors.
  public var weightBytes: Int {
    switch container {
    case .folder(let checkpoint): checkpoint.weightBytes
    case .file(let file): file.types.reduce(0) { $0 + $1.bytes }
    }
  }

  /// Whether a tensor that may be missing is there.
  package func has(_ tensor: DecoderTensor) -> Bool {
    if let adapter, DecisionAdapter.holds(tensor) { return adapter.has(tensor) }
    switch container {
    case .folder(let checkpoint): return checkpoint.hasTensor(tensor.name)
    case .file(let file): return file.hasTensor(tensor.ggufName)
    }
  }

  /// A tensor in the form that it is stored in, valid while the source lives; a vector as a matrix of one column. Costs
  /// look-ups; no bytes are read.
  /// - Throws: `InputError` if it is missing or has another shape or type.
  package func weights(_ tensor: DecoderTensor) throws -> Weights {
    let (rows, columns) = (tensor.shape[0], tensor.shape.dropFirst().first ?? 1)
    if let adapter, DecisionAdapter.holds(tensor) {
      let view = try adapter.tensor(tensor)
      return .stored(Matrix(TensorView(type: view.type, shape: [rows, columns], bytes: view.bytes)))
    }
    switch container {
    case .folder(let checkpoint):
      if tensor.use == .converted, let stored = configuration.blocks {
        return .blocks(try checkpoint.blocks(tensor.name, stored.format, rows: rows, columns: columns))
      }
      let view = try checkpoint.tensor(tensor.name, shape: tensor.shape)
      return .stored(Matrix(TensorView(type: view.type, shape: [rows, columns], bytes: view.bytes)))
    case .file(let file):
      let (type, shape, bytes) = try file.tensor(named: tensor.ggufName)
      guard shape == tensor.shape else {
        throw InputError(
          "tensor \(quoted(tensor.ggufName)) has the shape \(shape), expected \(tensor.shape)", at: file.path,
          remedy: "convert the model again")
      }
      guard type.plain != nil || shape.count > 1 else {
        throw InputError(
          "tensor \(quoted(tensor.ggufName)) is stored as \(type.name), expected F32, F16 or BF16", at: file.path,
          remedy: "convert the model again")
      }
      return .init(type, rows: rows, columns: columns, bytes: bytes)
    }
  }

  /// The name of a tensor in its container.
  package func name(of tensor: DecoderTensor) -> String {
    if case .file = container { tensor.ggufName } else { tensor.name }
  }

  /// How many heads' rows the container has interleaved; `nil` for none.
  package func interleavedHeads(_ tensor: DecoderTensor) -> Int? {
    if case .file = container { configuration.interleavedHeads(tensor) } else { nil }
  }

  /// The first tensor of which something holds, and its file.
  package func firstTensor(where holds: (Weights) -> Bool) -> (name: String, path: String)? {
    switch container {
    case .folder(let checkpoint):
      return checkpoint.firstTensor {
        holds(.stored(Matrix(TensorView(type: $0.type, shape: [1, $0.count], bytes: $0.bytes))))
      }
    case .file(let file):
      for name in file.names {
        guard let (type, shape, bytes) = try? file.tensor(named: name), let columns = shape.last else { continue }
        let rows = shape.dropLast().reduce(1, *)
        if holds(Weights(type, rows: rows, columns: columns, bytes: bytes)) { return (name, file.path) }
      }
      return nil
    }
  }
}

extension GGMLType {
  /// The type of plain numbers; `nil` for blocks.
  fileprivate var plain: ElementType? {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    default: nil
    }
  }
}

extension Weights {
  /// The tensor of a GGUF file: plain numbers as such.
  package init(_ type: GGMLType, rows: Int, columns: Int, bytes: UnsafeRawBufferPointer) {
    if let plain = type.plain {
      self = .stored(Matrix(TensorView(type: plain, shape: [rows, columns], bytes: bytes)))
    } else {
      self = .ggml(GGMLMatrix(type, rows: rows, columns: columns, bytes: bytes))
    }
  }
}

extension ModelSource {
  /// Text to ids and back.
  /// - Throws: `InputError` that names what is missing or not supported.
  public func tokenizer() throws -> Tokenizer {
    switch container {
    case .folder(let checkpoint): try Tokenizer(folder: checkpoint.folder)
    case .file(let file): try Tokenizer(gguf: file)
    }
  }

  /// How a conversation is written down; `nil` for a base model.
  /// - Throws: `InputError` with the template's line that is malformed or not supported.
  public func template() throws -> ChatTemplate? {
    switch container {
    case .folder(let checkpoint): try ChatTemplate(folder: checkpoint.folder)
    case .file(let file): try file.template()
    }
  }

  /// How the makers want it sampled.
  public func generation() throws -> GenerationConfiguration {
    switch container {
    case .folder(let checkpoint): try GenerationConfiguration(folder: checkpoint.folder)
    case .file(let file): file.generation()
    }
  }
}

extension ModelSource {
  /// The keys of config.json, or of its equivalent.
  package func configurationKeys() throws -> JSONObject {
    var keys = try baseKeys()
    for (key, value) in adapter?.settings.keys ?? [] { keys[key] = value }
    return keys
  }

  private func baseKeys() throws -> JSONObject {
    switch container {
    case .folder(let checkpoint): return try CheckpointFolder.configuration(of: checkpoint.folder)
    case .file(let file):
      if case .factors = configuration.rope.scaling {
        throw InputError("config.json has no words for the factors in rope_freqs.weight", at: file.path)
      }
      if configuration.dms?.shift == 0 { throw InputError("config.json has no words for dms.shift 0", at: file.path) }
      return try file.configuration().object ?? JSONObject()
    }
  }
}

extension CheckpointFolder {
  /// Writes what belongs to a model beside its weights and its configuration: tokenizer, chat template, sampling wishes.
  package func writeCompanions(of model: ModelSource) throws {
    switch model.container {
    case .folder(let checkpoint): try copyCompanions(of: checkpoint.folder)
    case .file(let file):
      let files = try file.tokenizerTables().files(model.template(), source: file.path)
      try write(files.tokenizer, to: "tokenizer.json")
      try write(files.configuration, to: "tokenizer_config.json")
      try write(model.generation().json, to: "generation_config.json")
    }
  }

  private func write(_ json: JSON, to name: String) throws {
    try writeAtomically(Array((json.text + "\n").utf8), to: "\(partial)/\(name)")
  }
}
