// Rotary position embeddings as checkpoints describe them: base frequency and how it is stretched.

import DMSPlatform
import DMSText
import Glibc

/// Rotary position embeddings (Su et al., 2021): a base frequency, and how it is stretched for longer contexts.
public struct RopeConfiguration: Sendable, Equatable {
  /// How frequencies are changed for contexts beyond the one of pretraining.
  public enum Scaling: Sendable, Equatable {
    case none
    /// All frequencies divided by `factor`.
    case linear(factor: Double)
    /// Llama 3.1: long wavelengths divided by `factor`, short ones kept, a smooth passage between.
    case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalContext: Int)
    /// YaRN (Peng et al., 2023): a ramp over channels between kept and divided; `attentionFactor` scales cosine and sine.
    case yarn(
      factor: Double, originalContext: Int, betaFast: Double, betaSlow: Double, attentionFactor: Double, truncate: Bool)
    /// What each frequency is divided by, as GGUF files of Llama 3.1 and later say it: one for each pair of channels.
    case factors([Float])
  }

  /// The base of the frequencies.
  public let theta: Double
  /// How they are stretched.
  public private(set) var scaling: Scaling

  /// Reads `rope_scaling` and `rope_theta`, or `rope_parameters` (transformers 5). Where both stand, `rope_scaling` wins, as
  /// in transformers: it is what people add to a published file.
  init(_ config: ConfigurationReader, context: Int, defaultTheta: Double) throws {
    let scaled = try Self.parameters(config)
    // A base of 1 would give every channel the same frequency, and YaRN divides by its logarithm.
    let bases = 1.001...1e12
    theta = try scaled?.number("rope_theta", in: bases) ?? config.number("rope_theta", in: bases) ?? defaultTheta
    for reader in [config, scaled].compactMap(\.self) {
      if let part = try reader.number("partial_rotary_factor", in: 0...1), part != 1 {
        throw InputError(
          "rotating \(part) of a head's channels is not supported", at: "\(reader.source): partial_rotary_factor",
          remedy: "supported is 1")
      }
    }
    scaling = try scaled.map { try Self.scaling($0, kind: Self.kind($0), context: context) } ?? .none
  }

  private static func parameters(_ config: ConfigurationReader) throws -> ConfigurationReader? {
    // An empty object says as much as none.
    let given = try [config.object("rope_scaling"), config.object("rope_parameters")].compactMap(\.self)
      .first { $0.json.object?.keys.isEmpty == false }
    // Configurations that describe each type of layer for itself: these models have only the one.
    return try given?.object("full_attention") ?? given
  }

  private static func kind(_ scaled: ConfigurationReader) throws -> String {
    let kinds = try [scaled.string("rope_type"), scaled.string("type")].compactMap(\.self)
    if kinds.count == 2, kinds[0] != kinds[1] {
      throw InputError(
        "rope_type \(quoted(kinds[0])) and type \(quoted(kinds[1])) disagree", at: scaled.source,
        remedy: "keep one of them"
      )
    }
    if let kind = kinds.first { return kind }
    // A factor that nobody says how to apply must not be passed over.
    _ = try scaled.value("factor").map { _ in try scaled.required("rope_type", nil as String?) }
    return "default"
  }

  private static func scaling(_ scaled: ConfigurationReader, kind: String, context: Int) throws -> Scaling {
    let numbers = 1e-6...1e6
    let contexts = 1...ModelConfiguration.largestContext
    let originalKey = "original_max_position_embeddings"
    func number(_ key: String) throws -> Double { try scaled.required(key, scaled.number(key, in: numbers)) }
    switch kind {
    case "default": return .none
    case "linear": return .linear(factor: try number("factor"))
    case "llama3":
      let (low, high) = (try number("low_freq_factor"), try number("high_freq_factor"))
      guard high > low else {
        throw InputError(
          "more than the low_freq_factor \(low) expected, found \(high)", at: "\(scaled.source): high_freq_factor",
          remedy: ConfigurationReader.remedy)
      }
      return .llama3(
        factor: try number("factor"), lowFrequencyFactor: low, highFrequencyFactor: high,
        originalContext: try scaled.required(originalKey, scaled.integer(originalKey, in: contexts)))
    case "yarn":
      let original = try scaled.integer(originalKey, in: contexts) ?? context
      // Without a factor, that of the configured context over the original one.
      let factor = try scaled.number("factor", in: numbers) ?? Double(context) / Double(original)
      let (fast, slow) = (
        try scaled.number("beta_fast", in: numbers) ?? 32, try scaled.number("beta_slow", in: numbers) ?? 1
      )
      guard fast >= slow else {
        throw InputError(
          "at least the beta_slow \(slow) expected, found \(fast)", at: "\(scaled.source): beta_fast",
          remedy: ConfigurationReader.remedy)
      }
      return .yarn(
        factor: factor, originalContext: original, betaFast: fast, betaSlow: slow,
        attentionFactor: try attentionFactor(scaled, factor: factor), truncate: try scaled.bool("truncate") ?? true)
    default:
      throw InputError(
        "unknown RoPE type \(quoted(kind))", at: scaled.source, remedy: "supported are default, linear, llama3 and yarn"
      )
    }
  }

  /// What YaRN multiplies cosine and sine with, unless a configuration says otherwise.
  static func yarnAttention(factor: Double, weight: Double = 1) -> Double {
    factor <= 1 ? 1 : 0.1 * weight * log(factor) + 1
  }

  private static func attentionFactor(_ scaled: ConfigurationReader, factor: Double) throws -> Double {
    if let given = try scaled.number("attention_factor", in: 1e-6...1e6) { return given }
    func mscale(_ weight: Double) -> Double { yarnAttention(factor: factor, weight: weight) }
    let all = try scaled.number("mscale_all_dim", in: 0...1e6) ?? 0
    let own = try scaled.number("mscale", in: 0...1e6) ?? 0
    return all != 0 && own != 0 ? mscale(own) / mscale(all) : mscale(1)
  }

  /// Frequencies that are not stretched.
  init(theta: Double) { (self.theta, scaling) = (theta, .none) }

  /// The same base, each frequency divided by a factor.
  func divided(by factors: [Float]) -> RopeConfiguration {
    var divided = self
    divided.scaling = .factors(factors)
    return divided
  }

  /// Angular frequency of each channel pair, `[headDim / 2]`, in radians per position, rounded as the models' code does.
  public func frequencies(headDim: Int) -> [Float] {
    let half = headDim / 2
    // Powers in fp32, as transformers computes them: a trained model has seen these, not the exact ones.
    let base = (0..<half).map { 1 / powf(Float(theta), Float(2 * $0) / Float(headDim)) }
    switch scaling {
    case .none: return base
    case .linear(let factor): return base.map { $0 / Float(factor) }
    case .factors(let factors): return zip(base, factors).map { $0 / $1 }
    case .llama3(let factor, let low, let high, let original):
      return base.map { frequency in
        let wavelength = 2 * Double.pi / Double(frequency)
        if wavelength > Double(original) / low { return frequency / Float(factor) }
        if wavelength < Double(original) / high { return frequency }
        let smooth = Float((Double(original) / wavelength - low) / (high - low))
        return (1 - smooth) * frequency / Float(factor) + smooth * frequency
      }
    case .yarn(let factor, let original, let betaFast, let betaSlow, _, let truncate):
      func channel(turns: Double) -> Double {
        Double(headDim) * log(Double(original) / (turns * 2 * Double.pi)) / (2 * log(theta))
      }
      var (low, high) = (channel(turns: betaFast), channel(turns: betaSlow))
      if truncate { (low, high) = (low.rounded(.down), high.rounded(.up)) }
      low = max(low, 0)
      high = min(high, Double(headDim - 1))
      if low == high { high += 0.001 }
      return base.indices.map { index in
        let ramp = Float(min(max((Double(index) - low) / (high - low), 0), 1))
        return base[index] / Float(factor) * ramp + base[index] * (1 - ramp)
      }
    }
  }

  /// What cosine and sine are multiplied with.
  public var attentionFactor: Float {
    if case .yarn(_, _, _, _, let attentionFactor, _) = scaling { Float(attentionFactor) } else { 1 }
  }
}
