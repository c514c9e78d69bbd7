// The `dms_*` keys: how a checkpoint was taught to forget.

import DMSPlatform
import DMSText

/// Settings of Dynamic Memory Sparsification (Łańcucki et al., 2025). Absent keys have the values of NVIDIA's reference.
public struct DMSSettings: Sendable, Equatable {
  /// For whom a decision is made.
  public enum AlphaPer: String, Sendable, CaseIterable { case head, layer }

  /// Decisions from a projection of their own (adapter) instead of a borrowed query channel.
  public var separateAlpha = false
  /// One decision per KV head, or KV head 0's for the whole layer.
  public var alphaPer = AlphaPer.head
  /// logit = a · alphaScale − alphaOffset
  public var alphaScale: Float = 100
  /// What is taken from the scaled projection.
  public var alphaOffset: Float = 5
  /// Tokens that a key stays visible after its decision was due.
  public var window = 512
  /// Temperature of the training's Gumbel-sigmoid.
  public var tau = 0.1
  /// The nominal compression ratio, if the checkpoint states it.
  public var compressionRatio: Double?
  /// A decision made at token t is about token t − shift.
  public var shift = 1
  /// Whether the borrowed channel is zeroed again after RoPE.
  public var zeroAfterRope = true
  /// Whether the checkpoint asks to keep every token.
  public var evictionDisabled = false

  /// NVIDIA's values.
  public init() {}

  private static let scales = -1e6...1e6
  private static let windows = 0...ModelConfiguration.largestContext

  /// `nil` if neither `config` has a `dms_*` key nor FastDMS' metadata exists. Where both are, the metadata counts: the
  /// weights are then FastDMS' work, and `config` may be a copy of an earlier checkpoint's.
  init?(_ config: ConfigurationReader, metadata: JSON?, source: String) throws {
    if let metadata {
      try self.init(fastDMS: metadata, source: source)
      return
    }
    guard config.json.object?.keys.contains(where: { $0.hasPrefix("dms_") }) ?? false else { return nil }
    self.init()
    separateAlpha = try config.bool("dms_separate_alpha") ?? separateAlpha
    alphaPer = try config.choice("dms_alpha_per") ?? alphaPer
    alphaScale = try config.number("dms_alpha_scale", in: Self.scales).map { Float($0) } ?? alphaScale
    alphaOffset = try config.number("dms_initial_alpha_offset", in: Self.scales).map { Float($0) } ?? alphaOffset
    window = try config.integer("dms_window_size", in: Self.windows) ?? window
    tau = try config.number("dms_tau", in: 1e-6...1e6) ?? tau
    compressionRatio = try config.number("dms_cr", in: 1...1e6)
    evictionDisabled = try config.bool("dms_disable_eviction") ?? false
  }

  /// FastDMS packages its settings beside the configuration: keys at top level or under `config`.
  private init(fastDMS metadata: JSON, source: String) throws {
    self.init()
    let top = try ConfigurationReader(metadata, source: source)
    let nested = try top.object("config")
    func number(_ key: String) throws -> Double? {
      try top.number(key, in: Self.scales) ?? nested?.number(key, in: Self.scales)
    }
    window = try top.integer("window_size", in: Self.windows) ?? nested?.integer("window_size", in: Self.windows) ?? 256
    alphaScale = Float(try number("alpha_scale") ?? 100)
    alphaOffset = Float(try number("alpha_offset") ?? 5)
    shift = 0
    zeroAfterRope = false
  }
}

extension DMSSettings {
  /// The keys of a configuration that say this, in the form of NVIDIA's reference.
  package var keys: [(key: String, value: JSON)] {
    [
      ("dms_separate_alpha", .bool(separateAlpha)), ("dms_alpha_per", .string(alphaPer.rawValue)),
      ("dms_alpha_scale", .number(Double(alphaScale))), ("dms_initial_alpha_offset", .number(Double(alphaOffset))),
      ("dms_window_size", .integer(window)), ("dms_tau", .number(tau)),
      ("dms_cr", compressionRatio.map { $0 == $0.rounded() ? .integer(Int($0)) : .number($0) } ?? .null),
      ("dms_disable_eviction", .bool(evictionDisabled)),
      ("dms_paged_attention_block_size", .integer(Self.blockSize(window: window))),
    ]
  }

  /// The reference's pages: the largest power of two below the window.
  static func blockSize(window: Int) -> Int {
    var size = 1
    while size * 2 < window { size *= 2 }
    return size
  }
}
