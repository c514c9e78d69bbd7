// Parameters as a Hugging Face folder that this program and others load.

import DMSCheckpoint
import DMSKernels
import DMSTensor

/// Parameters as a model folder.
public enum TrainedModel {
  /// Writes weights and configuration into a folder in the making, with a model's tokenizer and its like.
  ///
  /// - Parameters:
  ///   - source: the folder whose configuration and tokenizer go on.
  ///   - type: F32, BF16 or F16.
  ///   - dms: what was taught; `nil` for a model that keeps everything, as its source does.
  /// - Throws: `InputError` for a disk without room.
  public static func write(
    _ parameters: Parameters, into folder: CheckpointFolder, source: String, type: ElementType, dms: DMSSettings?
  ) throws {
    // What another program says of an earlier teaching does not hold any more.
    try folder.copyCompanions(of: source, except: dms == nil ? nil : ModelConfiguration.dmsMetadataName)
    try folder.writeConfiguration(of: source, type: type, dms: dms)
    let tensors = parameters.layout.tensors
    let writer = try SafetensorsWriter(
      path: folder.partial + "/model.safetensors",
      tensors: tensors.map { SafetensorsWriter.Declaration($0.name, type, $0.shape) }, metadata: ["format": "pt"])
    for tensor in tensors {
      let bytes = OwnedBytes(tensor.count * type.size)
      try withExtendedLifetime(bytes) {
        guard let base = bytes.buffer.baseAddress else { return }
        narrow(parameters.values.base + tensor.offset, tensor.count, to: base, type)
        try writer.write(UnsafeRawBufferPointer(start: base, count: tensor.count * type.size), to: tensor.name)
      }
    }
    try writer.finish()
  }
}
