// A model folder as Hugging Face lays it out: config.json, and weights in one file or in shards with an index.

import DMSPlatform
import DMSTensor
import DMSText
import Glibc

/// An opened checkpoint. Weights are mapped, not read: opening takes milliseconds and no memory beyond the page cache.
public final class Checkpoint: Sendable {
  /// Where it lies.
  public let folder: String
  /// Its shape.
  public let configuration: ModelConfiguration
  /// The file that promises the weights: the single file, or the index of the shards.
  private let listing: String
  private let files: [SafetensorsFile]
  private let fileOfTensor: [String: Int]

  private static let single = "model.safetensors"
  private static let index = "model.safetensors.index.json"
  /// Reference values that a fixture keeps beside its weights.
  private static let golden = "golden.safetensors"

  /// Opens `model.safetensors`, or the shards of `model.safetensors.index.json`, or the only other weights in the folder.
  /// - Throws: `InputError` for a missing or damaged file, naming it.
  public init(folder: String) throws {
    self.folder = folder
    configuration = try ModelConfiguration(folder: folder)
    var promised: [String: String] = [:]
    var paths: [String] = []
    if access("\(folder)/\(Self.single)", F_OK) == 0 {
      listing = "\(folder)/\(Self.single)"
      paths = [listing]
    } else if access("\(folder)/\(Self.index)", F_OK) == 0 {
      listing = "\(folder)/\(Self.index)"
      promised = try Self.weightMap(listing)
      paths = Set(promised.values).sorted().map { "\(folder)/\($0)" }
    } else {
      listing = try Self.onlyWeights(in: folder)
      paths = [listing]
    }
    var files: [SafetensorsFile] = []
    var fileOfTensor: [String: Int] = [:]
    for path in paths {
      guard access(path, F_OK) == 0 else {
        throw InputError(
          "the index names this file, and it is missing", at: path, remedy: "download the checkpoint completely")
      }
      let file = try SafetensorsFile(path: path)
      // Of a tensor that lies in two shards, the one that the index names counts.
      for name in file.names where promised[name].map({ "\(folder)/\($0)" == path }) ?? true {
        fileOfTensor[name] = files.count
      }
      files.append(file)
    }
    for (name, shard) in promised.sorted(by: { $0.key < $1.key }) where fileOfTensor[name] == nil {
      throw InputError(
        "tensor \(quoted(name)) is missing, though the index promises it", at: "\(folder)/\(shard)",
        remedy: "download the checkpoint completely")
    }
    self.files = files
    self.fileOfTensor = fileOfTensor
  }

  /// Whether a folder has weights, whole or not.
  package static func hasWeights(in folder: String) -> Bool {
    folderEntries(folder).contains { $0.hasSuffix(".safetensors") || $0 == index }
  }

  /// The one .safetensors file of a folder that has neither of the usual names.
  private static func onlyWeights(in folder: String) throws -> String {
    let found = folderEntries(folder).filter {
      $0.hasSuffix(".safetensors") && !$0.hasPrefix(".") && $0 != golden
    }
    guard let first = found.first else {
      throw InputError("neither \(single) nor \(index)", at: folder, remedy: "download the checkpoint's weights")
    }
    guard found.count == 1 else {
      throw InputError(
        "\(found.count) safetensors files and no \(index)", at: folder, remedy: "download the checkpoint's index")
    }
    return "\(folder)/\(first)"
  }

  private static func weightMap(_ path: String) throws -> [String: String] {
    guard let map = try JSON(file: path)["weight_map"]?.object, !map.keys.isEmpty else {
      throw InputError("no weight_map", at: path, remedy: "download the checkpoint again")
    }
    var shards: [String: String] = [:]
    for (name, value) in map.members {
      // A shard lies in the folder: a path that leads elsewhere is not followed.
      // Control characters would break an error's one line, and NUL would end the path.
      guard let shard = value.string, !shard.isEmpty,
        shard.unicodeScalars.allSatisfy({ $0 != "/" && $0.value >= 0x20 })
      else {
        throw InputError("tensor \(quoted(name)) has no file name", at: path, remedy: "download the checkpoint again")
      }
      shards[name] = shard
    }
    return shards
  }

  /// Whether the weights have a tensor of this name.
  public func hasTensor(_ name: String) -> Bool { place(of: name) != nil }

  /// A weight in its stored type: F32, BF16 or F16, at an address aligned to it, valid while the checkpoint lives. Costs a
  /// look-up; no bytes are read.
  /// - Throws: `InputError` if it is missing or has another shape or type.
  public func tensor(_ name: String, shape: [Int]) throws -> TensorView {
    try tensor(name, shape: shape, [.f32, .bf16, .f16], remedy: "use the checkpoint's unquantised form")
  }

  /// - Parameter remedy: what to do about a type that is none of `types`.
  func tensor(_ name: String, shape: [Int], _ types: [ElementType], remedy: String) throws -> TensorView {
    guard let (file, stored) = place(of: name), let view = file.view(stored) else {
      throw InputError(
        "tensor \(quoted(name)) is missing", at: listing,
        remedy: "use weights and config.json of the same checkpoint")
    }
    guard view.shape == shape else {
      throw InputError(
        "tensor \(quoted(stored)) has the shape \(view.shape), expected \(shape)", at: file.path,
        remedy: "use weights and config.json of the same checkpoint")
    }
    guard types.contains(view.type) else {
      let names = types.map(\.rawValue)
      let expected = (names.count > 1 ? names.dropLast().joined(separator: ", ") + " or " : "") + (names.last ?? "")
      throw InputError(
        "tensor \(quoted(stored)) is stored as \(view.type.rawValue), expected \(expected)", at: file.path,
        remedy: remedy)
    }
    return view
  }

  /// The file of a tensor and its name there: exports of the bare decoder leave the prefix `model.` out.
  private func place(of name: String) -> (file: SafetensorsFile, name: String)? {
    if let index = fileOfTensor[name] { return (files[index], name) }
    let prefix = "model."
    guard name.hasPrefix(prefix) else { return nil }
    let bare = String(name.dropFirst(prefix.count))
    return fileOfTensor[bare].map { (files[$0], bare) }
  }

  /// The first tensor, file by file, of which something holds.
  package func firstTensor(where holds: (TensorView) -> Bool) -> (name: String, path: String)? {
    for (index, file) in files.enumerated() {
      for name in file.names where fileOfTensor[name] == index {
        if let view = file.view(name), holds(view) { return (name, file.path) }
      }
    }
    return nil
  }

  /// The error of a tensor that holds NaN or an infinity.
  package static func notFinite(_ tensor: String, at path: String) -> InputError {
    InputError(
      "tensor \(quoted(tensor)) holds numbers that are not finite", at: path,
      remedy: "download the checkpoint again; of a training, take an earlier one")
  }

  /// Bytes of all tensors.
  public var weightBytes: Int { fold { $0 + $1.bytes.count } }
  /// Numbers in all tensors; of weights in blocks, those that they stand for.
  public var parameters: Int { configuration.blocks?.parameters ?? fold { $0 + $1.count } }

  private func fold(_ add: (Int, TensorView) -> Int) -> Int {
    fileOfTensor.reduce(0) { sum, entry in files[entry.value].view(entry.key).map { add(sum, $0) } ?? sum }
  }
}
