// Weights that another program has quantised: how config.json announces them, and the tensors that give them away where it
// does not. They are named, so that people learn what they have; how they could be read is not known here.

import DMSPlatform
import DMSText

/// What another program has made of a checkpoint's weights.
public struct ForeignQuantization: Sendable, Equatable {
  /// The method and what it made, as people say it: "GPTQ in 4 bits".
  public let name: String
  /// The key of config.json, or the tensor, that says so.
  let evidence: String

  /// What to do about it.
  package static let remedy = "use the unquantised checkpoint, and dms quantize for 8 or 4 bits"

  /// By which keys the libraries announce it: transformers, MLX, and compressed-tensors before it was known to transformers.
  static let keys = ["quantization_config", "quantization", "compression_config"]
  /// Methods that are written in capitals; the others are written as `quant_method` has them.
  private static let capitals: Set = ["gptq", "awq", "fp8", "hqq", "aqlm", "eetq", "vptq", "spqr", "mxfp4", "higgs"]

  /// `nil` if `config` has none of the keys, or nothing in them.
  init?(_ config: JSON) {
    let found = Self.keys.lazy.compactMap { key in
      config[key].flatMap { value in Self.isNothing(value) ? nil : (key, value) }
    }.first
    guard let (key, value) = found else { return nil }
    evidence = key
    let bits = Self.bits(value).map { " in \($0) bits" } ?? ""
    name = Self.method(value, key) + bits
  }

  /// - Returns: `nil` if the tensor is one of a decoder that nobody has quantised.
  init?(tensor: String) {
    guard Self.isForeign(tensor) else { return nil }
    name = "another program (tensor \(quoted(tensor)))"
    evidence = tensor
  }

  private static func isNothing(_ value: JSON) -> Bool {
    switch value {
    case .null, .bool(false), .string(""): true
    case .object(let object): object.keys.isEmpty
    case .array(let elements): elements.isEmpty
    default: false
    }
  }

  private static func method(_ value: JSON, _ key: String) -> String {
    if let method = value["quant_method"]?.string ?? value.string {
      let short = String(method.prefix(40))
      return capitals.contains(method.lowercased()) ? method.uppercased() : short
    }
    if ["load_in_4bit", "load_in_8bit"].contains(where: { value[$0]?.bool ?? false }) { return "bitsandbytes" }
    // MLX names no method, and says the same under both keys.
    if key == "quantization" || value["group_size"] != nil { return "MLX" }
    return key == "compression_config" ? "compressed-tensors" : "an unnamed method"
  }

  private static func bits(_ value: JSON) -> Int? {
    if value["load_in_4bit"]?.bool ?? false { return 4 }
    if value["load_in_8bit"]?.bool ?? false { return 8 }
    return ["bits", "w_bit", "nbits", "num_bits"].lazy.compactMap { value[$0]?.integer }.first { (1...16).contains($0) }
  }

  /// What quantisers call the parts of a matrix: scales, zero points and absolute maxima under many names, and packed numbers.
  private static let fragments = ["scale", "zero", "quant", "absmax", "amax", "codebook"]
  private static let leaves: Set = [
    "qweight", "g_idx", "q_perm", "scb", "weight_format", "weight_packed", "weight_shape", "weight_g_idx", "w_q",
    "_data",
    "_shift", "codes", "biases", "indices", "centroids", "bitmask", "tables",
  ]

  private static func isForeign(_ tensor: String) -> Bool {
    let parts = tensor.lowercased().split(separator: ".")
    guard let leaf = parts.last else { return false }
    // Some keep their parts below the weight's own name: `weight.quant_state.bitsandbytes__nf4`.
    return leaves.contains(String(leaf))
      || parts.suffix(2).contains { part in fragments.contains { part.contains($0) } }
  }
}

extension Checkpoint {
  /// - Throws: `InputError` if the weights are another program's numbers.
  func refuseForeignQuantization() throws {
    if let foreign = configuration.quantization {
      throw InputError(
        "weights that were quantised by \(foreign.name) cannot be read",
        at: "\(folder)/config.json: \(foreign.evidence)",
        remedy: ForeignQuantization.remedy)
    }
    guard let (path, foreign) = foreignTensor else { return }
    throw InputError(
      "tensor \(quoted(foreign.evidence)) belongs to weights that another program has quantised", at: path,
      remedy: ForeignQuantization.remedy)
  }
}
