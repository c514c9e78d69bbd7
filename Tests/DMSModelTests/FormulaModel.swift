// A small decoder of any family, whose weights follow from their names: the reference was given the same ones.

import DMSCheckpoint
import DMSKernels
import DMSModel
import DMSTensor
import Foundation

enum FormulaModel {
  /// A model with these keys in its config.json, beside the sizes that all have.
  static func decoder(_ keys: String, context: Int = 64) throws -> Decoder {
    let folder = FileManager.default.temporaryDirectory.appending(path: "dms-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try """
    {"num_hidden_layers": 4, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4,
     "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 128, "max_position_embeddings": \(context),
     "rms_norm_eps": 1e-6, "dtype": "float32", \(keys)}
    """.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
    let tensors = DecoderTensors(try ModelConfiguration(folder: folder)).all
    let writer = try SafetensorsWriter(
      path: folder + "/model.safetensors", tensors: tensors.map { .init($0.name, .f32, $0.shape) })
    for tensor in tensors { try numbers(tensor).withUnsafeBytes { try writer.write($0, to: tensor.name) } }
    try writer.finish()
    return try Decoder(ModelSource(path: folder), on: Machine(threads: 2))
  }

  /// SplitMix64 from a hash (FNV-1a) of the name: 24 bits of each number as -0.5 to 0.5; norms are around 1.
  private static func numbers(_ tensor: DecoderTensor) -> [Float] {
    let hash = tensor.name.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    var random = SplitMix(seed: hash)
    return (0..<tensor.shape.reduce(1, *)).map { _ in
      let number = Float(random.next() >> 40) * 0x1p-24 - 0.5
      return tensor.role.isNorm ? 1 + number : number
    }
  }
}
