// Weights in blocks in a checkpoint: the key of config.json that announces them, and their tensors.
//
// A matrix NAME is two tensors: NAME.blocks U8 [groups, columnBlocks, 8 (q8) or 4 (q4), 16, 4] and NAME.scales BF16 [groups,
// columnBlocks, 16], as BlockMatrix.swift describes them. Of a query projection with borrowed neurons (DMS), NAME.borrowed
// [kvHeads, hidden] repeats the rows that decide, one per KV head, as numbers. Everything else is stored as in any checkpoint.
// What is done with them is not known here.

import DMSPlatform
import DMSTensor
import DMSText

/// The key `swift_dms_weights`.
public struct StoredBlocks: Sendable, Equatable {
  static let key = "swift_dms_weights"
  /// The layout that this version reads and writes.
  static let layout = 1

  /// 8 or 4 bits.
  public let format: BlockFormat
  /// Numbers in all tensors of the checkpoint that these were made of; `nil` if that is not written down.
  public let parameters: Int?

  /// Blocks of a format.
  public init(_ format: BlockFormat, parameters: Int?) {
    self.format = format
    self.parameters = parameters
  }

  init?(_ config: ConfigurationReader) throws {
    guard let object = try config.object(Self.key) else { return nil }
    let layout = try object.required("layout", object.integer("layout", in: 0...(1 << 30)))
    guard layout == Self.layout else {
      throw InputError(
        "weights in blocks of layout \(layout), expected \(Self.layout)", at: "\(object.source): layout",
        remedy: "write them again with this version's dms quantize")
    }
    let name = try object.required("format", object.string("format"))
    guard let format = BlockFormat(rawValue: name), BlockFormat.own.contains(format) else {
      throw InputError(
        "unknown format \(quoted(name))", at: "\(object.source): format",
        remedy: "supported are \(BlockFormat.own.map(\.rawValue).joined(separator: ", "))")
    }
    self.format = format
    parameters = try object.integer("parameters", in: 0...(1 << 60))
  }

  /// What config.json says of them.
  var announcement: JSON {
    var object = JSONObject(["format": .string(format.rawValue), "layout": .integer(Self.layout)])
    if let parameters { object["parameters"] = .integer(parameters) }
    return .object(object)
  }

  /// The tensors of a matrix `[rows, columns]`.
  package static func declarations(
    _ matrix: String, _ format: BlockFormat, rows: Int, columns: Int
  ) -> (blocks: SafetensorsWriter.Declaration, scales: SafetensorsWriter.Declaration) {
    let names = names(of: matrix)
    return (
      .init(names.blocks, .u8, BlockMatrix.blockShape(format, rows: rows, columns: columns)),
      .init(names.scales, .bf16, BlockMatrix.scaleShape(rows: rows, columns: columns))
    )
  }

  package static func write(_ matrix: BlockMatrix, _ name: String, to writer: SafetensorsWriter) throws {
    let names = names(of: name)
    try writer.write(matrix.blockBytes, to: names.blocks)
    try writer.write(matrix.scaleBytes, to: names.scales)
  }

  /// The tensors of a matrix.
  static func names(of matrix: String) -> (blocks: String, scales: String) { (matrix + ".blocks", matrix + ".scales") }
}

extension Checkpoint {
  /// A weight matrix that is stored in blocks, valid while the checkpoint lives. Costs two look-ups; no bytes are read.
  /// - Throws: `InputError` if one of its tensors is missing or has another shape or type.
  public func blocks(_ name: String, _ format: BlockFormat, rows: Int, columns: Int) throws -> BlockMatrix {
    let names = StoredBlocks.names(of: name)
    let remedy = "write the folder again with dms quantize"
    let blocks = try tensor(
      names.blocks, shape: BlockMatrix.blockShape(format, rows: rows, columns: columns), [.u8], remedy: remedy)
    let scales = try tensor(
      names.scales, shape: BlockMatrix.scaleShape(rows: rows, columns: columns), [.bf16], remedy: remedy)
    return BlockMatrix(format, rows: rows, columns: columns, blocks: blocks.bytes, scales: scales.bytes)
  }
}
