// A GGUF model, in one file or split over several, read by mapping. What its keys mean for a model is not known here.

import DMSPlatform
import DMSTensor
import DMSText
import Glibc

/// An opened GGUF model. Tensors and long values are views of the mapping and are valid while the object lives.
///
/// Opening reads the headers in linear time and touches no weights.
public final class GGUFFile: @unchecked Sendable {
  /// The file that was given.
  public let path: String
  /// The metadata's keys in the file's order; of a split model, the first file's.
  public let keys: [String]
  /// The tensors' names in the file's order.
  public let names: [String]
  /// Whether the weights are there.
  public let hasData: Bool
  private let shards: [GGUFShard]
  private let shardOfTensor: [String: Int]

  /// Opens a model to compute with.
  /// - Parameter path: the file, or any file of a split model.
  /// - Throws: `InputError` that names file, tensor or key and the reason; also for data that are missing and for types of
  ///   weights that cannot be computed with.
  public convenience init(path: String) throws {
    try self.init(inspecting: path)
    guard hasData else {
      throw InputError(
        "its tensors' data are missing: it has only metadata and the table of tensors", at: path,
        remedy: "download the whole file")
    }
    for name in names {
      guard let tensor = try? tensor(named: name), !tensor.type.isReadable else { continue }
      throw InputError(
        "tensor \(quoted(name)) is stored as \(tensor.type.name), which is not supported", at: path,
        remedy: "supported are \(GGMLType.allCases.filter(\.isReadable).map(\.name).joined(separator: " "))")
    }
  }

  /// Opens a model to look at: its weights may be missing, and of any known type.
  /// - Throws: `InputError` that names file, tensor or key and the reason.
  public init(inspecting path: String) throws {
    self.path = path
    let given = try GGUFShard(path: path)
    let count = try Self.splitCount(given, path)
    shards = count > 1 ? try Self.split(given, path, count) : [given]
    keys = shards[0].keys
    hasData = !shards.contains(where: \.lacksData)
    var names: [String] = []
    var shardOfTensor: [String: Int] = [:]
    for (index, shard) in shards.enumerated() {
      for name in shard.names {
        guard shardOfTensor.updateValue(index, forKey: name) == nil else {
          throw InputError(
            "tensor \(quoted(name)) stands in two files of the split model", at: shard.file.path,
            remedy: "download all its files again")
        }
      }
      names += shard.names
    }
    if let promised = shards[0].values["split.tensors.count"]?.integer, count > 1, promised != names.count {
      throw InputError(
        "\(names.count) tensors in the files of the split model, split.tensors.count says \(promised)", at: path,
        remedy: "download all its files again")
    }
    self.names = names
    self.shardOfTensor = shardOfTensor
  }

  private static func splitCount(_ shard: GGUFShard, _ path: String) throws -> Int {
    guard let value = shard.values["split.count"] else { return 1 }
    guard let count = value.integer, (0...99_999).contains(count) else {
      throw InputError("split.count is not a number up to 99999", at: path, remedy: "download it again")
    }
    return count
  }

  /// The files of a split model, by the name of one: `…-00001-of-00003.gguf`.
  private static func split(_ given: GGUFShard, _ path: String, _ count: Int) throws -> [GGUFShard] {
    func digits(_ number: Int) -> String { String(String(100_000 + number).dropFirst()) }
    let ending = "-of-\(digits(count)).gguf"
    guard let number = given.values["split.no"]?.integer, (0..<count).contains(number),
      path.hasSuffix("-\(digits(number + 1))\(ending)")
    else {
      throw InputError(
        "a file of a model split in \(count), whose name does not end as its split.no says", at: path,
        remedy: "give it the name that it was published with, such as …-\(digits(1))\(ending)")
    }
    let prefix = path.dropLast(ending.count + 6)
    return try (0..<count).map { index in
      if index == number { return given }
      let path = "\(prefix)-\(digits(index + 1))\(ending)"
      guard access(path, F_OK) == 0 else {
        throw InputError("this file of the split model is missing", at: path, remedy: "download all \(count) files")
      }
      let shard = try GGUFShard(path: path)
      guard shard.values["split.no"]?.integer == index, shard.values["split.count"]?.integer == count else {
        throw InputError(
          "its split.no and split.count are not those of its name", at: path, remedy: "download all files again")
      }
      return shard
    }
  }

  /// The value of a key; `nil` if it is absent.
  package func value(_ key: String) -> GGUFValue? { shards[0].values[key] }

  /// Whether there is a tensor of this name.
  public func hasTensor(_ name: String) -> Bool { shardOfTensor[name] != nil }

  /// A tensor as it is stored, its shape outermost first. No bytes if the file lacks its data.
  /// - Throws: `InputError` if there is none.
  public func tensor(
    named name: String
  ) throws -> (type: GGMLType, shape: [Int], bytes: UnsafeRawBufferPointer) {
    guard let shard = shardOfTensor[name].map({ shards[$0] }), let tensor = shard.tensors[name] else {
      throw InputError("tensor \(quoted(name)) is missing", at: path, remedy: "download it again")
    }
    let bytes = shard.lacksData ? nil : UnsafeRawBufferPointer(rebasing: shard.file.bytes[tensor.range])
    return (tensor.type, tensor.shape, bytes ?? UnsafeRawBufferPointer(start: nil, count: 0))
  }

  /// Types of the tensors with the bytes and the count of each, largest first.
  public var types: [(type: GGMLType, tensors: Int, bytes: Int)] {
    var sums: [GGMLType: (tensors: Int, bytes: Int)] = [:]
    for shard in shards {
      for tensor in shard.tensors.values {
        let sum = sums[tensor.type, default: (0, 0)]
        // Tensors of a head may claim any size.
        let (bytes, overflow) = sum.bytes.addingReportingOverflow(tensor.range.count)
        sums[tensor.type] = (sum.tensors + 1, overflow ? .max : bytes)
      }
    }
    return sums.map { ($0.key, $0.value.tensors, $0.value.bytes) }
      .sorted { ($1.bytes, $0.type.rawValue) < ($0.bytes, $1.type.rawValue) }
  }
}
