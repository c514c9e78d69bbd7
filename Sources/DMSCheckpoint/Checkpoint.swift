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
  /// - Throws: `InputError` for a missing or damaged file, naming it, and for weights that another program has quantised.
  public convenience init(folder: String) throws {
    try self.init(inspecting: folder)
    try refuseForeignQuantization()
  }

  /// Opens the weights, whatever their numbers mean: to look at, not to compute with.
  package init(inspecting folder: String) throws {
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
    if !promised.isEmpty { try Self.checkPresence(paths, listing) }
    var files: [SafetensorsFile] = []
    var fileOfTensor: [String: Int] = [:]
    for path in paths {
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

  private static func checkPresence(_ paths: [String], _ listing: String) throws {
    let missing = paths.filter { access($0, F_OK) != 0 }
    guard let first = missing.first else { return }
    let remedy = "download the checkpoint completely"
    guard missing.count > 1 else {
      throw InputError("the index names this file, and it is missing", at: first, remedy: remedy)
    }
    // A few names tell which; the rest are as many.
    let names = missing.prefix(3).map { $0.dropFirst(DMSPlatform.folder(of: listing).count + 1) }
    throw InputError(
      "\(missing.count) of \(paths.count) files that the index names are missing: \(names.joined(separator: ", "))"
        + (missing.count > names.count ? ", …" : ""), at: listing, remedy: remedy)
  }

  /// The first tensor that only weights have that another program has quantised, and its file.
  var foreignTensor: (path: String, foreign: ForeignQuantization)? {
    // Blocks of this program have scales, too.
    let own = configuration.blocks.map { _ in ".scales" }
    for file in files {
      for name in file.names where own.map({ !name.hasSuffix($0) }) ?? true {
        if let foreign = ForeignQuantization(tensor: name) { return (file.path, foreign) }
      }
    }
    return nil
  }

  /// What another program has made of the weights, by config.json or by their tensors.
  package var quantization: ForeignQuantization? { configuration.quantization ?? foreignTensor?.foreign }

  /// Whether a folder has weights, whole or not.
  package static func hasWeights(in folder: String) -> Bool {
    folderEntries(folder).contains { isWeights($0) || $0 == index }
  }

  private static func isWeights(_ name: String) -> Bool {
    name.hasSuffix(".safetensors") && !name.hasPrefix(".") && name != golden
  }

  /// Weights in a folder that are in a container which is not read here; `nil` if there are none.
  package static func otherWeights(in folder: String) -> String? {
    folderEntries(folder).sorted().first { name in
      name.hasSuffix(".gguf") || (name.hasPrefix("pytorch_model") && name.hasSuffix(".bin"))
        || (name.hasPrefix("consolidated") && name.hasSuffix(".pth"))
    }
  }

  /// The one .safetensors file of a folder that has neither of the usual names.
  private static func onlyWeights(in folder: String) throws -> String {
    let found = folderEntries(folder).filter(isWeights)
    guard let first = found.first else {
      let other = otherWeights(in: folder)
      throw InputError(
        "neither \(single) nor \(index)" + (other.map { ", and \($0) is not read" } ?? ""), at: folder,
        remedy: other == nil ? "download the checkpoint's weights" : "download or convert the weights as safetensors")
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
