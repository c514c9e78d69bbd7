// What sets a decoder's layers apart: sliding windows (Mistral, Qwen), and layers without positions (SmolLM3).

import DMSPlatform
import DMSText

/// How a layer attends.
public struct LayerAttention: Sendable, Equatable {
  /// Tokens that a query sees, its own included; `nil`: all that came before.
  public let window: Int?
  /// Whether queries and keys are rotated by their positions (RoPE).
  public let rotates: Bool
}

extension LayerAttention {
  private typealias Family = ModelConfiguration.Family

  /// The layers of a decoder. Absent keys have the values that transformers gives them. A window of the whole context hides
  /// nothing, and is none.
  ///
  /// - Throws: `InputError` for layers of other types, and for keys that contradict each other.
  static func layers(
    _ config: ConfigurationReader, _ family: ModelConfiguration.Family, count: Int, context: Int
  ) throws -> [LayerAttention] {
    let rotations = try family == .smollm3 ? rotations(config, count: count) : Array(repeating: true, count: count)
    guard family != .llama else { return rotations.map { LayerAttention(window: nil, rotates: $0) } }
    let window = try window(config, family)
    let slides = try slides(config, family, rotations, hasWindow: window != nil)
    guard window != nil || !slides.contains(true) else {
      throw InputError(
        "sliding layers without a window", at: "\(config.source): layer_types", remedy: ConfigurationReader.remedy)
    }
    return zip(slides, rotations).map {
      LayerAttention(window: $0 ? window.flatMap { $0 < context ? $0 : nil } : nil, rotates: $1)
    }
  }

  private static func window(_ config: ConfigurationReader, _ family: Family) throws -> Int? {
    let isUsed = try config.bool("use_sliding_window") ?? false || family == .mistral
    let window = try config.integer("sliding_window", in: (isUsed ? 1 : 0)...ModelConfiguration.largestContext)
    guard isUsed else { return nil }
    // Null is no window; an absent key is transformers' number.
    return window ?? (config.json["sliding_window"] == nil && family != .smollm3 ? 4096 : nil)
  }

  private static func slides(
    _ config: ConfigurationReader, _ family: Family, _ rotations: [Bool], hasWindow: Bool
  ) throws -> [Bool] {
    let firstLayer = try config.integer("max_window_layers", in: 0...ModelConfiguration.largestContext) ?? 28
    let derived = rotations.enumerated().map { layer, rotates in
      switch family {
      case .smollm3: hasWindow && !rotates
      case .mistral: hasWindow
      default: hasWindow && layer >= firstLayer
      }
    }
    guard let types = config.value("layer_types") else { return derived }
    let key = "\(config.source): layer_types"
    guard let names = types.array?.compactMap(\.string), names.count == types.array?.count else {
      throw config.wrong("layer_types", "a list of strings", types)
    }
    guard names.allSatisfy({ $0 == "full_attention" || $0 == "sliding_attention" }) else {
      throw InputError(
        "a layer type that is neither full_attention nor sliding_attention", at: key,
        remedy: "supported are these two")
    }
    guard names.count == rotations.count else {
      throw InputError(
        "\(rotations.count) types expected, one for each layer, found \(names.count)", at: key,
        remedy: ConfigurationReader.remedy)
    }
    let slides = names.map { $0 == "sliding_attention" }
    guard family != .mistral || slides == derived else {
      throw InputError(
        "layers of different types are not Mistral's", at: key, remedy: "remove the key if sliding_window says it all")
    }
    return slides
  }

  /// SmolLM3's layers without positions (NoPE): 0 in the list, or every so many.
  private static func rotations(_ config: ConfigurationReader, count: Int) throws -> [Bool] {
    let interval = try config.integer("no_rope_layer_interval", in: 1...ModelConfiguration.largestContext) ?? 4
    guard let list = config.value("no_rope_layers") else { return (1...count).map { $0 % interval != 0 } }
    let flags = list.array?.compactMap(\.integer).filter((0...1).contains) ?? []
    // More than there are layers are allowed.
    guard flags.count == list.array?.count, flags.count >= count else {
      throw config.wrong("no_rope_layers", "a list of 0 or 1 for each of the \(count) layers", list)
    }
    return flags.prefix(count).map { $0 == 1 }
  }
}

extension ModelConfiguration {
  /// Whether some layers see no more than a window.
  public var slides: Bool { layerAttention.contains { $0.window != nil } }
}
