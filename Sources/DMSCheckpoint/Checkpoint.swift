// A model folder as Hugging Face lays it out: config.json, and weights in one file or in shards with an index.

import DMSPlatform
import DMSTensor
import DMSText
import Glibc

/// An opened checkpoint. Weights are mapped, not read: opening takes milliseconds and no memory beyond the page cache.
public final class Checkpoint: Sendable {
  public let folder: String
  public let configuration: ModelConfiguration
  private let files: [SafetensorsFile]
  private let fileOfTensor: [String: Int]

  private static let single = "model.safetensors"
  private static let index = "model.safetensors.index.json"

  /// - Throws: `InputError` for a missing or damaged file, naming it.
  public init(folder: String) throws {
    self.folder = folder
    configuration = try ModelConfiguration(folder: folder)
    var paths: [String] = []
    var promised: [String: String] = [:]
    if access("\(folder)/\(Self.single)", F_OK) == 0 {
      paths = ["\(folder)/\(Self.single)"]
    } else if access("\(folder)/\(Self.index)", F_OK) == 0 {
      promised = try Self.weightMap("\(folder)/\(Self.index)")
      paths = Set(promised.values).sorted().map { "\(folder)/\($0)" }
    } else {
      throw InputError(
        "neither \(Self.single) nor \(Self.index)", at: folder, remedy: "download the checkpoint's weights")
    }
    var files: [SafetensorsFile] = []
    var fileOfTensor: [String: Int] = [:]
    for path in paths {
      guard access(path, F_OK) == 0 else {
        throw InputError(
          "the index names this file, and it is missing", at: path, remedy: "download the checkpoint completely")
      }
      let file = try SafetensorsFile(path: path)
      for name in file.names {
        if let shard = promised[name], "\(folder)/\(shard)" != path { continue }
        fileOfTensor[name] = files.count
      }
      files.append(file)
    }
    for (name, shard) in promised where fileOfTensor[name] == nil {
      throw InputError(
        "tensor \"\(name)\" is missing, though the index promises it", at: "\(folder)/\(shard)",
        remedy: "download the checkpoint completely")
    }
    self.files = files
    self.fileOfTensor = fileOfTensor
  }

  private static func weightMap(_ path: String) throws -> [String: String] {
    guard let map = try JSON(file: path)["weight_map"]?.object, !map.keys.isEmpty else {
      throw InputError("no weight_map", at: path, remedy: "download the checkpoint again")
    }
    var shards: [String: String] = [:]
    for (name, value) in map.members {
      // A shard lies in the folder: a path that leads elsewhere is not followed.
      guard let shard = value.string, !shard.isEmpty, !shard.contains("/") else {
        throw InputError("tensor \"\(name)\" has no file name", at: path, remedy: "download the checkpoint again")
      }
      shards[name] = shard
    }
    return shards
  }

  public func hasTensor(_ name: String) -> Bool { fileOfTensor[name] != nil }

  /// A weight in its stored type: F32, BF16 or F16.
  /// - Throws: `InputError` if it is missing or has another shape or type.
  public func tensor(_ name: String, shape: [Int]) throws -> TensorView {
    guard let index = fileOfTensor[name], let view = files[index].view(name) else {
      throw InputError("tensor \"\(name)\" is missing", at: folder, remedy: "the checkpoint does not fit its config.json")
    }
    guard view.shape == shape else {
      throw InputError(
        "tensor \"\(name)\" has the shape \(view.shape), expected \(shape)", at: files[index].path,
        remedy: "the checkpoint does not fit its config.json")
    }
    guard [.f32, .bf16, .f16].contains(view.type) else {
      throw InputError(
        "tensor \"\(name)\" is stored as \(view.type.rawValue)", at: files[index].path,
        remedy: "supported are F32, BF16 and F16")
    }
    return view
  }

  /// Bytes of all tensors.
  public var weightBytes: Int { fold { $0 + $1.bytes.count } }
  /// Numbers in all tensors.
  public var parameters: Int { fold { $0 + $1.count } }

  private func fold(_ add: (Int, TensorView) -> Int) -> Int {
    fileOfTensor.reduce(0) { sum, entry in files[entry.value].view(entry.key).map { add(sum, $0) } ?? sum }
  }
}
